"""Generated people whose truth is known: cost, millimetres, identities and covariance, and the programs of others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benches import peers, stated
from benches.cost_plot import draw
from benches.measures import against_truth, all_rows, by_person, pair_f1, plain_dlt, whose
from benches.section import Options, Row, Section, clock, say

THREE_D = ("associate", "triangulate", "track", "refine")
CAMERAS, PEOPLE = (3, 5, 8, 12, 16), (1, 2, 4, 6, 8, 12)
MEASURED = (
    "cameras on a ring of 4.5 m, 1920x1080, HALPE-26, 2 px noise, 2 % of joints 60 px off, 5 % of people unseen in a "
    "view unless said otherwise. CPU ms of one thread, reading and writing of each stage's artefact included; assoc + "
    "tri: a frame; refine: a person and frame. MPJPE without alignment. covered: true people with a counterpart within "
    "0.5 m. 68 %, 95 %: joints inside their own ellipsoids of that probability. Pose2Sim counts by its 22 "
    "joints; aniposelib is given one person's rows; ms of their filters and of our refine (filter ms): all people"
)


@dataclass(frozen=True)
class Case:
    """A take and how wrong the views are about it."""

    name: str
    take: Callable[[int], Any]
    """Of the number of frames: truth, rig, frames a second."""
    errors: str = "NOISE"
    """Name of the errors in the tests' generator."""
    calibration: str = "good"
    frames: int | None = None
    """Where the number does not follow from what was asked for."""
    peer: str = ""
    """The case that PEERS.md states under this name."""


def cases() -> list[Case]:
    """The cases of PEERS.md, and a take of hugs."""
    import generated_people as people

    def circle(cameras: int, count: int, lens: str = "plain") -> Callable[[int], Any]:
        return lambda frames: people.circle(count, cameras, frames, lens=lens)

    def crossing(cameras: int, count: int) -> Callable[[int], Any]:
        return lambda frames: people.crossing(count, cameras, frames)

    return [
        Case("4x1", circle(4, 1), peer="4x1"),
        Case("5x4", circle(5, 4), peer="5x4"),
        Case("8x4", circle(8, 4), peer="8x4"),
        Case("12x6", crossing(12, 6)),
        Case("5x4 15 % off, 15 % unseen", circle(5, 4), "HARD", peer="5x4 outliers"),
        Case("4x1 strong lens", circle(4, 1, "strong"), peer="4x1 strong lens"),
        *(Case(f"{n}x1 bad calibration", circle(n, 1), calibration="bad", peer=f"{n}x1 bad") for n in (4, 8, 12)),
        Case("crossing 5x5, hiding", crossing(5, 5), "HIDING", frames=300, peer="crossing 5x5"),
        Case("crossing 8x5, hiding", crossing(8, 5), "HIDING", frames=300, peer="crossing 8x5"),
        Case("hugs and returns 8x10, hiding", lambda frames: people.hugs(), "HIDING"),
    ]


def synthetic(options: Options) -> Section:
    """Our stages on generated people beside plain DLT, what others state and, if asked for, others in the same run."""
    folder = options.work / "synthetic"
    shutil.rmtree(folder, ignore_errors=True)
    frames = 60 if options.quick else 300
    section = Section(f"synthetic: generated people, {frames} frames", MEASURED)
    warm = cases()[1]
    measured(warm, 10, folder / "warm")
    programs = peers.ready(section) if options.peers else None
    for case in cases():
        say(f"synthetic {case.name}")
        if options.quick and case.name.startswith("hugs"):
            continue
        count = frames if options.quick else case.frames or frames
        row, session, take = measured(case, count, folder / case.name.replace(" ", "-").replace("%", ""))
        section.add("ours", row)
        if case.peer:
            section.add("ours beside others", beside(row))
            for other in stated.SYNTHETIC.get(case.peer, ()):
                section.add("ours beside others", {**other, "who": f"  {other['who']}"})
            if programs:
                for other in peers.run(programs, session, take, folder / "peers" / case.name):
                    section.add("ours beside others", {**other, "who": f"  {other['who']}"})
    section.facts.append("what is stated of a bad calibration is of another one than `bad` here (0.5 degrees, 20 mm)")
    flat(section, folder, options)
    costs(section, folder, options)
    return section


def measured(case: Case, frames: int, folder: Path) -> tuple[Row, Any, Any]:
    """Row of our figures for a case, its session and its take."""
    from generated_people import HARD, HIDING, NOISE, make_session

    import mvcap

    take = case.take(frames)
    errors = {"NOISE": NOISE, "HARD": HARD, "HIDING": HIDING}[case.errors]
    told = make_session(folder / "told", take, case.calibration, carry=True, **errors)
    mvcap.estimate(told)
    session = make_session(folder / "asked", take, case.calibration, **errors)
    mvcap.estimate(session)
    cost = {}
    for name in THREE_D:
        with clock() as timed:
            getattr(mvcap, name)(session)
        cost[name] = 1000 * timed.cpu_s / session.frames
    return {"case": case.name, **spent(cost, take), **accuracy(session, told, take)}, session, take


