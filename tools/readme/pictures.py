"""Draw the pictures of the READMEs: the demo's result, a crossing, a corrected left-right swap, a merged fragment, a
board as printed and as found, and the report of a calibration.

  .venv/bin/python tools/readme/pictures.py [NAME ...] [--out FOLDER] [--work FOLDER]

The result and the swap show the demo's footage, which takes minutes the first time; the others show generated people
and boards. The report is a screenshot of its page, which needs chromium.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mvcap.structures.detections import Detections2D
    from mvcap.structures.poses import Poses3D
    from mvcap.structures.session import Session
    from mvcap.structures.skeleton import Skeleton

Floats = NDArray[np.floating]
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LEFT, RIGHT, MIDDLE = "#56b4e9", "#e69f00", "#f2f2f2"
INK, FAINT, HALVES = "#303030", "#9a9a9a", ("#7a1fa2", "#b8860b")
THREE_D = ("estimate", "associate", "triangulate", "track", "refine")
TRAIL_S = 0.8
RESULT_FRAME, RESULT_PX = 50, 640
DEMO_VIEW, DEMO_OTHER, DEMO_FRAME = 1, 3, 74
BOARDS, BOARD_VIEW, BOARD_FRAME, BOARD_NOISE_PX = "6 cameras, 250 frames", 0, 182, 0.05
PRINTED, PRINTED_DPI, PAGE_PX = "charuco:7x5:33mm:24mm:DICT_5X5_100", 90, 1100


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", metavar="NAME", help=f"{', '.join(DRAWN)}; all when left out")
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=HERE, help="where the pictures go")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keep the sessions in this folder")
    asked = parser.parse_args()
    sys.path += [str(ROOT), str(ROOT / "tests")]  # the generator of people is the tests'
    with tempfile.TemporaryDirectory(prefix="mvcap-readme-") as scratch:
        for name, draw in DRAWN.items():
            if name in asked.pictures or not asked.pictures:
                print(draw(asked.work or Path(scratch), asked.out))


# --- the pictures ----------------------------------------------------------------------------------------------------


def result(work: Path, out: Path) -> Path:
    """Draw the demo's views at one frame, with detections and reconstructed skeletons."""
    from PIL import Image

    from mvcap.drawing.overlay import draw_view

    session = demo(work / "demo", THREE_D)
    found, poses = (now[now.frame == RESULT_FRAME] for now in (whole(session, "associate"), whole(session, "refine")))
    pictures = []
    for view, name in enumerate(session.names):
        image = next(session.images(view, RESULT_FRAME, RESULT_FRAME + 1))[1]
        pictures.append(draw_view(image, view, session.rig, found, poses, RESULT_PX, name))
    path = out / "result.jpg"
    Image.fromarray(np.hstack(pictures)).save(path, quality=80)
    return path


def crossing(work: Path, out: Path) -> Path:
    """Draw five people who cross among eight cameras: paths from above, and the view and frame of most occlusion."""
    session = generated(work / "crossing", "HIDING")
    poses, found = whole(session, "refine"), whole(session, "associate")
    persons = np.unique(poses.person)
    xyz = poses.dense(session.frames, persons)
    place = xyz[:, :, poses.skeleton.index("pelvis"), :2]
    moment, view = most_hidden(found)
    figure = blank(12, 5.4)
    above, seen = figure.subplots(1, 2, width_ratios=(1, 1.15))
    from_above(above, place, moment, persons, session)
    now, rows = poses[poses.frame == moment], found[(found.frame == moment) & (found.view == view)]
    camera = session.rig.cameras[view]
    depth = np.linalg.norm(now.xyz - camera.position, axis=-1).mean(1)
    for one in np.argsort(-depth):
        bones(seen, camera.project(now.xyz[one]), poses.skeleton, tint(now.person[one]))
    seen.plot(*rows.xy.reshape(-1, 2).T, "o", color="black", ms=2.6, zorder=9)
    for one in range(len(now)):
        numbered(seen, camera.project(now.xyz[one, poses.skeleton.index("head_top")]) - (0, 34), now.person[one])
    framed(seen, camera.project(now.xyz).reshape(-1, 2), 70, camera.lens.size, 1.1)
    seen.set_title(f"{camera.name} at {moment / session.rate_hz:.1f} s; dots: what it detects")
    return saved(figure, out / "crossing.png")


