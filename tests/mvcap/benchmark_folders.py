"""Small benchmark folders written from known people and cameras: what the readers should give back exactly."""

import json

import numpy as np
from synthetic_take import COCO, ring_rig, truth

from calib.formats import panoptic as studio
from calib.geometry import transform
from mvcap.structures.skeleton import skeleton

SHELF_VIEWS = ("0", "1", "2", "3", "4")
CAMPUS_VIEWS = ("0", "1", "2")


def people_as(kind, frames, people=2):
    """Frames, persons and joints (M, J, 3) m of people who walk, in a skeleton of that name."""
    poses = truth(frames, people)
    return poses.frame, poses.person, COCO.apply(skeleton(kind), poses.xyz.astype(np.float64))


def write_panoptic(folder, frames=15, people=2, cameras=6, first=100, lost=()):
    """Write a clip in CMU Panoptic's layout; return its rig. ``lost``: joints that have the score -1."""
    frame, person, xyz = people_as("panoptic19", frames, people)
    poses = folder / "hdPose3d_stage1_coco19"
    poses.mkdir(parents=True)
    back = np.linalg.inv(studio.WORLD_FROM_PANOPTIC)
    score = np.where(np.isin(skeleton("panoptic19").joints, lost), -1.0, 1.0)
    for number in range(frames):
        bodies = [
            {"id": int(who) - 1, "joints19": np.c_[transform(back, one), score].ravel().tolist()}
            for who, one in zip(person[frame == number], xyz[frame == number], strict=True)
        ]
        (poses / f"body3DScene_{number + first:08d}.json").write_text(json.dumps({"bodies": bodies}))
    rig = ring_rig(cameras)
    studio.write(rig, folder / "calibration_studio.json")
    return rig


def write_people(path, kind, frames, people=2, lost=()):
    """Write people in 4D Association's layout; ``lost``: (frame, person, joint) that are zeros, as not found."""
    frame, person, xyz = people_as(kind, frames, people)
    xyz = np.where(np.isfinite(xyz), xyz, 0)  # a joint that the source lacks was not found
    names = skeleton(kind).joints
    for at, who, joint in lost:
        xyz[(frame == at) & (person == who), names.index(joint)] = 0
    lines = [f"{len(names)} {frames}"]
    for number in range(frames):
        mine = frame == number
        lines.append(str(mine.sum()))
        for who, one in zip(person[mine], xyz[mine], strict=True):
            score = (one != 0).any(-1).astype(float)
            lines += [str(who - 1), *(" ".join(map(repr, row)) for row in [*one.T.tolist(), score.tolist()])]
    path.write_text("\n".join(lines) + "\n")


def write_shelf(folder, frames=10, digits=None):
    """Write calibration and truth in Shelf's layout; return the rig. ``digits``: rotations rounded to so many."""
    folder.mkdir(parents=True, exist_ok=True)
    rig = ring_rig(5)
    held = {}
    for name, camera in zip(SHELF_VIEWS, rig, strict=True):
        place = camera.cam_from_world[:3].copy()
        if digits is not None:
            place[:, :3] = place[:, :3].round(digits)
        held[name] = {"K": camera.lens.K.ravel().tolist(), "RT": place.ravel().tolist(), "imgSize": list(camera.size)}
    (folder / "calibration.json").write_text(json.dumps(held))
    write_people(folder / "gt.txt", "shelf15", frames)
    return rig


