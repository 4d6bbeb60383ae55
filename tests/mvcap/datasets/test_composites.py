import json

import cv2
import numpy as np
import pytest
from recorded_take import COCO, COLOURS, recorded_session, rendered, write_session_masks

from mvcap.config import build
from mvcap.datasets.body_volumes import RayGrid, body_volumes
from mvcap.datasets.composites import Composer, CompositeConfig, overlaid
from mvcap.datasets.cutouts import PlacedCutout
from mvcap.datasets.ground_truth import JointVisibility
from mvcap.datasets.quality_gates import GateConfig
from mvcap.datasets.source_people import SourceSession
from mvcap.datasets.splits import SplitConfig
from mvcap.errors import ConfigError, InputError
from mvcap.generate import generate_composites

NONE = {"splits": SplitConfig(by="none")}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Two takes of one walker each, of one rig; the walkers have circles and colours of their own."""
    made = []
    for first in (1, 2):
        session = recorded_session(tmp_path_factory.mktemp(f"take{first}"), 20, 1, noise_px=0.3, first=first)
        write_session_masks(session, first)
        made.append(session)
    return made


def composer(sessions, backgrounds=None, **settings):
    asked = {"people": [2, 2], "recolour": False, "background": "plain", **settings}
    config = build(CompositeConfig, asked, "composite")
    return Composer(sessions, CompositeConfig(**{**vars(config), **NONE}), backgrounds)


@pytest.fixture(scope="module")
def composites(sessions):
    made = composer(sessions, turn_deg=12)
    return made, list(made.composites(9))


def test_every_pixel_shows_the_nearest_body(composites):
    """Labels are those of a rendering of both bodies at the stated places, in depth order."""
    made, pictures = composites
    overlapped = 0
    for one, record in zip(pictures, made.records, strict=True):
        view = made.rig.names.index(record["view"])
        camera, labels = made.rig[view], one.masks[view]
        xyz = whole(one.truth.xyz)
        grid = RayGrid(camera, max(camera.size))
        depth, _ = grid.depth(body_volumes(camera, COCO, xyz))
        wanted = grid.labels(depth)
        union = (labels > 0) | (wanted > 0)
        assert ((labels == wanted) & union).sum() / union.sum() > 0.8
        both = np.isfinite(depth).all(0)
        both[both] = np.abs(depth[0][both] - depth[1][both]) > 0.1
        overlapped += both.sum()
        if both.sum() > 30:
            assert (labels[both] == wanted[both]).mean() > 0.9
    assert overlapped > 200  # people do hide each other in some


def whole(xyz):
    """Joints with those without truth at the middle of the others: few, for drawing only."""
    out = xyz.copy()
    for person in out:
        lost = np.isnan(person).any(-1)
        person[lost] = np.nanmean(person, 0)
    return out


def test_truth_lands_on_the_people(composites):
    made, pictures = composites
    hits = []
    for one, record in zip(pictures, made.records, strict=True):
        view = made.rig.names.index(record["view"])
        truth, labels = one.truth, one.masks[view]
        for camera_view, camera in enumerate(made.rig):
            np.testing.assert_allclose(camera.project(truth.xyz), truth.xy[:, camera_view], atol=1e-9)
        for at, person in enumerate(record["people"]):
            seen = truth.visibility[at, view] == JointVisibility.VISIBLE
            x, y = np.rint(truth.xy[at, view, seen]).astype(int).T
            hits += (labels[y, x] == at + 1).tolist()
            mine = one.images[view][labels == at + 1]
            if len(mine) > 60:  # red is the walker of the first take, blue that of the second
                colour = np.median(mine, 0)
                assert np.abs(COLOURS[1:3] - colour).sum(-1).argmin() == person["session"]
            assert truth.area_px[at, view] == (labels == at + 1).sum()
        assert truth.pictured.tolist() == [number == view for number in range(3)]
        assert [image is not None for image in one.images] == truth.pictured.tolist()
    assert np.mean(hits) > 0.85


def test_pixels_are_those_of_the_source(sessions, composites):
    """A person who is not turned keeps their pixels: red stays red, blue stays blue."""
    made = composer(sessions, turn_deg=0, size_spread=0)
    for one in made.composites(3):
        record = made.records[-1]
        view = made.rig.names.index(record["view"])
        for at, person in enumerate(record["people"], 1):
            assert person["scale"] == 1 and person["view"] == record["view"]
            source = sessions[person["session"]]
            mask = one.masks[view] == at
            inner = cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            image = next(source.images(view, person["frame"], person["frame"] + 1))[1]
            if inner.any():
                assert np.abs(one.images[view][inner].astype(int) - image[inner]).max() <= 2


def test_the_same_seed_gives_the_same_pictures(sessions):
    first, again, other = (
        list(composer(sessions, seed=seed, background="room", recolour=True).composites(2)) for seed in (3, 3, 4)
    )
    view = int(np.flatnonzero(first[0].truth.pictured)[0])
    np.testing.assert_array_equal(first[0].images[view], again[0].images[view])
    np.testing.assert_array_equal(first[0].truth.xyz, again[0].truth.xyz)
    assert (first[0].truth.xyz.shape != other[0].truth.xyz.shape) or (first[0].truth.xyz != other[0].truth.xyz).any()


def test_faces_are_blurred_and_the_rest_stays(sessions):
    [plain], [blurred] = (list(composer(sessions, blur_faces=blur).composites(1)) for blur in (False, True))
    view = int(np.flatnonzero(plain.truth.pictured)[0])
    changed = (plain.images[view] != blurred.images[view]).any(-1)
    heads = np.nanmean(plain.truth.xy[:, view, :5], 1)
    rows, columns = np.nonzero(changed)
    away = np.hypot(columns[:, None] - heads[:, 0], rows[:, None] - heads[:, 1]).min(1)
    assert changed.sum() > 10 and away.max() < 12


def test_the_room_has_no_people(sessions):
    source = SourceSession(0, sessions[0], GateConfig(), SplitConfig(by="none"))
    for view, camera in enumerate(sessions[0].rig):
        empty, _ = rendered(camera, np.empty((0, 17, 3)), view)
        difference = np.abs(source.room(view).astype(int) - empty).max(-1)
        assert np.mean(difference < 30) > 0.97


def test_nobody_is_in_two_splits(sessions):
    config = CompositeConfig(people=(1, 2), background="plain", splits=SplitConfig(gap_s=0.08), seed=1)
    made = Composer(sessions, config, None)
    list(made.composites(10))
    held = {split: set() for split in ("train", "val", "test")}
    for record in made.records:
        held[record["split"]] |= {person["frame"] for person in record["people"]}
    assert held["train"] and held["test"]
    assert max(held["train"]) + 2 < min(held["val"] | held["test"])


def test_people_are_laid_by_depth_wherever_they_cross():
    """Two planes that cross: the left half of one is nearer, the right half of the other."""
    background = np.zeros((4, 6, 3), np.uint8)
    slope = np.linspace(1, 2, 6, dtype=np.float32)[None].repeat(4, 0)
    planes = [PlacedCutout(np.full_like(background, value), np.ones((4, 6), np.float32), depth)
              for value, depth in ((10, slope), (20, slope[:, ::-1]))]  # fmt: skip
    for order in ([0, 1], [1, 0]):
        image, labels = overlaid(background, [planes[at] for at in order])
        assert (image[:, :3] == 10).all() and (image[:, 3:] == 20).all()
        assert (labels[:, :3] == order.index(0) + 1).all() and (labels[:, 3:] == order.index(1) + 1).all()


def test_backgrounds_fill_the_picture(sessions, tmp_path):
    picture = np.zeros((90, 300, 3), np.uint8)
    picture[..., 1] = 200
    cv2.imwrite(str(tmp_path / "green.png"), picture)
    made = composer(sessions, tmp_path)
    [one] = made.composites(1)
    view = int(np.flatnonzero(one.truth.pictured)[0])
    assert (one.images[view][0, 0] == [0, 200, 0]).all() and made.records[0]["background"] == "green.png"
    (tmp_path / "green.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"green\.png: cannot be read as a picture"):
        list(composer(sessions, tmp_path).composites(1))
    (tmp_path / "empty").mkdir()
    for folder, said in (("empty", "has no pictures"), ("none", "is no folder of backgrounds")):
        with pytest.raises(InputError, match=said):
            composer(sessions, tmp_path / folder)


def test_a_dataset_of_composites(sessions, tmp_path):
    found = generate_composites(
        sessions, tmp_path / "out", 4, formats=["coco", "mupots"], splits={"by": "none"}, targets=["orpm"],
        settings={"people": [2, 2], "background": "plain"}, licence="CC0",
    )  # fmt: skip
    records = json.loads((found.folder / "composites.json").read_text())
    assert [one["frame"] for one in records] == [0, 1, 2, 3] and found.sheet["splits"]["train"]["images"] == 4
    pictures = sorted((found.folder / "images").rglob("*.jpg"))
    assert len(pictures) == 4 == len(list((found.folder / "targets").rglob("*.npz")))
    assert not (found.folder / "truth").exists()
    coco = json.loads((found.folder / "coco/annotations/person_keypoints_train.json").read_text())
    assert len(coco["images"]) == 4 and all(
        (found.folder / "images" / one["file_name"]).exists() for one in coco["images"]
    )
    assert str(tmp_path) not in (found.folder / "datasheet.json").read_text()


def test_what_cannot_be_composed_is_refused(sessions, tmp_path):
    with pytest.raises(ConfigError, match="composite 'people'"):
        CompositeConfig(people=(3, 2))
    with pytest.raises(ConfigError, match="turn_deg"):
        CompositeConfig(turn_deg=-1)
    with pytest.raises(InputError, match="at least one session"):
        generate_composites([], tmp_path / "out", 1)
    with pytest.raises(InputError, match="nobody in the sessions can be cut out"):
        Composer(sessions, CompositeConfig(gates=GateConfig(sigma_mm=1e-3), **NONE), None)
    with pytest.raises(InputError, match=r"no 20 people of split 'train' fit into a picture of view 'cam1'"):
        list(composer(sessions[:1], people=[20, 20], turn_deg=0).composites(1))
    assert not list(tmp_path.iterdir())