def from_above(axes: Axes, place: Floats, moment: int, persons: NDArray[np.integer], session: Session) -> None:
    """Draw paths (T, P, 2) m of a take, thick just before the frame ``moment``, with the directions of the cameras."""
    since = max(0, moment - round(TRAIL_S * session.rate_hz))
    for column, person in enumerate(persons):
        axes.plot(*place[:, column].T, color=tint(person), lw=1.2, alpha=0.45)
        axes.plot(*place[since : moment + 1, column].T, color=tint(person), lw=4, solid_capstyle="round")
        numbered(axes, place[moment, column], person)
    reach = 1.12 * np.nanmax(np.abs(place))
    for camera in session.rig:
        away = camera.position[:2] / np.abs(camera.position[:2]).max()
        axes.plot(
            *(1.12 * reach * away), marker=(3, 0, np.degrees(np.arctan2(away[1], away[0])) + 90), ms=10, color=FAINT
        )
    axes.set(xlim=(-1.25 * reach, 1.25 * reach), ylim=(-1.25 * reach, 1.25 * reach), aspect="equal")
    axes.set(xlabel="x, m", ylabel="y, m", title=f"from above; strong: the last {TRAIL_S:g} s")
    axes.grid(color="#e2e2e2", lw=0.6)


def swap(work: Path, out: Path) -> Path:
    """Draw one view of the demo with a left-right swap, before and after, and another view of the same frame."""
    from mvcap import plugins
    from mvcap.association.left_right_swaps import correct_swaps

    session = demo(work / "demo_blazepose", THREE_D[:1], "blazepose")  # it exchanges sides more often
    rows = whole(session, "estimate")
    associator, _ = plugins.load_plugin("associator", session.overrides)
    before = associator.associate(rows, session.rig, session.rate_hz, {})[0]
    before = before[(before.frame == DEMO_FRAME) & (before.person >= 0)]
    after = correct_swaps(before, session.rig)
    mine = before.person == person_at(before, DEMO_VIEW)
    others = after[mine & (after.view != DEMO_VIEW)]
    truth = of_views(others, session)
    figure = blank(12, 5.55)
    shown = ((DEMO_OTHER, after, "another view"), (DEMO_VIEW, before, "as detected"), (DEMO_VIEW, after, "corrected"))
    for axes, (view, table, words) in zip(figure.subplots(1, 3), shown, strict=True):
        camera = session.rig.cameras[view]
        row = np.flatnonzero(mine & (table.view == view))[0]
        axes.imshow(next(session.images(view, DEMO_FRAME, DEMO_FRAME + 1))[1])
        sided(axes, table.xy[row], table.skeleton)
        if view == DEMO_VIEW:
            for joint in table.skeleton.body:
                axes.plot(
                    *camera.project(truth[joint]), "o", mfc="none", mec=side(table.skeleton, joint), ms=11, mew=2.2
                )
        framed(axes, table.xy[row], 90, camera.lens.size, 0.75)
        axes.set_title(f"{camera.name}: {words}")
    return saved(figure, out / "swap.jpg")