def spent(cost: dict[str, float], take: Any) -> Row:
    """CPU ms of the stages."""
    true, rig, _ = take
    people = len(true.frame) / max(len(np.unique(true.frame)), 1)
    return {"cameras": len(rig), "people": round(people, 1), "assoc ms": cost["associate"],
            "tri ms": cost["triangulate"], "assoc + tri": cost["associate"] + cost["triangulate"],
            "track ms": cost["track"], "refine": cost["refine"] / max(people, 1e-9)}  # fmt: skip


def accuracy(session: Any, told: Any, take: Any) -> Row:
    """Millimetres, identities and covariance of our stages; millimetres of plain DLT with the true association."""
    true = take[0]
    rows = all_rows(told, "estimate")
    keys, xy = by_person(rows, rows.carried, len(session.rig))
    dlt = plain_dlt(session.rig, xy.reshape(len(xy), -1, 2)).reshape(*xy.shape[1:-1], 3)
    raw, fine = (all_rows(session, name) for name in ("track", "refine"))
    first = against_truth(raw.xyz, raw.frame, raw.person, true, cov=raw.cov)
    last = against_truth(fine.xyz, fine.frame, fine.person, true, cov=fine.cov)
    said = all_rows(session, "associate")
    return {
        "DLT, true association, mm": against_truth(dlt, *keys.T, true)["MPJPE mm"],
        "raw mm": first["MPJPE mm"],
        "refined mm": last["MPJPE mm"],
        "F1": pair_f1(said.frame, said.view, said.person, whose(said, rows)),
        "id switches": last["id switches"],
        "covered": last["covered"],
        "joints found": last["joints found"],
        "false a frame": last["false a frame"],
        "raw false a frame": first["false a frame"],
        "raw 68 %": first["68 %"],
        "raw 95 %": first["95 %"],
        "refined 68 %": last["68 %"],
        "refined 95 %": last["95 %"],
    }


def beside(row: Row) -> Row:
    """Our row in the words of the table with others."""
    return {"who": f"{row['case']}: mvcap, measured", "assoc ms": row["assoc ms"], "tri ms": row["tri ms"],
            "filter ms": row["refine"] * row["people"], "raw mm": row["raw mm"], "filtered mm": row["refined mm"],
            "id switches": row["id switches"], "covered": row["covered"]}  # fmt: skip


def flat(section: Section, folder: Path, options: Options) -> None:
    """Cost of a short and of a ten times longer take."""
    few, many = (60, 600) if options.quick else (300, 3000)
    for case in (one for one in cases() if one.name in ("4x1", "5x4")):
        say(f"synthetic {case.name}: {few} and {many} frames")
        short, long = (measured(case, count, folder / f"flat-{case.name}-{count}")[0] for count in (few, many))
        for name in ("assoc + tri", "track ms", "refine"):
            section.add(f"CPU ms at {few} and {many} frames", {"case": case.name, "what": name, f"{few}": short[name],
                        f"{many}": long[name], "ratio": long[name] / max(short[name], 1e-9)})  # fmt: skip


def costs(section: Section, folder: Path, options: Options) -> None:
    """Cost against cameras, with a right and a disturbed calibration, and against people; a plot of both."""
    import generated_people as people

    frames = 20 if options.quick else 60
    by_cameras, by_people = "CPU ms a frame by cameras, 4 people", "CPU ms a frame by people, 8 cameras"
    for count in CAMERAS[:3] if options.quick else CAMERAS:
        say(f"synthetic cost: {count} cameras")
        row: Row = {"cameras": count}
        for quality in people.CALIBRATIONS:
            case = Case(f"{count}-{quality}", lambda n, count=count: people.circle(4, count, n), calibration=quality)
            one = measured(case, frames, folder / f"cost-{case.name}")[0]
            row |= {quality: one["assoc + tri"], f"{quality} F1": one["F1"]}
            if quality == "good":
                row["refine, all people"] = one["refine"] * one["people"]
        section.add(by_cameras, row | {"bad / good": row["bad"] / row["good"]})
    for count in PEOPLE[:4] if options.quick else PEOPLE:
        say(f"synthetic cost: {count} people")
        case = Case(f"8x{count}", lambda n, count=count: people.crossing(count, 8, n))
        one = measured(case, frames, folder / f"people-{count}")[0]
        section.add(by_people, {"people": count, "good": one["assoc + tri"], "F1": one["F1"],
                                "refine, all people": one["refine"] * one["people"]})  # fmt: skip
    if options.out is None:
        section.facts.append("no plot of cost: give --out FOLDER")
    else:
        path = options.out / "cost.png"
        draw(section.tables[by_cameras], section.tables[by_people], path)
        section.facts.append(f"plot of cost: {path}")
