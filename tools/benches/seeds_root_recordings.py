"""Root depths on recorded motion, from one view: errors along and across the ray, and whether they are as stated."""

from __future__ import annotations

import numpy as np

from benches.section import Options, Row, Section, clock, say
from benches.seeds_recordings import Seen, takes_of
from mvcap import plugins
from mvcap.errors import AssetError, InputError
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.view_track import LiftedBody

_ALONG = {"68 %": 1.0, "95 %": 1.96}
_ACROSS = {"68 %": 1.515, "95 %": 2.448}
"""Radii, in standard deviations, that hold these shares of a normal distribution of one and of two dimensions."""


def root_recordings(options: Options, section: Section) -> None:
    """Add a row for each recording, lifter and root depth."""
    for title, found in takes_of(options).items():
        tracks = list(found)
        if not tracks:
            section.facts.append(f"root depths, {title}: left out, its data are not at hand")
            continue
        say(f"seeds: root depths on {title}, {len(tracks)} tracks")
        for lifter in plugins.TABLE["lifter"]:
            bodies = lifted(lifter, tracks)
            for name in plugins.TABLE["root_depth"] if bodies else ():
                section.add(f"root depths, {title}", root_row(lifter, name, tracks, bodies))
    section.facts.append(
        "root depths: mean errors mm along the ray and, per axis, across it; size given: the body scaled to its true "
        "size, as --height does, without the spread of statures; inside: shares of errors inside the stated 68 and 95 "
        "% intervals, along with the spread of statures"
    )


def lifted(name: str, tracks: list[Seen]) -> list[LiftedBody]:
    """The bodies that a lifter makes of tracks; none where it has no weights, or the tracks lack what it needs."""
    plugin = plugins.find_plugin("lifter", name)
    lifter = plugin(plugin.Config())
    try:
        return [lifter.lift(seen.track) for seen in tracks]
    except (AssetError, InputError):
        return []


def root_row(lifter: str, name: str, tracks: list[Seen], bodies: list[LiftedBody]) -> Row:
    """Figures of a root depth for the bodies of a lifter."""
    plugin = plugins.find_plugin("root_depth", name)
    root_depth = plugin(plugin.Config())
    rows, spent = [], 0.0
    for seen, body in zip(tracks, bodies, strict=True):
        sized = _of_true_size(body, seen)
        with clock() as timed:
            found = root_depth.place(seen.track, body)
        given = root_depth.place(seen.track, sized)
        spent += timed.cpu_s
        way = np.linalg.norm(seen.root, axis=-1)
        ray = seen.root / way[:, None]
        along, with_size = (((one.root - seen.root) * ray).sum(-1) for one in (found, given))
        across = np.linalg.norm(found.root - seen.root - along[:, None] * ray, axis=-1)
        stated = np.hypot(found.along_sigma, found.scale_sigma * way)
        rows.append(np.stack([way, along, across, along / stated, across / found.across_sigma, with_size,
                              with_size / given.along_sigma], -1))  # fmt: skip
    both = np.concatenate(rows)
    both = both[np.isfinite(both).all(-1)]
    way, along, across, off, off_across, with_size, off_given = np.abs(both).T
    row: Row = {
        "lifter": lifter, "root depth": name, "% of distance": float(100 * (along / way).mean()),
        "along mm": float(1000 * along.mean()), "across mm": float(1000 * across.mean() / np.sqrt(2)),
        "%, size given": float(100 * (with_size / way).mean()),
    }  # fmt: skip
    for share in _ALONG:
        row[f"inside {share}"] = float((off < _ALONG[share]).mean())
        row[f"size given {share}"] = float((off_given < _ALONG[share]).mean())
        row[f"across {share}"] = float((off_across < _ACROSS[share]).mean())
    return {**row, "CPU ms a frame": 1000 * spent / max(sum(len(seen.root) for seen in tracks), 1)}


def _of_true_size(body: LiftedBody, seen: Seen) -> LiftedBody:
    """The body scaled by the median ratio of its limbs to the true ones."""
    kind = seen.track.skeleton
    ratio = body_scale(kind, seen.truth) / body_scale(kind, body.joints)
    size = float(np.median(ratio[np.isfinite(ratio)])) if np.isfinite(ratio).any() else 1.0
    return LiftedBody(size * body.joints, size**2 * body.covariance, body.scale_sigma)
