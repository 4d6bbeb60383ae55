"""Affinities of the matching network: the shipped network on simple frames, and when its output is declined.

Where the output itself is the input of a test (undecided, or against certain geometry), a network of given odds
replaces it.
"""

import warnings

import numpy as np
import pytest
from frame_of_people import KIND, seen_by, standing
from generated_people import ring_rig

from mvcap.association.association_graph import associate_frame, evidence_for_groups
from mvcap.association.learned_affinity import FrameRows, LearnedAffinity, LearnedAffinityConfig
from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import TrackedBodies, unknown_bodies
from mvcap.weights import networks

CAMERAS = 4
RIG = ring_rig(CAMERAS)


@pytest.fixture(scope="module")
def shipped():
    return networks.load_network("mmg"), networks.load_network("crg")


class Odds:
    """A network of stated odds of rows and bodies (N, N), and of limits of its training data."""

    def __init__(self, odds, **limits):
        self.odds, self.limits = odds, limits

    def __call__(self, node, edge, prior, there):
        assert node.shape[:2] == there.shape and edge.shape[1:3] == prior.shape[1:3] and there.all()
        return (np.broadcast_to(self.odds, prior.shape).astype(np.float32),)


class Frame:
    """Rows of people, their bodies so far, and what is to be asked."""

    def __init__(self, people=2, noise_px=2.0, blind=()):
        self.rows, self.true = seen_by(RIG, standing(people), noise_px)
        if blind:
            gone = np.isin(np.arange(len(self.rows)), blind)[:, None]
            self.rows = self.rows.with_columns(
                xy=np.where(gone[..., None], np.nan, self.rows.xy), score=np.where(gone, 0, self.rows.score),
                noise_px=np.where(gone, np.nan, self.rows.noise_px),
            )  # fmt: skip
        self.rays = BodyRays.of(self.rows, RIG)
        self.bodies, self.evidence = evidence_for_groups(self.rays, self.true, unknown_bodies(people, len(KIND)))
        self.people = TrackedBodies.empty(len(KIND), np.zeros(CAMERAS))

    def ask(self, network, centres=None, **settings):
        self.model = LearnedAffinity(self.rows, RIG, LearnedAffinityConfig(**settings), (network, centres))
        return self.model.affinities(self.rays, self.bodies, self.evidence, self.people, self.true, KIND)

    def odds(self, same, other):
        """Odds (N, N) of every pair of rows and bodies, from the truth."""
        who = np.append(self.true, np.arange(len(self.bodies.xyz)))
        return np.where(who[:, None] == who, same, other)


# --- the shipped network ---------------------------------------------------------------------------------------------


def test_the_shipped_network_knows_plain_frames(shipped):
    frame = Frame(3)
    found = frame.ask(shipped[0])
    assert found is not None and frame.model.asked and not frame.model.declined
    assert found.rows.shape == (12, 12) and found.bodies.shape == (12, 3)
    same = frame.true[:, None] == frame.true
    apart = ~np.eye(12, dtype=bool)
    assert (found.rows[same & apart] > 0).all() and (found.rows[~same] < 0).all()
    assert (found.bodies.argmax(1) == frame.true).all() and found.decided
    np.testing.assert_array_equal(np.diag(found.rows), 0)
    within = (frame.rays.view[:, None] == frame.rays.view) & apart
    assert np.isneginf(found.rows[within]).all(), "two people of a view are not one"


def test_a_row_without_a_joint_is_unassigned(shipped):
    frame = Frame(2, blind=[3])
    found = frame.ask(shipped[0])
    assert (found.bodies[3] < -10).all()
    assert np.isneginf(np.delete(found.rows[3], 3)).all() and np.isneginf(np.delete(found.rows[:, 3], 3)).all()


def test_with_the_network_a_frame_is_associated_as_geometry_does_where_that_is_easy(shipped):
    frame = Frame(3)
    config = LearnedAffinityConfig()
    model = LearnedAffinity(frame.rows, RIG, config, (shipped[0], None))
    learned = associate_frame(frame.rays, frame.people, RIG, KIND, config, model)[0]
    geometry = associate_frame(frame.rays, frame.people, RIG, KIND, config)[0]
    assert model.asked and not model.declined
    pairs = set(zip(learned.tolist(), geometry.tolist(), strict=True))
    assert len(pairs) == 3 == len(set(learned.tolist()))


