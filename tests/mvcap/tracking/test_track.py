"""Who is who through time: crossings, absences, doubles, ghosts and wrong numbers, on takes whose truth is known."""

import pickle

import numpy as np
import pytest
from associator_stubs import Deaf, Knows
from click.testing import CliRunner
from synthetic_take import COCO, RATE_HZ, body, write_take

import mvcap
from mvcap import stages
from mvcap.cli.main import cli
from mvcap.errors import ConfigError, StaleError
from mvcap.reporting.page import render
from mvcap.reporting.pose_quality import PoseQuality, summarise
from mvcap.structures.artefact import Origin
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.tracking.limb_reid import LimbProfile, limb_distance, limb_sums, same_person_nats
from mvcap.tracking.motion_model import predict_states
from mvcap.tracking.tracklet_linking import TrackletLinker
from mvcap.tracking.tracklets import TrackConfig

NOISE_M = 0.008
_UPPER = np.array([1, 0, 0, 1, 0, 1])


def figure(time_s, place, scale=1.0, phase=0.0):
    """Joints (17, 3) m of somebody who walks at a place (x, y), of a stature."""
    middle = np.array([*place, 0.0])
    return (body(time_s, (*place, 0.0, phase, 1e-9)) - middle) * scale + middle


def people_of(frames, *walkers, rate_hz=RATE_HZ, seed=0, noise_m=NOISE_M):
    """Poses of walkers, which are (place by time or None, stature); person = 1, 2 ..., group = person."""
    rng = np.random.default_rng(seed)
    rows = []
    for frame in range(frames):
        for person, (path, scale) in enumerate(walkers, 1):
            place = path(frame / rate_hz)
            if place is not None:
                rows.append((frame, person, figure(frame / rate_hz, place, scale, person)))
    xyz = np.array([row[2] for row in rows]).reshape(-1, 17, 3)
    return table([r[0] for r in rows], [r[1] for r in rows], xyz + rng.normal(0, noise_m, xyz.shape), noise_m)


def table(frame, person, xyz, noise_m=NOISE_M, views=4, score=0.9):
    """Rows of bodies (M, 17, 3) m."""
    missing = np.isnan(xyz).any(-1)
    cov = np.broadcast_to(noise_m**2 * _UPPER, (*missing.shape, 6))
    person = np.asarray(person, np.int32)
    return Poses3D(
        COCO, np.asarray(frame), person, person, xyz, np.where(missing, 0, score), np.where(missing, np.nan, 1.0),
        np.where(missing, 0, views), np.where(missing[..., None], np.nan, cov), ~missing,
    )  # fmt: skip


