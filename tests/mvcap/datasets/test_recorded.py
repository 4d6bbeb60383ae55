import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from recorded_take import COCO, COLOURS, recorded_session, rendered

from mvcap.datasets.datasheet import gate_lines, split_counts, write_datasheet
from mvcap.datasets.ground_truth import JointVisibility
from mvcap.datasets.quality_gates import GateConfig
from mvcap.datasets.recorded import RecordedConfig, RecordedTake, write_frames
from mvcap.datasets.splits import SplitConfig
from mvcap.errors import ConfigError, InputError, StaleError
from mvcap.progress import silent
from mvcap.structures.pose_file import load_poses

NONE = SplitConfig(by="none")


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return recorded_session(tmp_path_factory.mktemp("take"))


@pytest.fixture(scope="module")
def made(session, tmp_path_factory):
    take = RecordedTake(session, RecordedConfig(every=5, splits=NONE))
    folder = tmp_path_factory.mktemp("dataset")
    return take, write_frames(take, folder, silent), folder


def test_truth_is_that_of_the_take(session, made):
    """Projected truth is within a pixel of the true joints' pixels, in every view, with the lens' distortion."""
    _, truth, _ = made
    true = load_poses(session.folder.parent / "truth.npz")
    frames = list(truth.frames())
    assert [one.frame for one in frames] == [0, 5, 10, 15, 20, 25]
    for one in frames:
        there = true.of(frame=one.frame)
        order = [int(np.nanmean(np.linalg.norm(there.xyz - xyz, axis=-1), -1).argmin()) for xyz in one.xyz]
        assert sorted(order) == [0, 1]
        for view, camera in enumerate(session.rig):
            apart = np.linalg.norm(camera.project(there.xyz[order].astype(float)) - one.xy[:, view], axis=-1)
            assert np.nanmedian(apart) < 0.5 and np.nanmax(apart) < 3
        assert np.isfinite(one.xyz).all(-1).mean() > 0.9


def test_images_and_masks_show_the_people(session, made):
    _, truth, folder = made
    one = list(truth.frames())[3]
    true = load_poses(session.folder.parent / "truth.npz").of(frame=one.frame)
    for view, camera in enumerate(session.rig):
        mask = cv2.imread(str(folder / f"masks/{camera.name}/0000015.png"), cv2.IMREAD_UNCHANGED)
        image = cv2.imread(str(folder / f"images/{camera.name}/0000015.jpg"))[..., ::-1]
        _, labels = rendered(camera, true.xyz.astype(float), view)
        assert ((mask > 0) & (labels > 0)).sum() / ((mask > 0) | (labels > 0)).sum() > 0.85
        for at, person in enumerate(one.persons.tolist()):
            if (mask == person).sum() > 100:
                colour = np.median(image[mask == person], 0)
                nearest = np.abs(COLOURS[1:] - colour).sum(-1).argmin() + 1
                assert (labels[mask == person] == nearest).mean() > 0.8
            assert one.area_px[at, view] == (mask == person).sum()
        seen = one.visibility[:, view] == JointVisibility.VISIBLE
        at = np.rint(one.xy[:, view][seen]).astype(int)
        owner = np.repeat(one.persons[:, None], len(COCO), 1)[seen]
        assert (mask[at[:, 1], at[:, 0]] == owner).mean() > 0.85


def test_people_without_truth_are_told_and_occlude(session):
    strict = RecordedTake(
        session, RecordedConfig(every=15, images="none", gates=GateConfig(sigma_mm=1e-3), splits=NONE)
    )
    assert all(one is None for one in strict.frames())
    assert strict.gates.counts.frames == {"no person with truth": 2}
    take = RecordedTake(session, RecordedConfig(every=15, images="none", splits=NONE))
    take.gates.bodies[2] = replace(take.gates.bodies[2], limbs_m=2 * take.gates.bodies[2].limbs_m)  # none fits
    [one, _] = [frame.truth for frame in take.frames()]
    assert one.persons.tolist() == [1] and one.ignored.shape == (1, 3, 4) and np.isfinite(one.ignored).any()
    assert not one.pictured.any()


