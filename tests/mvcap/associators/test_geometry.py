"""Who is who across views and time: generated takes whose truth is known, every number of views, and real footage."""

import time

import numpy as np
import pytest
from generated_people import HALPE, HARD, HIDING, NOISE, circle, crossing, disturbed, hugs, ring_rig
from seen_rows import associated, numbers, scores, seen, told
from synthetic_take import recordings

import mvcap
from mvcap.association.joint_reassignment import joint_moves
from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import BodyEstimates, TrackedBodies, estimate_bodies, unknown_bodies
from mvcap.structures.detections import Detections2D

_CACHE = {}


def rows_of(make, *arguments, **errors):
    """Take and its rows, made once."""
    key = make.__name__, arguments, tuple(sorted(errors.items()))
    if key not in _CACHE:
        take = make(*arguments)
        _CACHE[key] = take, seen(take, **errors)
    return _CACHE[key]


def once_each(rows, people):
    """Whether every true person has one number all the time, and no two the same."""
    given = numbers(rows)
    return (
        len(given) == people
        and all(len(one) == 1 for one in given.values())
        and len(set(map(tuple, given.values()))) == people
    )


def same_groups(one, other):
    """Whether rows are grouped alike, whatever the groups are called."""
    both = set(zip(one.person.tolist(), other.person.tolist(), strict=True))
    return len(both) == len(set(one.person.tolist())) == len(set(other.person.tolist()))


# --- crossings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("errors", [NOISE, HIDING, HARD], ids=["noise", "hiding", "hard"])
@pytest.mark.parametrize("cameras", [5, 8])
def test_people_who_cross_keep_their_numbers(cameras, errors):
    take, rows = rows_of(crossing, 5, cameras, 60, **errors)
    found, _ = associated(rows, *take[1:])
    precision, recall = scores(found)
    assert min(precision, recall) >= (0.998 if errors is HARD else 1.0)
    assert once_each(found, 5)


@pytest.mark.parametrize("quality", ["fair", "bad"])
@pytest.mark.parametrize("cameras", [5, 8])
def test_a_disturbed_calibration_is_seen_through_and_learned(cameras, quality):
    (_, rig, rate_hz), rows = rows_of(crossing, 5, cameras, 60, **NOISE)
    found, memory = associated(rows, disturbed(rig, quality), rate_hz)
    assert min(scores(found)) >= 0.99 and once_each(found, 5)
    _, sound = associated(rows, rig, rate_hz)
    worth, none = np.sqrt(memory["calibration"]), np.sqrt(sound["calibration"])
    assert worth.mean() > 0.0008 > 4 * none.mean() and (quality == "fair" or worth.mean() > 0.003)


@pytest.mark.parametrize("cameras", [2, 3, 12])
def test_any_number_of_cameras(cameras):
    take, rows = rows_of(crossing, 5, cameras, 40, **NOISE)
    found, _ = associated(rows, *take[1:])
    assert min(scores(found)) >= 0.999 and once_each(found, 5)


def test_one_camera_finds_nobody():
    take, rows = rows_of(crossing, 5, 1, 20, **NOISE)
    found, memory = associated(rows, *take[1:])
    assert (found.person == -1).all() and memory["next_ident"] == 0


def test_hugs_and_absences():
    take = hugs(people=4, cameras=5, seconds=10.0)
    found, _ = associated(seen(take, **HIDING), *take[1:])
    precision, recall = scores(found)
    assert precision >= 0.99 and recall >= 0.97


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", ["good", "bad"])
@pytest.mark.parametrize("chunk", [1, 7])
def test_chunks_do_not_matter(chunk, quality):
    (_, rig, rate_hz), rows = rows_of(crossing, 5, 8, 60, **NOISE)
    whole, _ = associated(rows, disturbed(rig, quality), rate_hz, chunk=50)
    parts, memory = associated(rows, disturbed(rig, quality), rate_hz, chunk=chunk)
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in memory.values())
    np.testing.assert_array_equal(parts.person, whole.person)
    same = np.isclose(parts.xy, whole.xy, equal_nan=True).all(-1)
    assert same.mean() > 0.9995, "frames in which nobody is in doubt are taken in runs, which chunks cut"