def shuffled(poses, seed=1):
    """The same people in another order in each frame, numbered anew in each."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(poses)), poses.frame))
    poses = poses[order]
    first = np.searchsorted(poses.frame, poses.frame)
    return poses.with_columns(group=np.arange(len(poses)) - first)


def together(*tables):
    """All rows, in the order of frames."""
    rows = Poses3D.concatenate(tables, COCO)
    return rows[np.argsort(rows.frame, kind="stable")]


def tracked(folder, poses, frames, associator=Deaf, rate_hz=RATE_HZ, **settings):
    """Track poses, whose column person is the truth; return rows with their truth as group, and the record."""
    take = write_take(folder / "take", 1, 1)
    session = Session.create(take["rig"], folder / "session", frames=frames, rate_hz=rate_hz)
    session.override({"associator": f"associator_stubs:{associator.__name__}", "track": settings})
    place = session.artefact("triangulate", Poses3D)
    place.begin(Origin("triangulate", 1, {}, {}), "coco17", frames, stages.CHUNK_FRAMES)
    for start, stop in place.ranges():
        place.write(start, poses[(poses.frame >= start) & (poses.frame < stop)])
    place.finish()
    made = mvcap.track(session)
    rows = Poses3D.concatenate(list(made.chunks()), COCO)
    return rows, made.manifest["identities"], session


def ids(rows, poses):
    """For every true person the set of numbers given: rows are found again by frame and group."""
    true = dict(zip(zip(poses.frame.tolist(), poses.group.tolist(), strict=True), poses.person.tolist(), strict=True))
    out = {}
    for frame, group, person in zip(rows.frame.tolist(), rows.group.tolist(), rows.person.tolist(), strict=True):
        out.setdefault(true[frame, group], set()).add(person)
    return out


def line(start, speed):
    """A straight way."""
    return lambda t: np.array(start) + np.array(speed) * t


def within(path, *spells):
    """The way, but only within spells of time."""
    return lambda t: path(t) if any(a <= t < b for a, b in spells) else None


SMALL, MIDDLE, TALL = 0.88, 1.0, 1.12


@pytest.mark.parametrize("associator", [Deaf, Knows])
@pytest.mark.parametrize("live", [False, True])
def test_people_who_cross_keep_their_numbers(tmp_path, associator, live):
    poses = people_of(
        100, (line((-2, 0), (1, 0)), MIDDLE), (line((2, 0.35), (-1, 0)), MIDDLE), (line((0, -2), (0, 1)), MIDDLE)
    )
    poses = shuffled(poses) if associator is Deaf else poses
    rows, record, _ = tracked(tmp_path, poses, 100, associator, live=live)
    assert len(rows) == len(poses) and sorted(map(tuple, ids(rows, poses).values())) == [(1,), (2,), (3,)]
    assert record["people"] == 3 and record["changes"] == []


def test_a_gap_of_two_seconds_is_bridged_by_motion(tmp_path):
    walk = line((-3, 0), (0.8, 0))
    poses = shuffled(people_of(200, (within(walk, (0, 3), (5, 8)), MIDDLE), (line((3, 2), (-0.5, 0)), MIDDLE)))
    rows, record, _ = tracked(tmp_path, poses, 200)
    assert len(rows) == len(poses) and sorted(map(len, ids(rows, poses).values())) == [1, 1]
    assert [(c["what"], c["frame"]) for c in record["changes"]] == [("joined", 125)]
    assert 1.9 < record["changes"][0]["figures"]["absent_s"] < 2.1


def leave_and_return(scales):
    """One who leaves for 10 s and comes back elsewhere; others of other statures leave before and after or stay."""
    return shuffled(
        people_of(
            500,
            (within(line((-2, 0), (0.1, 0)), (0, 6), (16, 20)), scales[0]),
            (within(line((2, 0), (0.1, 0)), (0, 7)), scales[1]),
            (line((0, 3), (0.0, 0)), scales[2]),
        )
    )


def test_who_comes_back_after_long_is_known_by_their_limbs(tmp_path):
    poses = leave_and_return((SMALL, TALL, MIDDLE))
    rows, record, _ = tracked(tmp_path, poses, 500)
    assert all(len(given) == 1 for given in ids(rows, poses).values()) and record["people"] == 3
    (change,) = record["changes"]
    assert change["what"] == "returned" and change["frame"] == 400 and 9.9 < change["figures"]["absent_s"] < 10.1


def test_who_could_be_two_people_gets_a_new_number(tmp_path):
    poses = leave_and_return((MIDDLE, MIDDLE * 1.005, SMALL))
    rows, record, _ = tracked(tmp_path, poses, 500)
    assert record["people"] == 4 and [len(given) for _, given in sorted(ids(rows, poses).items())] == [2, 1, 1]


def meet_and_part(scales, frames=300):
    """Two who walk up to each other, stand there, and go back to where they came from."""

    def half(side):
        return lambda t: np.array([side * max(0.15, 1.0 + abs(t - 6) - 4), 0.02 * side])

    return people_of(frames, (half(-1), scales[0]), (half(1), scales[1]))


def exchanged_unseen(scales, numbers):
    """Two who meet, change places while nobody sees them, and go back on each other's way; numbers go by place."""
    poses = meet_and_part(scales)
    after = poses.frame >= 150
    xyz = poses.xyz.copy()
    xyz[after, :, 0] *= -1
    wrong = np.where(after, 3 - poses.person, poses.person) if numbers else poses.person
    return poses.with_columns(xyz=xyz, group=wrong)[(poses.frame < 143) | (poses.frame >= 157)]