def test_the_centre_network_scores_a_person_above_rows_of_two(shipped):
    frame = Frame(2)
    model = LearnedAffinity(frame.rows, RIG, LearnedAffinityConfig(centres=True), shipped)
    person = model.birth_score(frame.rays, frame.bodies, frame.evidence, frame.true, 0, frame.people, KIND)
    mixed = np.where(np.arange(len(frame.true)) % 4 < 2, frame.true, 1 - frame.true)  # rows of both in each group
    bodies, evidence = evidence_for_groups(frame.rays, mixed, unknown_bodies(2, len(KIND)))
    mixture = model.birth_score(frame.rays, bodies, evidence, mixed, 0, frame.people, KIND)
    assert person > max(mixture, 0)
    alone = LearnedAffinity(frame.rows, RIG, LearnedAffinityConfig(), (shipped[0], None))
    assert alone.birth_score(frame.rays, bodies, evidence, mixed, 0, frame.people, KIND) is None
    nothing = unknown_bodies(2, len(KIND))
    assert model.birth_score(frame.rays, nothing, evidence * np.nan, mixed, 0, frame.people, KIND) is None


# --- when an answer is declined --------------------------------------------------------------------------------------


def test_a_frame_beyond_the_budget_is_not_asked_about(shipped):
    frame = Frame(2)
    assert frame.ask(shipped[0], most_nodes=9) is None and frame.model.asked and frame.model.declined
    assert frame.ask(shipped[0], most_nodes=10) is not None


def test_an_undecided_network_is_declined():
    frame = Frame(2)
    assert frame.ask(Odds(np.zeros(1))) is None and frame.model.declined
    assert frame.ask(Odds(frame.odds(0.39, -3.0))) is None
    assert frame.ask(Odds(frame.odds(0.5, -3.0))) is not None and not frame.model.declined


def test_a_network_that_denies_what_three_views_agree_on_is_declined():
    frame = Frame(1)
    assert frame.ask(Odds(np.full(1, -3.0))) is None and frame.model.declined
    assert frame.ask(Odds(np.full(1, 3.0))) is not None
    two_views = Frame(1)
    two_views.true = np.where(np.arange(CAMERAS) < 2, two_views.true, -1)
    assert two_views.ask(Odds(np.full(1, -3.0))) is not None, "of two views geometry is not so sure"


def test_a_frame_unlike_the_training_data_is_declined():
    frame = Frame(2)
    good = frame.odds(3.0, -3.0)
    for name in ("node", "edge"):
        wide = {f"{name}_low": np.full(1, -100.0), f"{name}_high": np.full(1, 100.0)}
        tight = {f"{name}_low": np.full(1, -1e-6), f"{name}_high": np.full(1, 1e-6)}
        assert frame.ask(Odds(good, **wide)) is not None
        assert frame.ask(Odds(good, **tight)) is None and frame.model.declined
        assert frame.ask(Odds(good, **tight), strange_share=1.0) is not None
    assert frame.ask(Odds(good)) is not None, "without limits nothing is unlike"


def test_two_rows_of_a_view_that_share_no_joint_may_be_one_person():
    """A body in two parts: the odds of its parts in a view stay unchanged."""
    frame = Frame(1)
    upper = np.arange(len(KIND)) < len(KIND) // 2
    parts = [
        frame.rows.with_columns(
            xy=np.where(mine[:, None], frame.rows.xy, np.nan), score=np.where(mine, frame.rows.score, 0),
            noise_px=np.where(mine, frame.rows.noise_px, np.nan),
        )
        for mine in (upper, ~upper)
    ]  # fmt: skip
    frame.rows = type(frame.rows).concatenate(parts, KIND)
    frame.true = np.zeros(2 * CAMERAS, int)
    frame.rays = BodyRays.of(frame.rows, RIG)
    frame.bodies, frame.evidence = evidence_for_groups(frame.rays, frame.true, unknown_bodies(1, len(KIND)))
    odds = frame.odds(3.0, -3.0)
    odds[0, CAMERAS] = odds[CAMERAS, 0] = -1.0
    found = frame.ask(Odds(odds))
    assert found.rows[0, CAMERAS] == -1 and found.rows[1, 1 + CAMERAS] == 3


# --- what it is asked ------------------------------------------------------------------------------------------------


def test_the_graph_has_a_node_for_each_row_and_body_and_is_finite():
    frame = Frame(2, blind=[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = FrameRows(frame.rows, RIG).graph(
            frame.rays, frame.bodies, frame.evidence, frame.people, frame.true, KIND
        )
    assert graph.rows == 8 and len(graph.node) == 10 and graph.edge.shape[:2] == graph.prior.shape == (10, 10)
    assert all(np.isfinite(values).all() for values in (graph.node, graph.edge, graph.prior))
    asked = FrameRows(frame.rows, RIG).queries(
        frame.rays, frame.bodies, frame.evidence, frame.true, 1, frame.people, KIND
    )
    assert asked.view.shape[:2] == (27, CAMERAS) and asked.there.all()