def fragment(work: Path, out: Path) -> Path:
    """Draw one view in which a person is detected as two fragments, and the same view after association."""
    session = generated(work / "fragment", "NOISE", splits=0.25)
    rows, found = whole(session, "estimate"), whole(session, "associate")
    frame, view, person = most_even(found)
    rows = rows[(rows.frame == frame) & (rows.view == view)]
    found = found[(found.frame == frame) & (found.view == view)]
    camera = session.rig.cameras[view]
    figure = blank(12, 4.6)
    apart, together = figure.subplots(1, 2)
    kind = found.skeleton
    halves = [one for one in range(len(rows)) if held_by(rows.xy[one], found.xy[found.person == person])]
    for number, xy in enumerate(rows.xy):
        hue = HALVES[halves.index(number)] if number in halves else FAINT
        bones(apart, xy, kind, hue)
        apart.plot(*xy.T, "o", color=hue, ms=4)
        apart.annotate(str(number + 1), np.nanmean(xy, axis=0), ha="center", va="center", fontsize=10, zorder=10,
                       bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": hue})  # fmt: skip
    for one in np.unique(found.person[found.person >= 0]):
        xy = np.nanmean(found.xy[found.person == one], axis=0)
        bones(together, xy, kind, tint(one + 1))
        together.plot(*xy.T, "o", color=tint(one + 1), ms=4)
        numbered(together, np.array([np.nanmean(xy[:, 0]), np.nanmin(xy[:, 1]) - 30]), one + 1)
    for axes in (apart, together):
        framed(axes, rows.xy.reshape(-1, 2), 60, camera.lens.size, 1.25)
    first, second = (number + 1 for number in halves)
    apart.set_title(f"{camera.name}: {len(rows)} detections, of which {first} and {second} are one person")
    together.set_title(f"after association: {len(np.unique(found.person))} people")
    return saved(figure, out / "fragment.png")


def board(work: Path, out: Path) -> Path:
    """Draw the sheet that `mvcap board` writes, and a board found in a generated picture."""
    import generated_boards as boards
    from PIL import Image

    from calib.boards import board_from
    from calib.boards.sheets import write_board
    from calib.observe import Finder

    take = boards.peers_take(BOARDS)
    [image] = boards.pictures(take, BOARD_VIEW, frames=[BOARD_FRAME])
    found = Finder(take.board).find(image)
    [sheet] = write_board(board_from(PRINTED), work / "board" / "sheet.png", dpi=PRINTED_DPI, force=True)
    figure = blank(12, 3.7)
    printed, filmed = figure.subplots(1, 2, width_ratios=(1, 1.5))
    printed.imshow(Image.open(sheet), cmap="gray")
    filmed.imshow(image, cmap="gray", vmin=0, vmax=255)
    filmed.plot(*found.xy.T, "+", color="#ff7a00", ms=11, mew=2.2)
    framed(filmed, found.xy, 40, take.rig[BOARD_VIEW].size, 2.1)
    found_in = f"{found.seen.sum()} of {len(found.seen)} corners found at the rim of a picture"
    for axes, words in ((printed, "as it is printed"), (filmed, found_in)):
        axes.set(xticks=[], yticks=[], title=words)
    return fewer_colours(saved(figure, out / "board.png"), 96)


def calibration(work: Path, out: Path) -> Path:
    """Draw the top of the report on six generated cameras: verdict, figures, and the error by place."""
    import shutil

    import generated_boards as boards
    from playwright.sync_api import sync_playwright

    from calib.calibrate import calibrate
    from calib.report import write_report

    seen = boards.board_observations(boards.peers_take(BOARDS), BOARD_NOISE_PX, outliers=0.002)
    page = write_report(calibrate(seen), work / "calibration", title="take0", force=True)[1]
    path = out / "calibration.png"
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": PAGE_PX, "height": 600}, color_scheme="light")
        shown.goto(page.resolve().as_uri())
        unwanted = "nav, #findings, #accuracy > h2, #accuracy > p, #accuracy figure ~ *, #accuracy ~ *"
        closer = "#accuracy { margin: 1rem 0 0 } body { padding-bottom: 0 }"
        shown.add_style_tag(content=f"{unwanted} {{ display: none }} {closer}")
        shown.locator("body").screenshot(path=path)
        browser.close()
    return fewer_colours(path, 200)


# --- what they show --------------------------------------------------------------------------------------------------


def generated(folder: Path, errors: str, **more: float) -> Session:
    """Return a reconstructed session of five generated people who cross among eight cameras."""
    import generated_people as people

    import mvcap
    from mvcap.structures.session import Session

    if (folder / "session").is_dir():
        session = Session.open(folder / "session")
    else:
        session = people.make_session(folder, people.crossing(5, 8), **{**getattr(people, errors), **more})
    for name in THREE_D:
        getattr(mvcap, name)(session)
    return session


def demo(folder: Path, stages: Sequence[str], estimator: str = "people") -> Session:
    """Return the demo's session with the results of these stages."""
    import mvcap
    from mvcap import assets
    from mvcap.structures.session import Session

    if folder.is_dir():
        session = Session.open(folder)
    else:
        assets.fetch(["demo-multiperson"])
        take = assets.path("demo-multiperson")
        clips = {f"cam0{number}": take / f"cam0{number}.mp4" for number in range(1, 5)}
        session = mvcap.init(list(clips.values()), rig=take / "Calib.qca.txt", folder=folder)
        session.override({"estimator": estimator})
    for name in stages:
        getattr(mvcap, name)(session)
    return session


def whole(session: Session, stage: str) -> Any:
    """Return all rows of a stage."""
    from mvcap import stages
    from mvcap.structures.skeleton import skeleton

    made = stages.detections(session, stage) if stage in THREE_D[:2] else stages.poses(session, stage)
    return made.kind.concatenate(list(made.chunks()), skeleton(made.skeleton_name))


def person_at(rows: Detections2D, view: int) -> int:
    """Return the person with the most joints in this view."""
    mine = np.flatnonzero(rows.view == view)
    return int(rows.person[mine[(rows.score[mine] > 0).sum(1).argmax()]])


def of_views(rows: Detections2D, session: Session) -> Floats:
    """Return joints (J, 3) m of one person in one frame, triangulated from these rows alone."""
    from mvcap.triangulation.robust_triangulation import TriangulateConfig, triangulate_rows

    made: Poses3D = triangulate_rows(rows, session.rig, TriangulateConfig())
    return made.xyz[0].astype(np.float64)


def most_hidden(rows: Detections2D) -> tuple[int, int]:
    """Return the frame and view with the fewest joints, among those that show all people."""
    views = int(rows.view.max()) + 1
    place = rows.frame.astype(np.int64) * views + rows.view
    people, joints = np.bincount(place), np.bincount(place, (rows.score > 0).sum(1))
    return divmod(int(np.where(people == people.max(), joints, np.inf).argmin()), views)


def held_by(xy: Floats, others: Floats) -> bool:
    """Return whether most joints (J, 2) px of a row are among those of other rows (M, J, 2)."""
    there = np.isfinite(xy[:, 0])
    return bool((xy[there] == others[:, there]).all(-1).any(0).mean() > 0.5)


def most_even(rows: Detections2D) -> tuple[int, int, int]:
    """Return frame, view and person of the fragment that is nearest to half a person."""
    there = (rows.score > 0).sum(1)
    best, at = 0, (0, 0, 0)
    order = np.lexsort((rows.person, rows.view, rows.frame))
    for a, b in pairwise(order.tolist()):
        key = [(int(rows.frame[one]), int(rows.view[one]), int(rows.person[one])) for one in (a, b)]
        if key[0] == key[1] and key[0][2] >= 0 and min(there[a], there[b]) > best:
            best, at = min(there[a], there[b]), key[0]
    return at


# --- ink -------------------------------------------------------------------------------------------------------------


def blank(width: float, height: float) -> Figure:
    """Return an empty figure; width and height in inches of 100 px."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"font.size": 11, "axes.titlesize": 12, "axes.edgecolor": FAINT, "text.color": INK})
    return Figure(figsize=(width, height), layout="compressed", facecolor="white")


def tint(person: int) -> str:
    """Return a person's colour, the same as in the reports."""
    from mvcap.drawing.colours import hexadecimal

    return hexadecimal(int(person))


def side(kind: Skeleton, joint: int) -> str:
    """Return the colour of a joint's side."""
    return {"left": LEFT, "right": RIGHT}.get(kind.joints[joint].split("_")[0], MIDDLE)


def bones(axes: Axes, xy: Floats, kind: Skeleton, hue: str) -> None:
    """Draw the bones of one skeleton (J, 2) px over what is drawn already."""
    for a, b in kind.bones.tolist():
        if np.isfinite(xy[[a, b]]).all():
            axes.plot(*xy[[a, b]].T, color="white", lw=6.5, solid_capstyle="round")
    for a, b in kind.bones.tolist():
        if np.isfinite(xy[[a, b]]).all():
            axes.plot(*xy[[a, b]].T, color=hue, lw=3.4, solid_capstyle="round")


def sided(axes: Axes, xy: Floats, kind: Skeleton) -> None:
    """Draw the limbs of one skeleton (J, 2) px in the colour of their side."""
    body = set(kind.body.tolist())
    for a, b in kind.bones.tolist():
        if a in body and b in body:
            hue = side(kind, a) if side(kind, a) == side(kind, b) else MIDDLE
            axes.plot(*xy[[a, b]].T, color="black", lw=5.5, solid_capstyle="round", alpha=0.6)
            axes.plot(*xy[[a, b]].T, color=hue, lw=3.4, solid_capstyle="round")


def numbered(axes: Axes, at: Floats, person: int) -> None:
    """Write a person's number."""
    axes.annotate(str(int(person)), at, ha="center", va="center", fontsize=11, weight="bold", color="white", zorder=10,
                  bbox={"boxstyle": "circle,pad=0.22", "fc": tint(person), "ec": "white"})  # fmt: skip


def framed(axes: Axes, xy: Floats, margin: float, size: tuple[int, int], shape: float = 0.0) -> None:
    """Crop the axes to points (N, 2) px within a picture of this size; at least ``shape`` times as wide as high."""
    low, high = np.nanmin(xy, axis=0) - margin, np.nanmax(xy, axis=0) + margin
    grow = max(0.0, shape * (high[1] - low[1]) - (high[0] - low[0])) / 2
    low[0], high[0] = low[0] - grow, high[0] + grow
    low, high = np.maximum(low, -0.5), np.minimum(high, np.array(size) - 0.5)
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", xticks=[], yticks=[])


def saved(figure: Figure, path: Path) -> Path:
    """Write a picture at 100 px per inch."""
    lossy = path.suffix == ".jpg"
    figure.savefig(path, dpi=100, pil_kwargs={"quality": 88} if lossy else {"optimize": True})
    return path


def fewer_colours(path: Path, count: int) -> Path:
    """Write a picture again with at most ``count`` colours."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(count).save(path, optimize=True)
    return path


DRAWN: dict[str, Callable[[Path, Path], Path]] = {
    "result": result,
    "crossing": crossing,
    "swap": swap,
    "fragment": fragment,
    "board": board,
    "calibration": calibration,
}

if __name__ == "__main__":
    main()