@pytest.mark.parametrize("associator", [Deaf, Knows])
def test_a_swap_in_a_meeting_is_repaired(tmp_path, associator):
    poses = exchanged_unseen((0.93, 1.07), numbers=True)
    rows, record, _ = tracked(tmp_path / "whole", poses, 300, associator)
    assert all(len(given) == 1 for given in ids(rows, poses).values()) and len(rows) == len(poses)
    (change,) = record["changes"]
    assert change["what"] == "exchanged" and {change["person"], change["other"]} == {1, 2}
    assert change["frame"] in range(140, 160) and "sigma" in change["why"]
    assert change["figures"]["limb_share_kept"] > 0.1 > 0.05 > change["figures"]["limb_share_exchanged"]
    rows, _, _ = tracked(tmp_path / "live", poses, 300, associator, live=True)
    assert all(len(given) == 2 for given in ids(rows, poses).values())  # which nobody could know at the time


def test_no_swap_is_repaired_that_limbs_do_not_show(tmp_path):
    poses = meet_and_part((MIDDLE, MIDDLE * 1.01))
    rows, record, _ = tracked(tmp_path, poses, 300)
    assert record["changes"] == [] and len(rows) == len(poses)


def test_doubles_are_merged_and_the_better_row_is_kept(tmp_path):
    poses = people_of(150, (line((-2, 0), (0.6, 0)), MIDDLE), (line((0, 2), (0.1, 0)), TALL))
    double = poses[(poses.person == 1) & (poses.frame >= 40) & (poses.frame < 110)]
    worse = table(double.frame, double.person, double.xyz + np.float32(0.07), views=2, score=0.5)
    both = together(poses, worse.with_columns(group=worse.person + 10))
    rows, record, _ = tracked(tmp_path, both, 150)
    assert record["people"] == 2 and len(rows) == len(poses) and (rows.group < 10).all()
    (change,) = record["changes"]
    assert change["what"] == "merged" and change["person"] == change["other"]
    assert change["figures"]["frames_shared"] == pytest.approx(70, abs=2)


def test_two_who_hug_for_a_while_are_not_one(tmp_path):
    rows, record, _ = tracked(tmp_path, meet_and_part((MIDDLE, MIDDLE)), 300)
    assert record["people"] == 2 and "merged" not in record["counts"] and len(rows) == 600


def test_ghosts_are_dropped_and_listed(tmp_path):
    rng = np.random.default_rng(3)
    poses = people_of(200, (line((-2, 0), (0.5, 0)), MIDDLE), (line((2, 1), (-0.4, 0)), TALL))
    short = people_of(60, (within(line((0, 2), (0, 0)), (2.0, 2.12)), MIDDLE)).with_columns()
    loose = people_of(120, (within(line((0, -2), (0, 0)), (2.0, 4.0)), MIDDLE))
    loose = table(loose.frame, loose.person, loose.xyz + rng.normal(0, 0.08, loose.xyz.shape), 0.08, views=2, score=0.4)
    flicker = table(np.arange(0, 200, 9), np.ones(23), 3 + rng.uniform(-2, 2, (23, 17, 3)))
    ghosts = [one.with_columns(group=one.group + 10 * at) for at, one in enumerate((short, loose, flicker), 1)]
    rows, record, _ = tracked(tmp_path, together(poses, *ghosts), 200)
    assert record["people"] == 2 and len(rows) == len(poses) and (rows.group < 10).all()
    drops = [change for change in record["changes"] if change["what"] == "dropped"]
    assert record["counts"]["dropped"] == len(drops) + record["not_listed"] == 25
    (listed,) = [drop for drop in drops if drop["figures"]["frames"] == 50]
    why = listed["why"]
    assert listed["frame"] == 50 and "seen by 2.0 views" in why and "score 0.40" in why
    dropped = record["dropped"]
    assert dropped["persons"] == 25 and dropped["person_frames"] == 50 + len(short) + 23
    assert dropped["of_person_frames"] == len(poses) + dropped["person_frames"]
    assert sum(one["person_frames"] for one in dropped["reasons"].values()) == dropped["person_frames"]


def test_a_number_given_to_another_body_is_not_believed(tmp_path):
    poses = people_of(100, (line((-2, 0), (0.5, 0)), MIDDLE), (line((2, 1), (-0.5, 0)), MIDDLE))
    wrong = poses.with_columns(group=np.where(poses.frame >= 60, 3 - poses.person, poses.person))
    rows, record, _ = tracked(tmp_path, wrong, 100, Knows)
    assert ids(rows, wrong) == {1: {1}, 2: {2}}
    assert [(c["what"], c["frame"]) for c in record["changes"]] == [("split", 60)] * 2
    assert "association gave number" in record["changes"][0]["why"]


