import contextlib
import io
import json

import numpy as np
import pytest
from recorded_take import dataset_of_walkers, same_truth

from mvcap.datasets.formats.coco import CocoKeypoints, mask_of, read_ids, run_lengths
from mvcap.datasets.ground_truth import as_skeleton
from mvcap.errors import InputError
from mvcap.structures.skeleton import skeleton

PERSON = "annotations/person_keypoints_{}.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    truth = dataset_of_walkers(folder)
    CocoKeypoints().write(truth, folder / "coco")
    return truth, folder / "coco"


def loaded(folder, split="train"):
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(folder / PERSON.format(split)))


def test_it_is_read_back(written):
    truth, folder = written
    back = CocoKeypoints().read(folder)
    assert back.name == "walk" and back.rate_hz == truth.rate_hz and back.views == truth.views
    np.testing.assert_array_equal(back.rig.P, truth.rig.P)
    same_truth(truth, back, ("xyz", "xy", "visibility", "box", "area_px", "sigma_m", "pictured"), atol=1e-3)


def test_pycocotools_reads_people_and_masks(written):
    truth, folder = written
    coco = loaded(folder)
    one = next(truth.frames())
    [image] = [image for image in coco.dataset["images"] if image["frame"] == one.frame and image["view"] == 1]
    assert (folder.parent / "images" / image["file_name"]).exists()
    found = coco.loadAnns(coco.getAnnIds(image["id"]))
    [person] = [one for one in found if not one["iscrowd"]]
    mask = read_ids(truth, truth.views[1], one.frame)
    np.testing.assert_array_equal(coco.annToMask(person), mask == 1)
    rows, columns = np.nonzero(mask == 1)
    assert person["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert person["area"] == (mask == 1).sum()
    keypoints = np.reshape(person["keypoints"], (17, 3))
    assert keypoints[9].tolist() == [0, 0, 0]  # it has no truth
    assert person["num_keypoints"] == (keypoints[:, 2] > 0).sum()
    shown = keypoints[:, 2] == 2
    np.testing.assert_allclose(keypoints[shown, :2], one.xy[0, 1, shown], atol=1e-3)
    [crowd] = [one for one in found if one["iscrowd"]]
    assert set(np.unique(mask[coco.annToMask(crowd) == 1])) <= {2, 3} and crowd["num_keypoints"] == 0


def evaluated(coco, detections, kind="keypoints"):
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        made = COCOeval(coco, coco.loadRes(detections), kind)
        made.evaluate()
        made.accumulate()
        made.summarize()
    return made.stats[0]


def test_pycocotools_evaluates_it(written):
    _, folder = written
    coco = loaded(folder)
    people = [one for one in coco.dataset["annotations"] if not one["iscrowd"]]
    exact = [
        {key: one[key] for key in ("image_id", "category_id", "keypoints", "segmentation", "bbox")} | {"score": 0.9}
        for one in people
    ]
    assert evaluated(coco, exact) == pytest.approx(1.0)
    assert evaluated(coco, exact, "segm") == pytest.approx(1.0) and evaluated(coco, exact, "bbox") == pytest.approx(1.0)
    off = [
        {**one, "keypoints": np.add(np.reshape(one["keypoints"], (17, 3)), [9, 0, 0]).ravel().tolist()} for one in exact
    ]
    assert evaluated(coco, off) < 0.3
    in_crowd = [one for one in coco.dataset["annotations"] if one["iscrowd"]]
    more = [{**exact[0], "image_id": one["image_id"], "score": 0.99, "keypoints": _inside(one["bbox"])}
            for one in in_crowd]  # fmt: skip
    assert evaluated(coco, exact + more) == pytest.approx(1.0)  # people without truth count neither way


def _inside(box):
    return [value for _ in range(17) for value in (box[0] + box[2] / 2, box[1] + box[3] / 2, 2)]


def test_run_lengths_are_those_of_pycocotools():
    from pycocotools import mask as codes

    rng = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.5, 1.0):
        mask = rng.random((37, 53)) < share
        text = run_lengths(mask)
        assert text.encode() == codes.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
        np.testing.assert_array_equal(mask_of(text, mask.shape), mask)
    with pytest.raises(ValueError, match="do not fill"):
        mask_of(text, (37, 54))


def test_without_masks_regions_are_boxes(tmp_path):
    truth = dataset_of_walkers(tmp_path, images=False)
    CocoKeypoints().write(truth, tmp_path / "coco")
    coco = loaded(tmp_path / "coco")
    [person] = [one for one in coco.loadAnns(coco.getAnnIds([1])) if not one["iscrowd"]]
    assert coco.annToMask(person).sum() == pytest.approx(person["area"], rel=0.05)
    same_truth(truth, CocoKeypoints().read(tmp_path / "coco"))


def test_files_of_coco_itself_are_read(tmp_path):
    keypoints = [[10, 20, 2], [30, 40, 1], [0, 0, 0]] + [[1, 2, 2]] * 14
    document = {
        "images": [{"id": 7, "width": 640, "height": 480, "file_name": "000000000007.jpg"}],
        "annotations": [{"id": 3, "image_id": 7, "category_id": 1, "iscrowd": 0, "area": 400.0,
                         "bbox": [10, 20, 30, 40], "keypoints": np.ravel(keypoints).tolist()}],
        "categories": [],
    }  # fmt: skip
    (tmp_path / "annotations").mkdir()
    (tmp_path / PERSON.format("val")).write_text(json.dumps(document))
    truth = CocoKeypoints().read(tmp_path)
    [one] = truth.frames()
    assert truth.rig is None and one.split == "val" and one.persons.tolist() == [3] and one.frame == 7
    np.testing.assert_array_equal(one.xy[0, 0, :3], [[10, 20], [30, 40], [np.nan, np.nan]])
    assert one.box[0, 0].tolist() == [9.5, 19.5, 39.5, 59.5]
    neck = next(as_skeleton(truth, skeleton("panoptic19")).frames()).xy[0, 0, 0]
    assert np.isnan(neck).all()  # no cameras: the middle of 3D joints cannot be projected


@pytest.mark.parametrize("text", ["{", "[]", '{"images": 3, "annotations": []}', '{"annotations": []}'])
def test_damaged_files_are_one_line(tmp_path, text):
    (tmp_path / "annotations").mkdir()
    (tmp_path / PERSON.format("train")).write_text(text)
    with pytest.raises(InputError, match=r"person_keypoints_train\.json: cannot be read as COCO's annotations"):
        CocoKeypoints().read(tmp_path)
    with pytest.raises(InputError, match=r"no annotations/person_keypoints_SPLIT\.json"):
        CocoKeypoints().read(tmp_path / "annotations")
