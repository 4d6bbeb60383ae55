"""Sessions of two walkers with footage that shows them: bodies of capsules, rendered with their masks."""

import numpy as np
from synthetic_take import RATE_HZ, ring_rig, truth

import mvcap
from calib import Camera, Lens, Rig, save_rig
from mvcap import stages
from mvcap.datasets.body_volumes import RayGrid, body_boxes, body_volumes, joint_visibility
from mvcap.datasets.ground_truth import GroundTruth, TruthFrame, image_name, in_memory, mask_name
from mvcap.datasets.recorded import write_image, write_mask
from mvcap.structures.pose_file import load_poses, save_poses
from mvcap.structures.skeleton import skeleton
from mvcap.structures.video_writer import write_video

SIZE = (320, 180)
COLOURS = np.array([[0, 0, 0], [220, 60, 60], [60, 90, 230], [70, 200, 90]], np.uint8)
COCO = skeleton("coco17")


def bent_rig(cameras=3, size=SIZE):
    """The ring of cameras with lenses that distort."""
    rig = ring_rig(cameras, size=size)
    bend = np.array([-0.08, 0.02, 0.001, -0.001, 0.0])
    lenses = [Lens(one.name, one.size, one.lens.K, bend) for one in rig]
    return Rig(tuple(Camera(lens, one.cam_from_world) for lens, one in zip(lenses, rig, strict=True)))


def rendered(camera, xyz, seed=0, first=1):
    """A picture (H, W, 3) of bodies of capsules of people xyz (P, 17, 3) m before a textured wall, and labels."""
    grid = RayGrid(camera, max(camera.size))
    labels = grid.labels(grid.depth(body_volumes(camera, COCO, xyz))[0])
    rows, columns = np.indices(labels.shape)
    wall = 110 + 40 * ((rows // 12 + columns // 12 + seed) % 2) + (rows * 20 // labels.shape[0])
    image = np.repeat(wall[..., None], 3, 2).astype(np.uint8)
    shade = 0.75 + 0.25 * np.sin(rows / 5.0)[..., None]
    body = (COLOURS[np.where(labels > 0, labels + first - 1, 0)] * shade).astype(np.uint8)
    return np.where(labels[..., None] > 0, body, image), labels


def recorded_session(folder, frames=30, people=2, cameras=3, size=SIZE, noise_px=0.5, first=1):
    """A reconstructed session of walkers whose detections are those of the oracle; its folder's parent has truth.npz.

    first: number of the first walker, who has a circle and a colour of their own.
    """
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    rig, poses = bent_rig(cameras, size), truth(frames, first + people - 1)
    poses = poses[poses.person >= first]
    save_rig(rig, folder / "rig.yaml")
    save_poses(folder / "truth.npz", poses)
    dense = poses.xyz.reshape(frames, people, 17, 3).astype(float)
    for view, camera in enumerate(rig):
        images = (rendered(camera, xyz, view, first)[0] for xyz in dense)
        write_video(folder / "videos" / f"{camera.name}.mp4", images, RATE_HZ, size, crf=12)
    session = mvcap.init(folder / "videos", rig=folder / "rig.yaml", folder=folder / "take.mvcap")
    settings = {"poses": str(folder / "truth.npz"), "rig": str(folder / "rig.yaml"), "noise_px": noise_px}
    session.override({"estimator": "oracle", "estimators": {"oracle": settings}})
    for verb in (mvcap.estimate, mvcap.associate, mvcap.triangulate, mvcap.track, mvcap.refine):
        verb(session)
    return session


def write_session_masks(session, first=1):
    """Write masks of the people of a session as an estimator would: labels in the order of its rows."""
    found = stages.detections(session, "estimate").between(0, session.frames)
    true = load_poses(session.folder.parent / "truth.npz")
    for frame in range(session.frames):
        xyz = true.of(frame=frame).xyz.astype(float)
        for view, camera in enumerate(session.rig):
            _, labels = rendered(camera, xyz, view, first)
            rows = found.of(frame=frame, view=view)
            apart = np.linalg.norm(rows.xy[:, None] - camera.project(xyz)[None], axis=-1)
            out = np.zeros_like(labels)
            for row, person in enumerate(np.nanmedian(apart, -1).argmin(1)):
                out[labels == person + 1] = row + 1
            write_mask(session.folder / "masks" / camera.name / f"{frame:07d}.png", out)


def dataset_of_walkers(folder, frames=8, cameras=3, images=True, every=2):
    """A dataset of two walkers with images and masks in a folder; one joint has no truth, a third person none at all.

    Frames 0, 2 ... of which the last two are of val and test; person 2 is absent from the first.
    """
    rig, poses = bent_rig(cameras), truth(frames * every, 3)
    held = []
    for number in range(frames):
        xyz = poses.of(frame=number * every).xyz.astype(float)
        views = [joint_visibility(camera, COCO, xyz) for camera in rig]
        labels = [rendered(camera, xyz, view) for view, camera in enumerate(rig)]
        frame = number * every
        if images:
            for camera, (image, mask) in zip(rig, labels, strict=True):
                write_image(folder / image_name(camera.name, frame, ".png"), image)
                write_mask(folder / mask_name(camera.name, frame), mask)
        boxes = np.stack([body_boxes(camera, body_volumes(camera, COCO, xyz)) for camera in rig], 1)
        seen, xy = (np.stack([view[at] for view in views], 1) for at in (0, 1))
        area = np.array([[(mask == person).sum() for _, mask in labels] for person in (1, 2, 3)], float)
        xyz[0, 9], seen[0, :, 9], xy[0, :, 9] = np.nan, 0, np.nan
        split = ("train", "val", "test")[max(0, number - frames + 3)]
        one = TruthFrame(
            frame, split, np.array([1, 2, 3], np.int32), xyz, np.where(np.isnan(xyz[..., 0]), np.nan, 0.01), xy, seen,
            boxes, area, boxes[2:], np.full(cameras, images),
        )  # fmt: skip
        held.append(one.kept(np.array([True, number > 0, False])))
    sizes = {1: 0.95, 2: 1.02, 3: 1.0}
    return GroundTruth("walk", COCO, rig, RATE_HZ, in_memory(held), folder, ".png" if images else "", sizes)


def same_truth(one, other, columns=("xyz", "xy", "visibility"), atol=1e-4):
    """Whether two datasets have the same frames, people and columns."""
    for a, b in zip(one.frames(), other.frames(), strict=True):
        assert (a.frame, a.split, a.persons.tolist()) == (b.frame, b.split, b.persons.tolist())
        for name in columns:
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=atol, equal_nan=True, err_msg=name)
    return True