def without_joints(poses, rows):
    """The poses, some of whose rows have no joint in 3D."""
    xyz, gone = poses.xyz.copy(), np.flatnonzero(rows)
    xyz[gone] = np.nan
    made = table(poses.frame, poses.person, xyz)
    return made.with_columns(group=poses.group)


def test_rows_of_one_view_keep_their_person_where_the_associator_follows(tmp_path):
    poses = people_of(150, (line((-2, 0), (0.5, 0)), MIDDLE), (line((2, 1), (-0.5, 0)), MIDDLE))
    bare = without_joints(poses, (poses.person == 1) & (poses.frame >= 40) & (poses.frame < 100))
    rows, record, _ = tracked(tmp_path / "knows", bare, 150, Knows)
    assert len(rows) == len(poses) and ids(rows, poses) == {1: {1}, 2: {2}} and record["people"] == 2
    stranger = bare.with_columns(group=np.where(bare.score.any(-1), bare.group, 9))
    rows, _, _ = tracked(tmp_path / "stranger", stranger, 150, Knows)
    assert len(rows) == len(poses) - 60 and ids(rows, stranger) == {1: {1}, 2: {2}}
    rows, _, _ = tracked(tmp_path / "deaf", bare, 150)
    assert len(rows) == len(poses) - 60 and ids(rows, poses) == {1: {1}, 2: {2}}


def test_a_number_that_comes_back_is_the_same_person(tmp_path):
    away = within(line((-2, 0), (0.1, 0)), (0, 3), (11, 15))
    poses = people_of(400, (away, MIDDLE), (line((2, 1), (-0.1, 0)), MIDDLE))
    rows, record, _ = tracked(tmp_path, poses, 400, Knows)
    assert ids(rows, poses) == {1: {1}, 2: {2}} and [c["what"] for c in record["changes"]] == ["joined"]


def test_live_is_the_whole_take_where_that_is_easy(tmp_path):
    poses = shuffled(people_of(100, (line((-2, 0), (1, 0)), MIDDLE), (line((2, 0.6), (-1, 0)), TALL)))
    whole, live = (tracked(tmp_path / str(live), poses, 100, live=live)[0] for live in (False, True))
    assert all(np.array_equal(getattr(whole, name), getattr(live, name)) for name in ("frame", "person", "group"))


@pytest.mark.parametrize("scales", [(SMALL, TALL, MIDDLE), (MIDDLE, MIDDLE, SMALL)])
def test_live_does_not_look_further_ahead_than_its_delay(tmp_path, scales):
    rng = np.random.default_rng(5)
    poses = leave_and_return(scales)
    ghosts = table(np.arange(3, 480, 9), np.full(53, 9), rng.uniform(-2, 2, (53, 1, 3)) + figure(0, (0, 0)))
    poses = together(poses, ghosts.with_columns(group=ghosts.group + 10))
    whole, _, _ = tracked(tmp_path / "whole", poses, 500, live=True, delay_s=0.4)
    delay = round(0.4 * RATE_HZ)
    assert len(np.unique(whole.person)) >= 3
    for end in (163, 404):
        cut, _, _ = tracked(tmp_path / str(end), poses[poses.frame < end], end, live=True, delay_s=0.4)
        for name in ("frame", "person", "group"):
            early = [getattr(rows, name)[rows.frame < end - delay] for rows in (cut, whole)]
            assert np.array_equal(*early), (end, name)


def test_live_knows_a_child_that_comes_back(tmp_path):
    poses = leave_and_return((0.6, 1.1, MIDDLE))
    rows, record, _ = tracked(tmp_path, poses, 500, live=True, delay_s=1.0)
    assert all(len(given) == 1 for given in ids(rows, poses).values()) and record["people"] == 3
    assert [c["what"] for c in record["changes"]] == ["returned"]


