"""Acceleration scale of each joint at each moment, estimated from the motion itself.

A joint that moves with random acceleration of one strength is predicted, from all other frames before and after, by two
Kalman filters that meet (the two-filter smoother of Fraser and Potter, 1969). This is done for a ladder of strengths;
the density of each measurement under its prediction (Besag's pseudo-likelihood, 1975) shows which strength fits. A
hidden Markov chain over the ladder lets the strength change with time (the forward-backward algorithm). So a person who
stands is held still and a kick is not flattened, without any setting.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calib.arrays import Bools, Floats
from mvcap.structures.skeleton import Skeleton

# m/s^2, one standard deviation: from a standing person to a foot that kicks a ball.
LADDER: Floats = 0.15 * np.exp2(np.arange(10))
_DWELL_S = 0.5  # mean time before a strength changes to the next one up or down
_TORSO_MPS2, _SPREAD = 3.0, 1.5  # prior: median, and standard deviation of the logarithm
# Number of body segments between a joint and the torso; each adds once the torso's acceleration.
_REACH: Mapping[str, int] = {
    "elbow": 1, "knee": 1, "wrist": 2, "ankle": 2, "heel": 2, "toe": 2, "pinky": 2, "index": 2, "thumb": 2
}  # fmt: skip
_LASTS_S = 0.12  # correlation time of an acceleration
_PRIOR_MPS2, _LEAST_MPS2 = 3.0, 0.5  # accelerations averaged over that time: prior and minimum
_SPEED_MPS = 3.0  # standard deviation of a joint's initial velocity
_UNKNOWN_M = 10.0  # standard deviation of an unknown position, and most motion between two frames
_BODY_MPS2 = 10.0  # acceleration of a whole body that may start and stop while it is unseen
_LEAVE_S = 0.5  # longest time in which a joint leaves its path
_DECISIVE = 30.0  # largest log-likelihood ratio of a single frame against a strength
_ROUNDS = 3  # of outlier removal
_IMPOSSIBLE_SIGMA = 5.0  # distance from the prediction with the largest strength


def accelerations(skeleton: Skeleton, point: Floats, variance: Floats, rate_hz: float) -> Floats:
    """Strength (T, J) m/s^2 of the acceleration of each joint, one standard deviation of each coordinate.

    ``point`` (T, J, 3) m are noisy positions, NaN where not measured, and ``variance`` (T, J) m^2 is that of each
    coordinate. Far from any measurement, the strength is the mean of the joint over the window.
    """
    densities = _log_densities(point, variance, rate_hz, LADDER)
    reach = [max(_REACH.get(part, 0) for part in joint.split("_")) for joint in skeleton.joints]
    expected = -(np.log(LADDER[:, None] / (_TORSO_MPS2 * (1 + np.array(reach)))) ** 2) / (2 * _SPREAD**2)
    posterior = _posteriors(densities, expected, -np.expm1(-1 / (_DWELL_S * rate_hz)))
    strength = np.exp((posterior * np.log(LADDER)[:, None]).sum(1))
    away = np.clip(_frames_to_known(np.isfinite(point[..., 0])) / (_LASTS_S * rate_hz), 0, 1)
    return np.asarray(strength * np.maximum(_strength_in_gaps(point, variance, rate_hz) / strength, 1) ** away)


def to_leave_path(away_m: Floats, rate_hz: float) -> Floats:
    """Strength (T, J) m/s^2 that takes each joint from a path to points ``away_m`` (T, J) beside it; 0 far from any.

    To move by d within a time t and stop, a joint accelerates by 4 d / t^2 and decelerates as much.
    """
    out = 4 * away_m * rate_hz**2
    for frames in range(1, min(len(out), int(np.ceil(_LEAVE_S * rate_hz)) + 1)):
        strength = 4 * away_m * rate_hz**2 / (1 + frames) ** 2
        out[frames:] = np.maximum(out[frames:], strength[:-frames])
        out[:-frames] = np.maximum(out[:-frames], strength[frames:])
    return out


def unseen_variance(span: Floats, rate_hz: float) -> Floats:
    """Variance m^2 of the position of a body unseen for a span of frames, however still it stood before."""
    strength = _BODY_MPS2 * np.sqrt(1 + 2 * _LASTS_S * rate_hz)
    return np.asarray(random_acceleration_growth(span) * strength**2 / rate_hz**4)


def random_acceleration_growth(span: Floats) -> Floats:
    """Variance of a randomly accelerating joint's position, over that of one frame's second difference.

    A joint that was seen a frames before has a^3 / 3, and one that was seen a frames before and b frames after has
    (ab)^3 / 3(a + b)^3: that of the span ab / (a + b).
    """
    return np.asarray(span**3 / 3)


def frames_since_seen(seen: Bools) -> tuple[Floats, Floats, Bools]:
    """Frames (T, J) since each joint was last seen and until it is next seen, and whether both exist."""
    frames = np.arange(len(seen), dtype=np.float64)[:, None]
    never = 10.0 * len(seen) + 1e6
    before = frames - np.maximum.accumulate(np.where(seen, frames, -never), axis=0)
    after = np.minimum.accumulate(np.where(seen, frames, never)[::-1], axis=0)[::-1] - frames
    return before, after, (before < never) & (after < never - len(seen))


def _frames_to_known(known: Bools) -> Floats:
    """Frames (T, J) to the nearest known one, before or after, less 1 and at least 0: 0 in gaps of one frame."""
    frames = np.arange(len(known))[:, None]
    before = frames - np.maximum.accumulate(np.where(known, frames, -len(known)), axis=0)
    after = np.minimum.accumulate(np.where(known, frames, 2 * len(known))[::-1], axis=0)[::-1] - frames
    return np.maximum(np.minimum(before, after) - 1.0, 0)


def _strength_in_gaps(point: Floats, variance: Floats, rate_hz: float) -> Floats:
    """Strength (J,) m/s^2 far from measurements, where the acceleration is correlated over several frames.

    The mean acceleration over ``_LASTS_S`` before and after a moment follows from the positions at the ends and in the
    middle, less the contribution of their noise. As a random acceleration that is independent in every frame it is
    larger by the square root of the number of frames over which it lasts.
    """
    lag = max(1, round(_LASTS_S * rate_hz))
    lasting = np.sqrt(1 + 2 * _LASTS_S * rate_hz)
    known = np.isfinite(point[..., 0])
    if len(point) <= 2 * lag:
        return np.full(point.shape[1], _PRIOR_MPS2 * lasting)
    second = point[2 * lag :] - 2 * point[lag:-lag] + point[: -2 * lag]
    noise = variance[2 * lag :] + 4 * variance[lag:-lag] + variance[: -2 * lag]
    whole = known[2 * lag :] & known[lag:-lag] & known[: -2 * lag]
    square = np.where(whole, (np.where(whole[..., None], second, 0) ** 2).mean(-1) - noise, 0) * (rate_hz / lag) ** 4
    prior = 2 * lag
    mean = (square.sum(0) + prior * _PRIOR_MPS2**2) / (whole.sum(0) + prior)
    return np.asarray(np.sqrt(np.maximum(mean, _LEAST_MPS2**2)) * lasting)


def impossible_points(point: Floats, variance: Floats, rate_hz: float) -> Bools:
    """Points (T, J) that no human motion reaches from the points before and after.

    An outlier makes its neighbours look like outliers, too, so only the worst of five frames is removed in each round.
    """
    out = np.zeros(point.shape[:2], np.bool_)
    for _ in range(_ROUNDS):
        remaining = np.where(out[..., None], np.nan, point)
        mean, spread = _predict_from_others(remaining, variance, rate_hz, LADDER[-1:])
        known = np.isfinite(remaining[..., 0])
        off = np.where(known[..., None], remaining - mean[:, 0], 0)
        square = (off**2).sum(-1) / (spread[:, 0] + np.where(known, variance, 1))
        padded = np.pad(square, ((2, 2), (0, 0)))
        worst = square >= np.max([padded[shift : shift + len(square)] for shift in range(5)], axis=0)
        found = worst & (square > 3 * _IMPOSSIBLE_SIGMA**2)
        if not found.any():
            break
        out |= found
    return out


def _log_densities(point: Floats, variance: Floats, rate_hz: float, ladder: Floats) -> Floats:
    """Logarithm of the density (T, K, J) of each point under its prediction; 0 where not measured."""
    known = np.isfinite(point[..., 0])[:, None]
    mean, spread = _predict_from_others(point, variance, rate_hz, ladder)
    total = spread + np.where(known[:, 0], variance, 1)[:, None]
    square = ((np.where(known[..., None], point[:, None], 0) - mean) ** 2).sum(-1)
    return np.where(known, -square / (2 * total) - 1.5 * np.log(total), 0)


def _predict_from_others(point: Floats, variance: Floats, rate_hz: float, ladder: Floats) -> tuple[Floats, Floats]:
    """Mean (T, K, J, 3) and variance (T, K, J) of each point, predicted from all other frames."""
    q = np.minimum(ladder**2 / rate_hz**4, _UNKNOWN_M**2)[:, None]
    both = [np.concatenate([one, one[::-1]], axis=1) for one in (point, variance)]
    place, speed, a, b, d = _filter_forward(both[0], both[1], q, rate_hz)
    joints = point.shape[1]
    d = d.copy()
    d[:, :, :joints] += q  # process noise of the velocity towards the next frame
    inverse = 1 / (a * d - b * b)
    first = (d * inverse)[..., None] * place - (b * inverse)[..., None] * speed
    second = (a * inverse)[..., None] * speed - (b * inverse)[..., None] * place
    fore = [one[:, :, :joints] for one in (d * inverse, b * inverse, a * inverse, first, second)]
    back = [one[::-1, :, joints:] for one in (d * inverse, b * inverse, a * inverse, first, second)]
    # Backward in time the velocity has the opposite sign.
    i00, i01, i11 = fore[0] + back[0], back[1] - fore[1], fore[2] + back[2]
    first, second = fore[3] + back[3], fore[4] - back[4]
    inverse = 1 / (i00 * i11 - i01**2)
    return (i11[..., None] * first - i01[..., None] * second) * inverse[..., None], i11 * inverse


def _filter_forward(
    point: Floats, variance: Floats, q: Floats, rate_hz: float
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Position and velocity (T, K, J, 3) predicted from earlier frames, and their covariance a, b, d (T, K, J)."""
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


def _posteriors(densities: Floats, expected: Floats, change: float) -> Floats:
    """Probability (T, K, J) of each strength; without measurements that of ``expected`` (K, J), a logarithm.

    A step of the chain goes one up or one down with probability ``change`` / 2; forward and backward steps balance
    under the expected distribution (Metropolis).
    """
    up = 0.5 * change * np.minimum(1, np.exp(np.diff(expected, axis=0)))  # (K - 1, J)
    down = 0.5 * change * np.minimum(1, np.exp(-np.diff(expected, axis=0)))
    stay = np.ones(expected.shape)
    stay[:-1] -= up
    stay[1:] -= down
    likely = np.exp(np.maximum(densities - densities.max(1, keepdims=True), -_DECISIVE))
    prior = np.exp(expected - expected.max(0))
    before = np.empty_like(likely)
    now = prior / prior.sum(0)
    for frame in range(len(likely)):
        predicted = stay * now
        predicted[1:] += up * now[:-1]
        predicted[:-1] += down * now[1:]
        now = predicted * likely[frame]
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
