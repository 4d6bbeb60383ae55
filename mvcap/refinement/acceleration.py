"""How strongly each joint accelerates at each moment, told from the motion itself.

A joint that moves with random acceleration of one strength is predicted, from all other frames before and after, by two
Kalman filters that meet (the two-filter smoother of Fraser and Potter, 1969). Done for a ladder of strengths, the
density of each measurement under its prediction (Besag's pseudo-likelihood, 1975) says which strength fits; a hidden
Markov chain over the ladder lets it change with time (the forward-backward algorithm). A person who stands is held
still and a kick is not flattened, with nothing to set.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calib.arrays import Bools, Floats
from mvcap.structures.skeleton import Skeleton

# m/s^2, one standard deviation: from a person who stands to a foot that kicks a ball.
LADDER: Floats = 0.15 * np.exp2(np.arange(10))
_DWELL_S = 0.5  # how long a strength lasts before it becomes the next one up or down
_TORSO_MPS2, _SPREAD = 3.0, 1.5  # what is expected before anything is seen: median, and deviation of its logarithm
# How much more freely than the torso a joint accelerates: each segment further out adds one.
_REACH: Mapping[str, int] = {
    "elbow": 1, "knee": 1, "wrist": 2, "ankle": 2, "heel": 2, "toe": 2, "pinky": 2, "index": 2, "thumb": 2
}  # fmt: skip
_LASTS_S = 0.12  # how long an acceleration lasts
_USUAL_MPS2, _LEAST_MPS2 = 3.0, 0.5  # mean accelerations of that length
_SPEED_MPS = 3.0
_UNKNOWN_M = 10.0  # nothing is thought to move further between two frames, however far apart they are
_BODY_MPS2 = 10.0  # mean accelerations of a whole body that may start and stop while nobody sees it
_DECISIVE = 30.0  # no single frame says more than this logarithm against a strength
_ROUNDS = 3
_IMPOSSIBLE = 5.0  # standard deviations from where any human motion could have taken a joint


def accelerations(skeleton: Skeleton, point: Floats, variance: Floats, rate_hz: float) -> Floats:
    """Strength (T, J) m/s^2 of the acceleration of each joint, one standard deviation of each coordinate.

    ``point`` (T, J, 3) m are noisy positions, NaN where not measured, and ``variance`` (T, J) m^2 that of each
    coordinate. Where nothing is measured for long, the strength is what is usual for the joint.
    """
    fits = _fits(point, variance, rate_hz, LADDER)
    reach = [max(_REACH.get(part, 0) for part in joint.split("_")) for joint in skeleton.joints]
    expected = -(np.log(LADDER[:, None] / (_TORSO_MPS2 * (1 + np.array(reach)))) ** 2) / (2 * _SPREAD**2)
    belief = _beliefs(fits, expected, -np.expm1(-1 / (_DWELL_S * rate_hz)))
    strength = np.exp((belief * np.log(LADDER)[:, None]).sum(1))
    away = np.clip(_distance(np.isfinite(point[..., 0])) / (_LASTS_S * rate_hz), 0, 1)
    return np.asarray(strength * np.maximum(_unseen(point, variance, rate_hz) / strength, 1) ** away)


def unseen_variance(span: Floats, rate_hz: float) -> Floats:
    """Variance m^2 of where a body is that nobody has seen for a span of frames, however still it stood before."""
    strength = _BODY_MPS2 * np.sqrt(1 + 2 * _LASTS_S * rate_hz)
    return np.asarray(random_acceleration_growth(span) * strength**2 / rate_hz**4)


def random_acceleration_growth(span: Floats) -> Floats:
    """Variance of a joint that accelerates at random, over that of one frame's second difference.

    A joint that was seen a frames before has a^3 / 3, and one that was seen a frames before and b frames after has
    (ab)^3 / 3(a + b)^3: of the span ab / (a + b).
    """
    return np.asarray(span**3 / 3)


def frames_since_seen(seen: Bools) -> tuple[Floats, Floats, Bools]:
    """Frames (T, J) since each joint was seen last, and until it is seen next, and whether both were or will be."""
    frames = np.arange(len(seen), dtype=np.float64)[:, None]
    never = 10.0 * len(seen) + 1e6
    before = frames - np.maximum.accumulate(np.where(seen, frames, -never), axis=0)
    after = np.minimum.accumulate(np.where(seen, frames, never)[::-1], axis=0)[::-1] - frames
    return before, after, (before < never) & (after < never - len(seen))


def _distance(known: Bools) -> Floats:
    """Frames (T, J) to the nearest one, before or after, that knows a joint, less the first: 0 in gaps of a frame."""
    frames = np.arange(len(known))[:, None]
    before = frames - np.maximum.accumulate(np.where(known, frames, -len(known)), axis=0)
    after = np.minimum.accumulate(np.where(known, frames, 2 * len(known))[::-1], axis=0)[::-1] - frames
    return np.maximum(np.minimum(before, after) - 1.0, 0)


def _unseen(point: Floats, variance: Floats, rate_hz: float) -> Floats:
    """Strength (J,) m/s^2 far from where a joint is measured: its acceleration lasts, frames are not independent.

    The mean acceleration over a tenth of a second or so is that of the places at its ends and in its middle, less
    what their noise makes of it; as random acceleration of every frame it is larger by the root of the frames that it
    lasts.
    """
    lag = max(1, round(_LASTS_S * rate_hz))
    lasting = np.sqrt(1 + 2 * _LASTS_S * rate_hz)
    known = np.isfinite(point[..., 0])
    if len(point) <= 2 * lag:
        return np.full(point.shape[1], _USUAL_MPS2 * lasting)
    second = point[2 * lag :] - 2 * point[lag:-lag] + point[: -2 * lag]
    noise = variance[2 * lag :] + 4 * variance[lag:-lag] + variance[: -2 * lag]
    whole = known[2 * lag :] & known[lag:-lag] & known[: -2 * lag]
    square = np.where(whole, (np.where(whole[..., None], second, 0) ** 2).mean(-1) - noise, 0) * (rate_hz / lag) ** 4
    prior = 2 * lag
    mean = (square.sum(0) + prior * _USUAL_MPS2**2) / (whole.sum(0) + prior)
    return np.asarray(np.sqrt(np.maximum(mean, _LEAST_MPS2**2)) * lasting)


def impossible_points(point: Floats, variance: Floats, rate_hz: float) -> Bools:
    """Which points (T, J) no human could have moved to from where they were before and after.

    A point that is wrong makes its neighbours look wrong too: the worst of a few frames goes first.
    """
    out = np.zeros(point.shape[:2], np.bool_)
    for _ in range(_ROUNDS):
        left = np.where(out[..., None], np.nan, point)
        mean, spread = _predicted(left, variance, rate_hz, LADDER[-1:])
        known = np.isfinite(left[..., 0])
        off = np.where(known[..., None], left - mean[:, 0], 0)
        square = (off**2).sum(-1) / (spread[:, 0] + np.where(known, variance, 1))
        padded = np.pad(square, ((2, 2), (0, 0)))
        worst = square >= np.max([padded[shift : shift + len(square)] for shift in range(5)], axis=0)
        found = worst & (square > 3 * _IMPOSSIBLE**2)
        if not found.any():
            break
        out |= found
    return out


def _fits(point: Floats, variance: Floats, rate_hz: float, ladder: Floats) -> Floats:
    """Logarithm of the density (T, K, J) of each point under its prediction; 0 where not measured."""
    known = np.isfinite(point[..., 0])[:, None]
    mean, spread = _predicted(point, variance, rate_hz, ladder)
    total = spread + np.where(known[:, 0], variance, 1)[:, None]
    square = ((np.where(known[..., None], point[:, None], 0) - mean) ** 2).sum(-1)
    return np.where(known, -square / (2 * total) - 1.5 * np.log(total), 0)


def _predicted(point: Floats, variance: Floats, rate_hz: float, ladder: Floats) -> tuple[Floats, Floats]:
    """Mean (T, K, J, 3) and variance (T, K, J) of each point as all other frames predict it."""
    q = np.minimum(ladder**2 / rate_hz**4, _UNKNOWN_M**2)[:, None]
    both = [np.concatenate([one, one[::-1]], axis=1) for one in (point, variance)]
    place, speed, a, b, d = _filtered(both[0], both[1], q, rate_hz)
    joints = point.shape[1]
    d = d.copy()
    d[:, :, :joints] += q  # the speed that leads on to the next frame
    inverse = 1 / (a * d - b * b)
    first = (d * inverse)[..., None] * place - (b * inverse)[..., None] * speed
    second = (a * inverse)[..., None] * speed - (b * inverse)[..., None] * place
    fore = [one[:, :, :joints] for one in (d * inverse, b * inverse, a * inverse, first, second)]
    back = [one[::-1, :, joints:] for one in (d * inverse, b * inverse, a * inverse, first, second)]
    # Backward in time a speed has the other sign.
    i00, i01, i11 = fore[0] + back[0], back[1] - fore[1], fore[2] + back[2]
    first, second = fore[3] + back[3], fore[4] - back[4]
    inverse = 1 / (i00 * i11 - i01**2)
    return (i11[..., None] * first - i01[..., None] * second) * inverse[..., None], i11 * inverse


def _filtered(
    point: Floats, variance: Floats, q: Floats, rate_hz: float
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Place and speed (T, K, J, 3) as the frames before predict them, and their covariance a, b, d (T, K, J)."""
    frames, joints, _ = point.shape
    known = np.isfinite(point[..., 0])
    y, r = np.where(known[..., None], point, 0), np.where(known, variance, 1)
    shape = (frames, len(q), joints)
    places, speeds = np.empty((*shape, 3)), np.empty((*shape, 3))
    covs = np.empty((3, *shape))
    x = np.broadcast_to(y[known.argmax(0), np.arange(joints)], (*shape[1:], 3)).copy()
    v = np.zeros_like(x)
    a, b, d = (
        np.full(shape[1:], _UNKNOWN_M**2),
        np.zeros(shape[1:]),
        np.full(shape[1:], min(_SPEED_MPS / rate_hz, _UNKNOWN_M) ** 2),
    )
    for frame in range(frames):
        if frame:
            x = x + v
            a, b = a + 2 * b + d, b + d
        places[frame], speeds[frame] = x, v
        covs[0, frame], covs[1, frame], covs[2, frame] = a, b, d
        weight = known[frame] / (a + r[frame])
        gain, turn = a * weight, b * weight
        off = y[frame] - x
        x = x + gain[..., None] * off
        v = v + turn[..., None] * off
        d = d - turn * b + q
        b = b - gain * b
        a = a - gain * a
    return places, speeds, covs[0], covs[1], covs[2]