GARBAGE = {
    "nobody": lambda rng: Poses3D.empty(COCO),
    "no joints": lambda rng: table(np.arange(9), np.ones(9), np.full((9, 17, 3), np.nan)),
    "one frame": lambda rng: table([4], [1], figure(0, (0, 0))[None]),
    "one joint each": lambda rng: table(
        np.arange(9), np.ones(9), np.where(np.arange(17)[:, None] == 5, figure(0, (0, 0)), np.nan)[None].repeat(9, 0)
    ),
    "one place": lambda rng: table(np.repeat(np.arange(9), 40), np.tile(np.arange(40), 9), np.zeros((360, 17, 3))),
    "no covariance": lambda rng: table(np.arange(9), np.ones(9), figure(0, (0, 0))[None].repeat(9, 0)).with_columns(
        cov=np.full((9, 17, 6), np.nan)
    ),
    "infinite": lambda rng: table(
        np.arange(9), np.ones(9), np.where(np.arange(17)[:, None] % 2, figure(0, (0, 0)), np.inf)[None].repeat(9, 0)
    ),
    "negative covariance": lambda rng: table(
        np.arange(9), np.ones(9), figure(0, (0, 0))[None].repeat(9, 0)
    ).with_columns(cov=-np.ones((9, 17, 6))),
    "500 a frame": lambda rng: table(
        np.repeat(np.arange(9), 500), np.tile(np.arange(500), 9), rng.uniform(-5, 5, (4500, 1, 3)) + figure(0, (0, 0))
    ),
}


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("associator", [Deaf, Knows])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_survived(tmp_path, garbage, associator, live):
    poses = GARBAGE[garbage](np.random.default_rng(0))
    rows, record, _ = tracked(tmp_path, poses, 10, associator, live=live)
    assert len(rows) <= len(poses) and (rows.person > 0).all()
    assert len(np.unique(np.stack([rows.frame, rows.person]), axis=1).T) == len(rows)
    assert len(record["changes"]) <= 300


def test_one_frame_is_a_take(tmp_path):
    poses = people_of(1, (line((0, 0), (0, 0)), MIDDLE))
    assert len(tracked(tmp_path, poses, 1, min_seconds=0)[0]) == 1


def test_another_person_in_the_place_of_one_who_was_lost_is_not_the_same(tmp_path):
    """One who vanishes where another turns up at once: motion says it is one person, limbs say it is not."""
    stand = line((0, 0), (0, 0))
    poses = shuffled(people_of(300, (within(stand, (0, 5)), 0.85), (within(stand, (5.4, 12)), 1.12)))
    rows, record, _ = tracked(tmp_path, poses, 300)
    assert record["people"] == 2 and all(len(given) == 1 for given in ids(rows, poses).values())


def chunks_of(session):
    return {path.name: path.read_bytes() for path in sorted((session.folder / "artefacts/track").glob("*.npz"))}


@pytest.mark.parametrize("live", [False, True])
def test_an_interrupted_stage_goes_on_to_the_same_bytes(tmp_path, live):
    poses = people_of(510, (line((-2, 0), (0.1, 0)), MIDDLE))
    _, record, session = tracked(tmp_path, poses, 510, live=live)
    whole, place = chunks_of(session), session.artefact("track", Poses3D)
    assert len(whole) == 3 and "seconds" in place.manifest
    for name in list(whole)[1:]:
        (place.folder / name).unlink()
    place.note(complete=False)
    assert mvcap.track(session).manifest["identities"] == record and chunks_of(session) == whole


def test_memory_does_not_grow_with_the_take():
    poses = people_of(60, (line((0, 0), (0, 0)), MIDDLE), (line((0.4, 0), (0, 0)), TALL))

    def held(frames):
        linking = TrackletLinker(COCO, TrackConfig(), RATE_HZ, follows=False)
        for frame in range(frames):
            rows = poses[poses.frame == frame % 60]
            linking.link(rows.with_columns(frame=np.full(len(rows), frame)))
        return len(pickle.dumps(linking))

    assert held(600) - held(120) < 200  # longer counts


def test_the_report_lists_what_was_changed(tmp_path):
    rows, record, _ = tracked(tmp_path, exchanged_unseen((0.93, 1.07), numbers=True), 300)
    quality = PoseQuality(COCO, 300)
    quality.add(rows)
    summary = summarise(quality, RATE_HZ, ["cam01"])
    page = render({**summary, "identities": record}, {}, {})
    assert 'id="identities"' in page and "1 and 2" in page and "identity switch corrected" in page
    assert f"(frame {record['changes'][0]['frame']})" in page and "sigma" in page
    assert "tracked without interruption" in render(summary, {}, {})