def test_faces_are_blurred_in_images_and_nothing_else(session, made, tmp_path):
    _, truth, _ = made
    take = RecordedTake(session, RecordedConfig(every=15, images="png", blur_faces=True, splits=NONE))
    blurred = write_frames(take, tmp_path, silent)
    plain = RecordedTake(session, RecordedConfig(every=15, images="png", splits=NONE))
    write_frames(plain, tmp_path / "plain", silent)
    assert take.unblurred == 0
    for one in blurred.frames():
        for view, name in enumerate(truth.views):
            after = cv2.imread(str(tmp_path / f"images/{name}/{one.frame:07d}.png")).astype(int)
            before = cv2.imread(str(tmp_path / f"plain/images/{name}/{one.frame:07d}.png")).astype(int)
            changed = np.abs(after - before).max(-1) > 0
            heads = one.xy[:, view, :5].mean(1)
            rows, columns = np.nonzero(changed)
            away = np.hypot(columns[:, None] - heads[:, 0], rows[:, None] - heads[:, 1]).min(1)
            assert 20 < changed.sum() < 0.05 * changed.size and away.max() < 20


def test_the_masks_of_a_session_are_used_and_completed(session, tmp_path):
    """A session's own mask shows person rows 1 and 2; one that lacks somebody is completed by the volumes."""
    from mvcap import stages

    found = stages.detections(session, "estimate").between(0, 1)
    name, view = session.names[0], 0
    place = session.folder / "masks" / name
    place.mkdir(parents=True)
    try:
        rows = found.of(frame=0, view=view)
        mask = np.zeros(session.rig[0].size[::-1], np.uint8)
        x, y = np.rint(np.nanmean(rows.xy[0], 0)).astype(int)
        cv2.rectangle(mask, (int(x) - 6, int(y) - 20), (int(x) + 6, int(y) + 20), 1, -1)
        cv2.imwrite(str(place / "0000000.png"), mask)
        take = RecordedTake(session, RecordedConfig(every=30, images="none", splits=NONE))
        [one] = take.frames()
        assert take.mask_sources == {"session and volumes": 1, "volumes": 2}
        own = one.masks[0][y, x]
        assert own in (1, 2) and (one.masks[0] == own).sum() == (mask == 1).sum()
        assert (one.masks[0] == 3 - own).sum() > 100
        none = RecordedTake(session, RecordedConfig(every=30, images="none", masks="volumes", splits=NONE))
        assert len(list(none.frames())) == 1 and none.mask_sources == {"volumes": 3}
    finally:
        (place / "0000000.png").unlink()
        place.rmdir()
        place.parent.rmdir()


def test_masks_of_other_detections_are_refused(session):
    """Masks belong to the rows of ``estimate``; people who were associated from others cannot be found in them."""
    path = session.folder / "artefacts" / "associate" / "manifest.json"
    place = session.folder / "masks" / session.names[0]
    held = path.read_text()
    place.mkdir(parents=True)
    try:
        cv2.imwrite(str(place / "0000000.png"), np.zeros(session.rig[0].size[::-1], np.uint8))
        manifest = json.loads(held)
        manifest["inputs"]["estimate"] = "another"
        path.write_text(json.dumps(manifest))
        with pytest.raises(StaleError, match="people were associated from other detections; run `mvcap reconstruct"):
            RecordedTake(session, RecordedConfig(splits=NONE))
        assert RecordedTake(session, RecordedConfig(masks="volumes", splits=NONE)).bodies  # these need none
    finally:
        path.write_text(held)
        (place / "0000000.png").unlink()
        place.rmdir()
        place.parent.rmdir()


def test_settings_that_contradict_are_refused(session):
    with pytest.raises(ConfigError, match="faces are blurred in images"):
        RecordedConfig(images="none", blur_faces=True)
    with pytest.raises(ConfigError, match="every must be 1 or more"):
        RecordedConfig(every=0)
    with pytest.raises(InputError, match="too few for 3 splits"):
        RecordedTake(session, RecordedConfig(splits=SplitConfig(gap_s=2.0)))


def test_the_datasheet_says_what_was_kept(made, tmp_path):
    take, truth, _ = made
    facts = {"licence": "CC BY 4.0", "gates": take.gates.counts.table(), "provenance": {"session": "take.mvcap"}}
    sheet = write_datasheet(tmp_path, truth, facts)
    assert json.loads((tmp_path / "datasheet.json").read_text())["licence"] == "CC BY 4.0"
    text = (tmp_path / "README.md").read_text()
    assert "Licence: CC BY 4.0." in text and "| train | 6 | 18 | 1, 2 |" in text and "From take.mvcap" in text
    assert all(line in text for line in gate_lines(sheet["gates"]))
    counts = split_counts(truth)["train"]
    assert counts["joints"] == sum((one.visibility > 0).sum() for one in truth.frames()) > counts["visible"] > 0
    assert "not stated" in write_datasheet(tmp_path, truth, {})["licence"]