def _beliefs(fits: Floats, expected: Floats, change: float) -> Floats:
    """Probability (T, K, J) of each strength; without measurements that of ``expected`` (K, J), a logarithm.

    A step of the chain goes one up or one down with probability ``change`` / 2, as often back as there (Metropolis).
    """
    up = 0.5 * change * np.minimum(1, np.exp(np.diff(expected, axis=0)))  # (K - 1, J)
    down = 0.5 * change * np.minimum(1, np.exp(-np.diff(expected, axis=0)))
    stay = np.ones(expected.shape)
    stay[:-1] -= up
    stay[1:] -= down
    likely = np.exp(np.maximum(fits - fits.max(1, keepdims=True), -_DECISIVE))
    usual = np.exp(expected - expected.max(0))
    before = np.empty_like(likely)
    now = usual / usual.sum(0)
    for frame in range(len(likely)):
        moved = stay * now
        moved[1:] += up * now[:-1]
        moved[:-1] += down * now[1:]
        now = moved * likely[frame]
        now /= now.sum(0)
        before[frame] = now
    after = np.ones(expected.shape)
    for frame in range(len(likely) - 1, -1, -1):
        before[frame] *= after
        before[frame] /= before[frame].sum(0)
        seen = after * likely[frame]
        after = stay * seen
        after[:-1] += up * seen[1:]
        after[1:] += down * seen[:-1]
        after /= after.sum(0)
    return np.asarray(before)