def test_live_is_an_option(tmp_path):
    _, _, session = tracked(tmp_path, people_of(30, (line((0, 0), (0, 0)), MIDDLE)), 30)
    outcome = CliRunner().invoke(cli, ["track", str(session.folder), "--live"])
    assert isinstance(outcome.exception, StaleError) and "live was False, now True" in str(outcome.exception)
    assert "live" not in session.overrides["track"]
    outcome = CliRunner().invoke(cli, ["track", str(session.folder), "--live", "--redo", "--json"])
    assert outcome.exit_code == 0 and session.overrides["track"] == {"live": True}
    assert session.artefact("track", Poses3D).manifest["settings"]["live"] is True


@pytest.mark.parametrize("key", ["gate_sigma", "speed_mps", "acceleration_mps2", "limb_speed_mps", "delay_s", "join_s"])
def test_settings_that_make_no_sense_are_refused(key):
    with pytest.raises(ConfigError, match=key):
        TrackConfig(**{key: -1.0})


# How bodies move, and what limbs say


def test_motion_does_not_depend_on_the_frame_rate():
    rng = np.random.default_rng(0)
    mean, root = rng.normal(size=(3, 6)), rng.normal(size=(3, 6, 6))
    cov = root @ np.swapaxes(root, 1, 2)
    once = predict_states(mean, cov, 1.2, 1.5, 3.0)
    for _ in range(30):
        mean, cov = predict_states(mean, cov, 0.04, 1.5, 3.0)
    assert np.allclose(mean, once[0]) and np.allclose(cov, once[1])
    each = predict_states(mean, cov, np.array([0.1, 0.2, 0.3]), 1.5, 3.0)
    assert np.allclose(each[1][2], predict_states(mean[2:], cov[2:], 0.3, 1.5, 3.0)[1][0])


def test_nobody_gets_uncertain_faster_than_people_walk():
    _, cov = predict_states(np.zeros((2, 6)), np.zeros((2, 6, 6)), np.array([0.04, 10.0]), 1.5, 3.0)
    sigma = np.sqrt(cov[:, 0, 0])
    assert sigma[0] < 0.02 and 4 < sigma[1] < 8 and np.allclose(cov[1, 3, 3], 1.5**2)


def limbs_of(scale, frames, noise_m=NOISE_M, seed=0):
    """Limbs as measured of somebody of a stature in so many frames."""
    poses = people_of(frames, (line((0, 0), (0, 0)), scale), seed=seed, noise_m=noise_m)
    return LimbProfile(COCO, limb_sums(poses).sum(0)[None], RATE_HZ)


def test_limbs_tell_statures_apart_only_where_they_are_known():
    known, again, other = limbs_of(1.0, 250), limbs_of(1.0, 250, seed=1), limbs_of(1.1, 250)
    assert same_person_nats(known, again)[0, 0] > 3 and same_person_nats(known, other)[0, 0] < -8
    assert abs(same_person_nats(known, limbs_of(1.1, 1))[0, 0]) < 3
    share, sigma = limb_distance(known, other)
    assert share[0, 0] == pytest.approx(np.log(1.1), abs=0.01) and sigma[0, 0] > 2.5
    nothing = LimbProfile(COCO, np.zeros((1, len(COCO.limbs), 4)), RATE_HZ)
    assert same_person_nats(known, nothing)[0, 0] == pytest.approx(0, abs=1e-3)


def test_evidence_of_limbs_is_a_ratio_of_densities():
    """Against the densities of two normal distributions with their whole covariance matrices."""
    from scipy.stats import multivariate_normal

    a, b = limbs_of(1.0, 50), limbs_of(1.04, 30)
    variance = np.diag(a.variance[0] + b.variance[0])
    population = 2 * (0.06**2 * np.ones_like(variance) + 0.03**2 * np.eye(len(variance)))
    off = (a.mean - b.mean)[0]
    same, other = (multivariate_normal(cov=cov).logpdf(off) for cov in (variance, variance + population))
    assert same_person_nats(a, b)[0, 0] == pytest.approx(same - other)
