import numpy as np
import pytest

from mvcap.config import build
from mvcap.datasets.splits import GAP, MIXED, SplitConfig, Splits
from mvcap.errors import ConfigError, InputError

ROWS = {1: 100, 2: 90, 3: 20, 4: 10}


def splits(frames=100, rows=ROWS, **settings):
    return Splits(build(SplitConfig, settings), frames, 10.0, rows)


def test_parts_of_the_take_are_apart_by_the_gap():
    made = splits(gap_s=0.5)
    found = [made.of(frame, np.array([1, 2])) for frame in range(100)]
    where = {name: [at for at, one in enumerate(found) if one == name] for name in ("train", "val", "test")}
    assert len(where["train"]) == 63 and len(where["val"]) in (13, 14) and found.count(GAP) == 10
    assert min(where["val"]) - max(where["train"]) == 6 and min(where["test"]) - max(where["val"]) == 6
    assert sum(map(len, where.values())) == 90


def test_people_are_in_one_split_and_frames_with_people_of_two_are_in_none():
    made = splits(by="person")
    assert set(made.persons.values()) == {"train", "val", "test"} and made.persons[1] == "train"
    for person, split in made.persons.items():
        assert made.of(3, np.array([person])) == split == made.of(99, np.array([person]))
    other = next(person for person, split in made.persons.items() if split != "train")
    assert made.of(0, np.array([1, other])) == MIXED


def test_both_means_other_people_at_other_times():
    made = splits(by="both", gap_s=0.5)
    person = {split: one for one, split in made.persons.items()}
    assert made.of(0, np.array([person["train"]])) == "train" and made.of(0, np.array([person["test"]])) == MIXED
    assert made.of(99, np.array([person["test"]])) == "test" and made.of(65, np.array([1])) == GAP


def test_none_is_all_train_and_shares_may_be_zero():
    assert {splits(by="none").of(frame, np.array([1])) for frame in range(100)} == {"train"}
    two = splits(shares=[0.5, 0, 0.5], gap_s=0)
    assert [two.of(frame, np.array([1])) for frame in (0, 49, 50, 99)] == ["train", "train", "test", "test"]
    assert set(splits(by="person", rows={1: 5, 2: 5}, shares=[1, 0, 1]).persons.values()) == {"train", "test"}


def test_what_cannot_be_split_is_refused():
    with pytest.raises(InputError, match="too few for 3 splits with gaps of 60 frames"):
        splits(gap_s=6.0)
    with pytest.raises(InputError, match="has 2 people, too few for 3 splits by person"):
        splits(by="person", rows={1: 5, 2: 5})
    with pytest.raises(ConfigError, match="shares"):
        splits(shares=[1, 2])
    with pytest.raises(ConfigError, match="gap_s"):
        splits(gap_s=-1.0)
    with pytest.raises(ConfigError, match="by"):
        splits(by="day")
