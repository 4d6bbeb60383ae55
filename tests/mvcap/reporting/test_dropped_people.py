"""What the report and the command say about people that tracking dropped."""

import pytest

from mvcap.reporting.dropped_people import all_dropped, dropped_sentence, dropped_share


def summary(frames, of=100, people=1, **reasons):
    listed = reasons or {"duration": frames}
    why = {name: {"persons": 1, "person_frames": count, "longest_s": 0.1667} for name, count in listed.items()}
    dropped = {"persons": len(why), "person_frames": frames, "of_person_frames": of, "reasons": why}
    return {"people": [{"id": 1}] * people, "identities": {"dropped": dropped}}


@pytest.mark.parametrize(("frames", "said"), [(0, False), (2, False), (3, True), (60, True)])
def test_more_than_two_per_cent_is_said(frames, said):
    sentence = dropped_sentence(summary(frames))
    assert (sentence is not None) == said and dropped_share(summary(frames)) == frames / 100


def test_reasons_come_in_order_of_what_they_dropped():
    sentence = dropped_sentence(summary(30, duration=10, size=20))
    assert sentence.startswith("tracking dropped 2 persons in 3D, 30 of 100 person-frames (30%)")
    assert sentence.index("20 limbs far from") < sentence.index("10 seen for at most 0.17 s: lower track.min_seconds")


def test_nobody_left_is_not_blamed_on_the_calibration():
    (reason,) = all_dropped(summary(5, of=5, people=0))
    assert reason.level == "do not trust" and "0.17 s" in reason.reason and "track.min_seconds" in reason.reason
    assert "calibration" not in reason.reason
    assert list(all_dropped(summary(5, people=1))) == [] and list(all_dropped({"people": []})) == []


def test_takes_of_earlier_versions_say_nothing():
    assert dropped_sentence({"people": [], "identities": None}) is None and dropped_share({"identities": {}}) == 0