def test_who_is_hidden_for_half_a_second_keeps_the_number():
    take, rows = rows_of(circle, 3, 5, 150, **NOISE)
    hidden = rows[(rows.carried != 2) | (rows.frame < 60) | (rows.frame >= 90)]
    found, _ = associated(hidden, *take[1:])
    assert scores(found) == (1, 1) and once_each(found, 3)


@pytest.mark.parametrize(("seconds", "given"), [(0.5, 1), (1.4, 2)])
def test_frames_without_anybody_are_waited_for_as_any_others(seconds, given):
    """Nobody at all is seen: there are no rows, and a wait of a second is as long as when others are there."""
    take, rows = rows_of(circle, 1, 5, 150, **NOISE)
    alone = rows[(rows.frame < 40) | (rows.frame >= 40 + 60 * seconds)]
    found, memory = associated(alone, *take[1:])
    assert scores(found) == (1, 1) and len(numbers(found)[1]) == given == memory["next_ident"]


def test_one_view_carries_on_and_never_starts():
    take, rows = rows_of(circle, 3, 5, 150, **NOISE)
    single = (rows.carried != 2) | (rows.view == 1)
    found, _ = associated(rows[single | (rows.frame < 60)], *take[1:])
    assert (found.person >= 0).all() and once_each(found, 3)
    found, _ = associated(rows[single], *take[1:])
    assert (found.person[found.carried == 2] == -1).all() and scores(found) == (1, 1)