def write_campus(folder, frames, lost=()):
    """Write cameras and truth in Campus' layout, people in ``frames`` (numbers of the data set); return the rig.

    ``lost``: (frame, person) without a pose.
    """
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    rig = ring_rig(3, size=(360, 288))
    held = {}
    for name, camera in zip(CAMPUS_VIEWS, rig, strict=True):
        K = camera.lens.K
        held[name] = {"R": camera.cam_from_world[:3, :3].tolist(), "T": (1000 * camera.position).tolist(),
                      "fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}  # fmt: skip
    (folder / "calibration_campus.json").write_text(json.dumps(held))
    frame, person, xyz = people_as("shelf14", len(frames), 3)
    actors = np.empty((1, 3), object)
    for who in (1, 2, 3):
        cells = np.empty((2000, 1), object)
        cells[:, 0] = [np.zeros((0, 0))] * 2000
        for at, number in enumerate(frames):
            if (number, who) not in lost:
                cells[number, 0] = xyz[(frame == at) & (person == who)][0]
        actors[0, who - 1] = cells
    savemat(folder / "actorsGT.mat", {"actor3D": actors})
    return rig


def write_humaneva(folder, pieces):
    """Write pieces {"Train/S1": {"Walking 1 chunk0": (T, 15, 3) m}} in VideoPose3D's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data_3d_humaneva15.npz", positions_3d=np.array(pieces, dtype=object))


MVOR_FROM_FIRST = np.array([[0.0, -1, 0, 400], [0, 0, -1, 900], [1, 0, 0, 300], [0, 0, 0, 1]])
"""From the first camera's millimetres to the room's, as the file has it: the room's floor is 1.1 m below its zero."""


def write_mvor(folder, moments=3):
    """Write cameras, labels, poses and detections in MVOR's layout.

    Return the rig, and joints (M, 10, 3) m of the people in the order of the file: two at each moment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    world_from_first = np.diag([0.001, 0.001, 0.001, 1]) @ MVOR_FROM_FIRST
    world_from_first[2, 3] += 1.1
    rig = ring_rig(3, size=(640, 480))
    first_from_world = np.linalg.inv(world_from_first)
    outer = []
    for camera in rig:
        # first_from_cam: rigid in millimetres.
        whole = first_from_world @ np.linalg.inv(camera.cam_from_world) @ np.diag([0.001, 0.001, 0.001, 1])
        outer.append(whole.ravel().tolist())
    inner = [{"focallength": [c.lens.K[0, 0], c.lens.K[1, 1]], "principalpoint": c.lens.K[:2, 2].tolist(),
              "imagesize": list(c.size)} for c in rig]  # fmt: skip
    frame, person, xyz = people_as("mvor10", moments)
    xyz[:, 0] = truth(moments, 2).xyz[:, 0]  # a head, which walkers lack: the nose
    ids = {(moment, view): 100 + 10 * moment + view for moment in range(moments) for view in range(3)}
    annotations, solid, found = [], [], []
    for at, who, one in zip(frame, person, xyz, strict=True):
        seen = rig.project(one)
        for view in range(3):
            flags = np.full(10, 2.0)
            flags[8:] = 1  # hidden
            flags[7] = 0  # not labelled
            labels = np.c_[seen[view], flags].ravel().tolist()
            annotations.append({"image_id": ids[at, view], "person_id": int(who), "keypoints": labels,
                                "only_bbox": 0})  # fmt: skip
            coco = np.c_[np.full((17, 2), 50.0 + at), np.full(17, 0.75)]
            coco[:, 0] += 3 * np.arange(17)
            found.append({"image_id": ids[at, view], "coco_keypoints": coco.ravel().tolist()})
        annotations.append({"image_id": ids[at, 0], "person_id": 9, "keypoints": [0] * 30, "only_bbox": 1})
        joints = np.c_[transform(first_from_world, one), np.ones(10)]
        joints[7, 3] = 0
        whole = np.r_[joints, np.zeros((2, 4))].ravel().tolist()  # two joints more, of the hands
        images = "_".join(str(ids[at, view]) for view in range(3))
        solid.append({"image_ids": images, "person_id": int(who), "keypoints3D": whole})
    document = {
        "cameras_info": {"camParams": {"firstCamToRoomRef": MVOR_FROM_FIRST.ravel().tolist(), "intrinsics": inner,
                                       "extrinsics": outer}},
        "multiview_images": [{"images": [{"id": ids[moment, view]} for view in range(3)]} for moment in range(moments)],
        "annotations": annotations, "annotations3D": solid,
    }  # fmt: skip
    (folder / "camma_mvor_2018.json").write_text(json.dumps(document, default=int))
    (folder / "openpose_kps.json").write_text(json.dumps(found))
    return rig, xyz
