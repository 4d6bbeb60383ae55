import numpy as np
import pytest
from recorded_take import dataset_of_walkers

from calib.geometry import transform
from mvcap.datasets.ground_truth import JointVisibility, as_skeleton
from mvcap.datasets.pose_maps import (
    MapsConfig,
    affinity_fields,
    cells_of,
    heatmaps,
    pose_maps,
    write_targets,
)
from mvcap.errors import ConfigError
from mvcap.estimation.pose_map_readout import MAPS_SKELETON, read_out_joints

SIZE, CONFIG = (320, 180), MapsConfig(stride=4)
NAMES = MAPS_SKELETON.joints


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return dataset_of_walkers(tmp_path_factory.mktemp("walk"), frames=4)


@pytest.fixture(scope="module")
def image(walk):
    """Pixels, places in the camera and visibility of two people in the second view."""
    one = list(as_skeleton(walk, MAPS_SKELETON).frames())[1]
    return one.xy[:, 1], transform(walk.rig[1].cam_from_world, one.xyz), one.visibility[:, 1]


def cell(xy):
    return (xy + 0.5) / CONFIG.stride - 0.5


def test_peaks_are_at_the_joints(image):
    xy, _, states = image
    maps = heatmaps(xy, states, SIZE, CONFIG)
    assert maps.shape == (19, 45, 80) and cells_of((321, 181), CONFIG) == (81, 46)
    for person, joint in np.argwhere((states == JointVisibility.VISIBLE) | (states == JointVisibility.SELF_OCCLUDED)):
        x, y = np.rint(cell(xy[person, joint])).astype(int)
        assert maps[joint, y, x] > 0.9
    assert maps.max() <= 1 and not maps[NAMES.index("left_wrist")].max() > 1
    none = heatmaps(xy, np.full_like(states, JointVisibility.OUT_OF_VIEW), SIZE, CONFIG)
    assert not none.any()


def test_fields_point_along_the_bones(image):
    xy, _, states = image
    checked = 0
    for person in range(2):
        fields = affinity_fields(xy[person : person + 1], states[person : person + 1], SIZE, CONFIG)
        for number, (a, b) in enumerate(MAPS_SKELETON.bones):
            start, stop = cell(xy[person, a]), cell(xy[person, b])
            inside = not np.isin(states[person, [a, b]], (0, JointVisibility.OUT_OF_VIEW)).any()
            if inside and np.linalg.norm(stop - start) > 1:
                x, y = np.rint((start + stop) / 2).astype(int)
                way = (stop - start) / np.linalg.norm(stop - start)
                np.testing.assert_allclose(fields[number, :, y, x], way, atol=1e-9)
                checked += 1
            assert fields[number].any() == (inside and np.linalg.norm(stop - start) > 0)
    both = affinity_fields(xy, states, SIZE, CONFIG)
    assert checked > 20 and np.linalg.norm(both, axis=1).max() < 1 + 1e-9


def test_poses_are_read_at_neck_pelvis_and_along_the_limb(image):
    xy, places, states = image
    values, weight = pose_maps(xy, places, states, SIZE, CONFIG)
    wrist, elbow, shoulder, neck, pelvis = (
        NAMES.index(name) for name in ("right_wrist", "right_elbow", "right_shoulder", "neck", "pelvis")
    )
    assert read_out_joints(wrist) == (shoulder, elbow, wrist, neck, pelvis) and read_out_joints(pelvis) == (
        pelvis,
        neck,
    )
    nearest = int(np.argmin(places[:, pelvis, 2]))
    relative = places[nearest] - places[nearest, pelvis]
    for at in (wrist, elbow, shoulder, neck, pelvis):
        if states[nearest, at] != JointVisibility.OUT_OF_VIEW:
            x, y = np.rint(cell(xy[nearest, at])).astype(int)
            assert weight[wrist, y, x] > 0.7
    x, y = np.rint(cell(xy[nearest, neck])).astype(int)
    for joint in range(19):
        if np.isfinite(relative[joint]).all():
            np.testing.assert_allclose(values[joint, :, y, x], relative[joint])
    assert (weight == 0).mean() > 0.9 and weight.max() <= 1


def test_where_two_people_meet_the_nearer_is_read(image):
    xy, places, states = (np.repeat(part[1:2], 2, 0) for part in image)
    places = places.copy()
    places[1] += [0, 0, 1.0]
    places[1, :, 0] += np.where(np.arange(19) == 2, 0, 0.5)  # another pose behind, in the same pixels
    for order in ([0, 1], [1, 0]):
        values, _ = pose_maps(xy[order], places[order], states[order], SIZE, CONFIG)
        x, y = np.rint(cell(xy[0, 2])).astype(int)
        np.testing.assert_allclose(values[10, :, y, x], places[0, 10] - places[0, 2])


def test_files_have_all_maps(walk):
    write_targets(walk, ("orpm", "paf", "heatmaps"), CONFIG)
    paths = sorted((walk.folder / "targets").rglob("*.npz"))
    assert len(paths) == 4 * 3
    held = np.load(paths[0])
    assert held["orpm"].shape == (19, 3, 45, 80) and held["paf"].shape == (len(MAPS_SKELETON.bones), 2, 45, 80)
    assert held["heatmaps"].dtype == np.float16 and held["stride"] == 4 and held["joints"].tolist() == list(NAMES)
    with pytest.raises(ConfigError, match="no targets 'depth'; there are: heatmaps, paf, orpm"):
        write_targets(walk, ("depth",), CONFIG)
    with pytest.raises(ConfigError, match="stride"):
        MapsConfig(stride=0)