@pytest.mark.parametrize("step", [3, 12])
def test_slow_cameras(step):
    (_, rig, rate_hz), rows = rows_of(crossing, 5, 8, 60, **NOISE)
    some = rows[rows.frame % step == 0]
    found, _ = associated(some.with_columns(frame=some.frame // step), rig, rate_hz / step)
    assert scores(found) == (1, 1) and once_each(found, 5)


def test_frames_far_apart():
    (_, rig, rate_hz), rows = rows_of(crossing, 5, 8, 60, **NOISE)
    found, _ = associated(rows[rows.frame % 20 == 0], rig, rate_hz)
    assert min(scores(found)) == 1 and once_each(found, 5)


@pytest.mark.parametrize("before", ["nobody", "one view"])
def test_a_bad_calibration_is_guessed_when_people_come(before):
    """What the calibration is worth cannot be told from frames that no two views see anybody in."""
    (_, rig, rate_hz), rows = rows_of(crossing, 5, 8, 60, **NOISE)
    late = rows[(rows.frame >= 51) | ((rows.view == 0) & (before == "one view"))]
    found, _ = associated(late, disturbed(rig, "bad"), rate_hz)
    assert min(scores(found[found.frame >= 51])) >= 0.999


# --- wrong rows ------------------------------------------------------------------------------------------------------


def test_a_split_body_comes_together():
    take, rows = rows_of(crossing, 5, 8, 30, **NOISE, splits=0.3)
    found, _ = associated(rows, *take[1:])
    assert min(scores(found)) >= 0.999 and once_each(found, 5)


def test_phantoms_are_nobody():
    take, rows = rows_of(crossing, 5, 8, 30, **NOISE, phantoms=1.0)
    found, memory = associated(rows, *take[1:])
    assert min(scores(found)) >= 0.999 and memory["next_ident"] <= 6
    ghost = found.carried < 0
    assert ghost.sum() > 150 and (found.person[ghost] >= 0).mean() < 0.01


@pytest.mark.parametrize("errors", [{"swaps": 0.1}, {"limb_swaps": 0.1}], ids=["bodies", "limbs"])
def test_left_for_right_is_no_other_person(errors):
    take, rows = rows_of(crossing, 5, 8, 30, **NOISE, **errors)
    found, _ = associated(rows, *take[1:])
    assert min(scores(found)) >= 0.99 and once_each(found, 5)


def test_two_people_in_one_row_harm_little():
    take, rows = rows_of(crossing, 5, 8, 30, **NOISE, merges=0.05)
    found, _ = associated(rows, *take[1:])
    assert min(scores(found)) >= 0.97 and all(len(set(one)) <= 2 for one in numbers(found).values())


def test_a_stolen_arm_goes_back():
    take, rows = rows_of(circle, 3, 5, 40, noise_px=2.0)
    arm = np.array([joint in ("right_shoulder", "right_elbow", "right_wrist") for joint in HALPE.joints])
    mine = [np.flatnonzero((rows.view == 2) & (rows.carried == who)) for who in (1, 2)]
    one, other = (at[np.isin(rows.frame[at], np.intersect1d(*(rows.frame[at] for at in mine)))] for at in mine)
    assert len(one) == len(other) > 20
    xy, score, noise = (np.array(getattr(rows, name)) for name in ("xy", "score", "noise_px"))
    for column in (xy, score, noise):
        column[np.ix_(one, arm)], column[np.ix_(other, arm)] = column[np.ix_(other, arm)], column[np.ix_(one, arm)]
    found, _ = associated(rows.with_columns(xy=xy, score=score, noise_px=noise), *take[1:])
    assert len(found) == len(rows) and once_each(found, 3)
    later = (rows.frame > 0) & (np.isin(np.arange(len(rows)), one) | np.isin(np.arange(len(rows)), other))
    off = np.nan_to_num(np.linalg.norm(found.xy[later] - rows.xy[later], axis=-1))
    assert (off[:, arm] > 0).mean() < 0.2 and off.max() < 40, "what stays is near: wrists that pass each other"


def test_copies_have_the_number_of_the_original():
    take, rows = rows_of(circle, 3, 5, 40, **NOISE)
    twice = rows[np.repeat(np.arange(len(rows)), 2)]
    xy = np.array(twice.xy)
    xy[1::2] += np.random.default_rng(0).normal(0, 1, xy[1::2].shape)
    found, memory = associated(twice.with_columns(xy=xy), *take[1:])
    assert memory["next_ident"] == 3 and once_each(found, 3)
    np.testing.assert_array_equal(found.person[::2], found.person[1::2])


def test_two_rows_of_a_view_do_not_both_give_a_body_its_arm():
    """Two rows of view 0 have joints that fit body 1, which has no row there: one of them gives each joint."""
    evidence = np.full((3, 2, 4), np.nan)
    evidence[:2, 0], evidence[:2, 1], evidence[2, 1] = -2.0, [[3.0], [4.0]], 3.0
    made = joint_moves(evidence, np.array([0, 0, 1]), np.array([0, 0, 1]))
    assert sorted(made.joint.tolist()) == [0, 1, 2, 3] and set(made.row.tolist()) == {1}
    made = joint_moves(evidence, np.array([0, 0, 1]), np.array([0, 2, 1]))
    assert len(made.row) == 8, "rows of different views may"


# --- symmetries ------------------------------------------------------------------------------------------------------


def test_the_order_of_views_and_rows_does_not_matter():
    (_, rig, rate_hz), rows = rows_of(crossing, 5, 8, 60, **NOISE)
    rng, rig = np.random.default_rng(1), disturbed(rig, "bad")
    views = rng.permutation(8)
    mixed = rows.with_columns(view=np.argsort(views)[rows.view])
    order = rng.permutation(len(rows))
    order = order[np.argsort(rows.frame[order], kind="stable")]
    one, _ = associated(rows, rig, rate_hz)
    other, _ = associated(mixed[order], rig.select([rig.names[view] for view in views]), rate_hz)
    assert len(one) == len(other) == len(rows) and same_groups(one[order], other)


# --- work ------------------------------------------------------------------------------------------------------------


def test_a_crowd_in_every_view_costs_no_more_than_its_budget():
    rng, rig, count = np.random.default_rng(0), ring_rig(5), 500
    truth, _, rate_hz = circle(1, 5, 2)
    xy = rig.project(truth.xyz[0].astype(float))[:, None] + rng.uniform(-600, 600, (5, count, 1, 2))
    xy = (xy + rng.normal(0, 5, (5, count, len(HALPE), 2))).reshape(-1, len(HALPE), 2)
    parts = [
        Detections2D.build(HALPE, 0, 0, xy, np.ones(xy.shape[:2]), 1.0).with_columns(
            frame=np.full(len(xy), frame), view=np.repeat(np.arange(5), count)
        )
        for frame in range(2)
    ]
    rows = Detections2D.concatenate(parts, HALPE)
    begun = time.perf_counter()
    found, memory = associated(rows, rig, rate_hz)
    assert time.perf_counter() - begun < 10, "seconds; more than a hundred without a budget"
    kept = np.bincount(found.view[(found.frame == 0) & (found.person >= 0)], minlength=5)
    assert memory["left_out"] > 4000 and (kept < 60).all()
    _, memory = associated(rows[rows.frame == 0], rig, rate_hz, most_pairs=100)
    assert memory["left_out"] >= 5 * (count - 4)


# --- bodies that are followed ----------------------------------------------------------------------------------------


def sight(truth, rig, views, noise_px=1.0):
    """Rays of every person of a frame in some views, without noise, and each row's person."""
    truth = truth[truth.frame == 0]
    body = truth.skeleton.body
    xyz = truth.xyz.astype(float)
    xy = rig.project(xyz)[views].reshape(-1, *xyz.shape[1:-1], 2)
    count = np.full(len(xy), 0)
    noise = np.full(xy.shape[:2], noise_px)
    view = np.repeat(views, len(xyz))
    box = np.zeros((len(xy), 4))
    rows = Detections2D(truth.skeleton, count, view, count, count, box, xy, np.ones(xy.shape[:2]), noise)
    return BodyRays.of(rows.of_body(), rig), np.tile(np.arange(len(xyz)), len(views)), xyz[:, body]


def test_bodies_without_noise_are_exact():
    truth, rig, _ = circle(3, 5, 2)
    rays, group, xyz = sight(truth, rig, np.arange(5))
    bodies = estimate_bodies(rays, group, unknown_bodies(3, xyz.shape[1]))
    np.testing.assert_allclose(bodies.xyz, xyz, atol=1e-4)
    assert bodies.known.all() and bodies.without[2].all()
    np.testing.assert_allclose(bodies.without[0][:, 0], xyz[group], atol=1e-4)
    np.testing.assert_allclose(bodies.cov, np.swapaxes(bodies.cov, -1, -2), atol=1e-9)
    assert (np.linalg.eigvalsh(bodies.cov) > 0).all()
    left = np.where(np.arange(15) < 3, -1, group)  # rows of nobody change nothing
    np.testing.assert_allclose(estimate_bodies(rays, left, unknown_bodies(3, xyz.shape[1])).xyz, xyz, atol=1e-4)


def test_a_body_without_a_row_is_the_body_of_the_others():
    truth, rig, _ = circle(1, 4, 2)
    rays, group, xyz = sight(truth, rig, np.arange(4))
    rng = np.random.default_rng(0)
    prior = BodyEstimates(xyz + rng.normal(0, 0.02, xyz.shape), np.tile(np.eye(3) * 0.05**2, (*xyz.shape[:2], 1, 1)),
                   np.ones(xyz.shape[:2], bool), unknown_bodies(1, xyz.shape[1]).without)  # fmt: skip
    every = estimate_bodies(rays, group, prior)
    others = estimate_bodies(rays, np.array([-1, 0, 0, 0]), prior)
    np.testing.assert_allclose(every.without[0][0, 0], others.xyz[0], atol=2e-3)
    np.testing.assert_allclose(every.without[1][0, 0], others.cov[0], atol=1e-5)


def test_one_view_leaves_open_how_far_away():
    truth, rig, rate_hz = circle(1, 4, 2)
    rays, group, xyz = sight(truth, rig, np.arange(4))
    bodies = estimate_bodies(rays, group, unknown_bodies(1, xyz.shape[1]))
    torso = truth.skeleton.body_part.torso
    people = TrackedBodies.empty(xyz.shape[1], np.zeros(4))
    given, people = people.updated(np.array([4]), bodies, torso, 1.0)
    assert given.tolist() == [0, -1] and len(people) == 1
    one = rays[:1]
    for frame in range(1, 31):
        expected = people.predicted(frame / rate_hz, torso)
        _, people = expected.updated(np.array([1]), estimate_bodies(one, group[:1], expected.as_prior(0)), torso, 1.0)
    direction = one.direction[0]
    along = np.einsum("jx,jxy,jy->j", direction, people.cov[0], direction)
    across = 0.5 * (np.trace(people.cov[0], axis1=1, axis2=2) - along)
    assert (np.sqrt(across) < 0.01).all() and (np.sqrt(along) > 0.09).all()
    np.testing.assert_allclose(people.xyz[0], xyz[0], atol=0.02)


def test_memory_is_arrays_and_comes_back():
    take, rows = rows_of(circle, 3, 5, 40, **NOISE)
    _, memory = associated(rows, *take[1:])
    people = TrackedBodies.of_state(memory)
    assert len(people) == 3 and people.next_ident == 3
    for name, value in people.state().items():
        np.testing.assert_array_equal(value, memory[name])


def test_who_is_not_seen_is_forgotten_and_the_number_never_given_again():
    take, rows = rows_of(circle, 3, 5, 150, **NOISE)
    gap = rows[(rows.carried != 2) | (rows.frame < 20) | (rows.frame >= 110)]
    found, memory = associated(gap, *take[1:])
    given = numbers(found)
    assert len(given[2]) == 2 and len({*given[1], *given[2], *given[3]}) == 4 == memory["next_ident"]


def test_no_rows_at_all():
    take, rows = rows_of(circle, 3, 5, 40, **NOISE)
    found, memory = associated(rows[:0], *take[1:])
    assert len(found) == 0 and memory["next_ident"] == 0
    assert len(told(rows)) == len(rows)


# --- real people -----------------------------------------------------------------------------------------------------


def test_shelf(tmp_path):
    data = recordings()
    if data is None or not (data / "shelf_dev" / "gt.txt").exists():
        pytest.skip("no shelf_dev among the recordings; the variable MVCAP_DATA says where they are")
    from mvcap.benchmarks import shelf
    from mvcap.evaluation.benchmark_clip import Options
    from mvcap.metrics.association import actors, project_poses, row_pairs

    clip = shelf.read(data / "shelf_dev", Options())[0]
    frames = 60
    session = mvcap.Session.create(clip.rig, tmp_path / "session", frames=frames, rate_hz=clip.rate_hz)
    settings = clip.estimator(tmp_path)
    settings["estimators"]["openpose_parts"]["first_frame"] = 0
    session.override(settings)
    mvcap.estimate(session)
    rows = Detections2D.concatenate(
        list(mvcap.associate(session).chunks()), mvcap.structures.skeleton.skeleton("body25")
    )
    truth = project_poses(clip.truth[clip.truth.frame < frames], clip.rig)
    found = row_pairs(rows, actors(rows, truth))
    assert found.true > 500 and found.f1 >= 0.97, f"precision {found.precision:.4f}, recall {found.recall:.4f}"
