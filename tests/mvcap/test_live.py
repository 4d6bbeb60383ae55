"""People while they move: numbers that stay, the stages' own code, and everything recorded meanwhile."""

import numpy as np
import pytest
from live_take import FRAMES, RATE_HZ, SIZE, cameras, oracle_take
from synthetic_take import truth

import mvcap
from calib import RigMismatchError
from mvcap.errors import InputError, SourceError
from mvcap.structures.footage import Footage

IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


class _Kept:
    """A sender that keeps what it is given."""

    def __init__(self):
        self.messages = []

    def send(self, message):
        self.messages.append(message)

    def close(self):
        pass


def test_steps_give_the_true_people_and_numbers_that_stay(tmp_path):
    rig, settings = oracle_take(tmp_path)
    people, true = mvcap.Live(rig, "oracle", rate_hz=RATE_HZ, settings=settings), truth(FRAMES, people=2)
    made = [people.step([IMAGE] * 3, 100 + frame / RATE_HZ) for frame in range(40)]
    assert [one.frame for one in made] == list(range(40))
    assert sorted(made[0].poses.person.tolist()) == [0, 0]  # no number before the delay has passed
    for one in made[15:]:
        assert sorted(one.poses.person.tolist()) == [1, 2]
        now = true.of(frame=one.frame)
        away = np.linalg.norm(one.poses.xyz[:, None] - now.xyz[None], axis=-1).mean(-1)
        assert away.min(1).max() < 0.03  # the cameras have 320 x 180 px
    middle = np.array([np.nanmean(one.poses.xyz[np.argsort(one.poses.person)], axis=1) for one in made[15:]])
    assert np.linalg.norm(np.diff(middle, axis=0), axis=-1).max() < 0.2  # nobody takes the number of another


def test_a_view_that_is_away_and_times_that_jump_are_followed(tmp_path):
    rig, settings = oracle_take(tmp_path)
    people = mvcap.Live(rig, "oracle", rate_hz=RATE_HZ, settings=settings)
    times = np.cumsum(np.where(np.arange(60) % 7 == 0, 3, 1)) / RATE_HZ
    made = [people.step([IMAGE, IMAGE, None if 20 < n < 40 else IMAGE], float(at)) for n, at in enumerate(times)]
    assert made[-1].frame == round((times[-1] - times[0]) * RATE_HZ)
    assert all(sorted(one.poses.person.tolist()) == [1, 2] for one in made[15:])
    assert set(made[30].poses.views[0].tolist()) == {2}
    nothing = people.step([None] * 3, 100.0)
    assert len(nothing.poses) == 0


@pytest.mark.parametrize("rate_hz", [2.0, 8.0, 15.0])
def test_a_rate_that_is_too_low_costs_no_numbers(tmp_path, rate_hz):
    rig, settings = oracle_take(tmp_path)
    people = mvcap.Live(rig, "oracle", rate_hz=rate_hz, settings=settings)
    made = [people.step([IMAGE] * 3, frame / RATE_HZ) for frame in range(30)]
    assert all(sorted(one.poses.person.tolist()) == [1, 2] for one in made[8:])


def test_streams_become_people_and_a_recording(tmp_path):
    rig, settings = oracle_take(tmp_path)
    sender, told = _Kept(), []
    with cameras(rig) as sources:
        made = mvcap.live(
            sources, rig, estimator="oracle", settings=settings, senders=[sender], record=tmp_path / "r", seconds=5.0,
            told=lambda people, moment, delay_s, fitted: told.append((people.frame, delay_s, moment.passed)),
        )  # fmt: skip
    assert made.reason == "the time is up" and made.moments == len(sender.messages) == len(told) > 5
    assert made.people == 2 and 0 < made.delay_s[0] <= made.delay_s[1] < 3
    last = sender.messages[-1]
    assert sorted(one["id"] for one in last["people"]) == [1, 2] and last["delay_ms"] < 3000
    times = [message["time_s"] for message in sender.messages]
    assert (np.diff(times) > 0).all()
    assert all(Footage.probe(tmp_path / "r" / "videos" / f"{one.name}.mkv").frames > 40 for one in rig)


def test_what_is_wrong_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("mvcap.recording.recorder._OPEN_S", 0.5)
    rig, settings = oracle_take(tmp_path)
    away = [f"{one.name}=http://127.0.0.1:9/" for one in rig]
    with pytest.raises(InputError, match="one view only"):
        mvcap.live(away[:1], rig)
    with pytest.raises(SourceError, match="not all sources answer"):
        mvcap.live(away, rig, estimator="oracle", settings=settings)
    with pytest.raises(RigMismatchError, match="other"):
        mvcap.live(["other=http://127.0.0.1:9/", "another=http://127.0.0.1:9/"], rig)
