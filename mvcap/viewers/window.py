"""Viewer window: people, their meshes, cameras and point clouds in 3D on a timeline, in a window of Open3D.

Space plays and pauses, the arrows step (page up and down by ten frames), Home and End jump, F looks at everybody,
C shows and hides point clouds, M meshes. Needs a display and the extra ``cloud``.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats, Ints
from mvcap import stages
from mvcap.cloud import cloud_frame_at, cloud_frames, read_cloud
from mvcap.drawing.colours import Rgb, colour, linear_rgb
from mvcap.drawing.viewpoints import people_box
from mvcap.errors import InputError
from mvcap.exporters.gltf_skins_reader import session_bodies
from mvcap.structures.optional_package import optional_package
from mvcap.structures.pose_file import load_truth
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.viewers import has_display

_SIZE = (1280, 800)
_BACKGROUND = (0.12, 0.125, 0.14, 1.0)
_GRID: Rgb = (74, 78, 86)
_CAMERA: Rgb = (150, 156, 166)
_TRUTH: Rgb = (240, 240, 240)
_LINE_PX, _THIN_PX, _POINT_PX = 5.0, 1.5, 2.5
_FRUSTUM_M = 0.35
_FIELD_DEG = 45.0
_REDRAWN_S = 1.0  # after a change: a swap chain may show a picture only when the next ones are drawn
_READ_FRAMES = 100  # of poses that are held at once


def show(
    session: Session, *, truth: str | Path | None = None, started: Callable[[str], None] = lambda text: None
) -> None:
    """Show a session in a window until it is closed or the process is interrupted.

    truth: poses to show beside them, in white. started: called with the title once the window is there. Raises
    SessionError for a session without poses, InputError where there is no display or no Open3D.
    """
    take = ShownTake(session, truth)
    if not has_display():
        raise InputError(f"there is no display here for a window; `mvcap view {session.folder}` makes a page instead")
    open3d = optional_package("open3d", "Open3D", "cloud", "the window")
    try:
        window = _Window(open3d, take, session.folder.resolve().name)
    except RuntimeError as fault:
        raise InputError(
            f"Open3D cannot open a window here ({fault}); `mvcap view {session.folder}` makes a page instead"
        ) from fault
    with _closed_by_interrupt(window.close):
        started(window.title)
        while open3d.visualization.gui.Application.instance.run_one_tick():
            window.tick()


class ShownTake:
    """What is seen at a frame of a session, as lines (N, 2, 3) m with colours (N, 3), and points."""

    def __init__(self, session: Session, truth: str | Path | None = None) -> None:
        self.session = session
        self.rig: Rig = session.rig
        self._poses = stages.poses(session, "refine")
        self._truth = None if truth is None else load_truth(truth, session.frames, session.rate_hz)
        self.box = people_box(self._poses.chunks())
        self._clouds = cloud_frames(session)
        self._bodies = session_bodies(session)
        self._read = lru_cache(maxsize=2)(self._chunk)
        self.cloud = lru_cache(maxsize=2)(self._cloud)

    def people(self, frame: int) -> tuple[Floats, NDArray[np.uint8]]:
        """Return the bones (N, 2, 3) m of all at a frame and their colours (N, 3); those of the truth are white."""
        start = frame // _READ_FRAMES * _READ_FRAMES
        rows = self._read(start)
        lines, tints = _bones(rows[rows.frame == frame], None)
        if self._truth is not None:
            more, white = _bones(self._truth[self._truth.frame == frame], _TRUTH)
            lines, tints = np.concatenate([lines, more]), np.concatenate([tints, white])
        return lines, tints

    def meshes(self, frame: int) -> dict[int, tuple[Floats, Ints]]:
        """Return vertices (V, 3) m and triangles (F, 3) of the people's meshes at a frame, by person."""
        if self._bodies is None:
            return {}
        people = self._bodies.people
        return {
            person: (people[person].vertices(key), people[person].body.faces)
            for person, key in self._bodies.at(frame).items()
        }

    def cameras(self) -> Floats:
        """Return the edges (N, 2, 3) m of the cameras' pyramids."""
        lines = []
        for camera in self.rig:
            w, h = camera.size
            corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float64)
            ends = camera.position + _FRUSTUM_M * camera.rays(corners)[1]
            lines += [(camera.position, end) for end in ends] + list(zip(ends, np.roll(ends, -1, 0), strict=True))
        return np.array(lines).reshape(-1, 2, 3)

    def floor(self) -> Floats:
        """Return the lines (N, 2, 3) m of a grid at z = 0 below the people, a metre apart or more."""
        low, high = np.floor(self.box[0, :2]), np.ceil(self.box[1, :2])
        step = max(1.0, np.ceil((high - low).max() / 60))
        lines = [
            np.array([[at, low[1], 0], [at, high[1], 0]]) for at in np.arange(low[0], high[0] + step / 2, step)
        ] + [np.array([[low[0], at, 0], [high[0], at, 0]]) for at in np.arange(low[1], high[1] + step / 2, step)]
        return np.array(lines)

    def _chunk(self, start: int) -> Poses3D:
        return self._poses.between(start, start + _READ_FRAMES)

    def cloud_frame(self, frame: int) -> int | None:
        """Return the frame whose cloud is shown at a frame."""
        return cloud_frame_at(self._clouds, frame)

    def _cloud(self, frame: int) -> tuple[Floats, NDArray[np.uint8]] | None:
        found = read_cloud(self.session, frame)
        return None if found is None else (found.xyz.astype(np.float64), found.rgb)


def _bones(rows: Poses3D, tint: Rgb | None) -> tuple[Floats, NDArray[np.uint8]]:
    """Both ends (N, 2, 3) m of the bones of people, and colours (N, 3), those of the persons unless one is given."""
    bones = rows.xyz[:, rows.skeleton.bones].astype(np.float64)
    tints = [colour(person) if tint is None else tint for person in rows.person.tolist()]
    shades = np.repeat(np.array(tints, np.uint8).reshape(-1, 1, 3), bones.shape[1], axis=1)
    known = np.isfinite(bones).all((-1, -2))
    return bones[known], shades[known]


class _Window:
    """A window with the scene and a timeline below it."""

    def __init__(self, open3d: Any, take: ShownTake, name: str) -> None:
        self._open3d, self._take = open3d, take
        gui, rendering = open3d.visualization.gui, open3d.visualization.rendering
        gui.Application.instance.initialize()
        self.title = f"{name} - mvcap"
        self._window = gui.Application.instance.create_window(self.title, *_SIZE)
        self._scene = gui.SceneWidget()
        self._scene.scene = rendering.Open3DScene(self._window.renderer)
        self._scene.scene.set_background(_BACKGROUND)
        self._frame, self._ended = 0, False
        self._begun: float | None = None  # when frame 0 was due, while it plays
        self._shown_cloud: int | None = None
        self._with_cloud = self._with_meshes = True
        self._shown_meshes: set[str] = set()
        self._redraw_until = time.monotonic() + _REDRAWN_S
        self._add_controls(gui)
        self._window.set_on_layout(self._layout)
        self._window.set_on_key(self._key)
        self._add_lines("floor", take.floor(), _GRID, _THIN_PX)
        self._add_lines("cameras", take.cameras(), _CAMERA, _THIN_PX)
        self._look()
        self._draw()

    def close(self) -> None:
        """Let the window close at the next occasion."""
        self._ended = True

    def _add_controls(self, gui: Any) -> None:
        em = self._window.theme.font_size
        self._bar = gui.Horiz(0.5 * em, gui.Margins(0.5 * em, 0.3 * em, 0.5 * em, 0.3 * em))
        self._play = gui.Button("Play")
        self._play.set_on_clicked(self._toggle)
        self._slider = gui.Slider(gui.Slider.INT)
        self._slider.set_limits(0, max(self._take.session.frames - 1, 1))
        self._slider.set_on_value_changed(lambda value: self._seek(int(value)))
        self._time = gui.Label("")
        for part in (self._play, self._slider, self._time):
            self._bar.add_child(part)
        self._window.add_child(self._scene)
        self._window.add_child(self._bar)

    def _layout(self, context: Any) -> None:
        gui, area = self._open3d.visualization.gui, self._window.content_rect
        height = int(2.2 * context.theme.font_size)
        self._scene.frame = gui.Rect(area.x, area.y, area.width, area.height - height)
        self._bar.frame = gui.Rect(area.x, area.y + area.height - height, area.width, height)

    def _clock(self, frame: int) -> str:
        return f"{frame / self._take.session.rate_hz:.2f} s, frame {frame}"

    def _look(self) -> None:
        low, high = self._take.box
        box = self._open3d.geometry.AxisAlignedBoundingBox(low, high)
        middle, reach = (low + high) / 2, float(np.linalg.norm(high - low))
        self._scene.setup_camera(_FIELD_DEG, box, middle)
        self._scene.look_at(middle, middle + reach * np.array([-0.6, -0.9, 0.5]), [0.0, 0.0, 1.0])

    def _material(self, shader: str, line_px: float = _LINE_PX) -> Any:
        material = self._open3d.visualization.rendering.MaterialRecord()
        material.shader, material.line_width, material.point_size = shader, line_px, _POINT_PX
        return material

    def _add_lines(self, name: str, lines: Floats, tint: Rgb | NDArray[np.uint8], width: float) -> None:
        """Show lines (N, 2, 3) m under a name, in the place of those that had it."""
        scene, geometry, utility = self._scene.scene, self._open3d.geometry, self._open3d.utility
        if scene.has_geometry(name):
            scene.remove_geometry(name)
        if not len(lines):
            return
        pairs = utility.Vector2iVector(np.arange(2 * len(lines)).reshape(-1, 2))
        made = geometry.LineSet(utility.Vector3dVector(lines.reshape(-1, 3)), pairs)
        made.colors = utility.Vector3dVector(linear_rgb(np.broadcast_to(np.asarray(tint), (len(lines), 3))))
        scene.add_geometry(name, made, self._material("unlitLine", width))

    def _draw(self) -> None:
        self._add_lines("people", *self._take.people(self._frame), _LINE_PX)
        self._draw_meshes()
        self._draw_cloud()
        self._slider.int_value = self._frame
        self._time.text = self._clock(self._frame)
        self._window.set_needs_layout()
        self._redraw_until = time.monotonic() + _REDRAWN_S

    def _draw_meshes(self) -> None:
        scene, utility = self._scene.scene, self._open3d.utility
        for name in self._shown_meshes:
            scene.remove_geometry(name)
        self._shown_meshes.clear()
        for person, (vertices, faces) in self._take.meshes(self._frame).items() if self._with_meshes else ():
            made = self._open3d.geometry.TriangleMesh(
                utility.Vector3dVector(vertices), utility.Vector3iVector(faces.astype(np.int32))
            )
            made.compute_vertex_normals()
            material = self._material("defaultLit")
            material.base_color = [*linear_rgb(np.array(colour(person))).tolist(), 1.0]
            scene.add_geometry(f"mesh {person}", made, material)
            self._shown_meshes.add(f"mesh {person}")

    def _draw_cloud(self) -> None:
        scene = self._scene.scene
        wanted = self._take.cloud_frame(self._frame) if self._with_cloud else None
        if wanted == self._shown_cloud:
            return
        self._shown_cloud = wanted
        if scene.has_geometry("cloud"):
            scene.remove_geometry("cloud")
        found = None if wanted is None else self._take.cloud(wanted)
        if found is not None and len(found[0]):
            utility = self._open3d.utility
            made = self._open3d.geometry.PointCloud(utility.Vector3dVector(found[0]))
            made.colors = utility.Vector3dVector(linear_rgb(found[1]))
            scene.add_geometry("cloud", made, self._material("defaultUnlit"))

    def _seek(self, frame: int) -> None:
        frame = min(max(frame, 0), self._take.session.frames - 1)
        if self._begun is not None:
            self._begun = time.monotonic() - frame / self._take.session.rate_hz
        if frame != self._frame:
            self._frame = frame
            self._draw()

    def _toggle(self) -> None:
        playing = self._begun is not None
        if not playing and self._frame == self._take.session.frames - 1:
            self._seek(0)
        self._begun = None if playing else time.monotonic() - self._frame / self._take.session.rate_hz
        self._play.text = "Play" if playing else "Pause"

    def tick(self) -> None:
        """Show the frame whose time has come; close the window if that was asked for."""
        if self._ended:
            self._window.close()
        elif self._begun is not None:
            last = self._take.session.frames - 1
            frame = min(int((time.monotonic() - self._begun) * self._take.session.rate_hz), last)
            if frame != self._frame:
                self._frame = frame
                self._draw()
            if frame == last:
                self._toggle()
        if time.monotonic() < self._redraw_until:
            self._scene.force_redraw()
            self._window.post_redraw()

    def _key(self, event: Any) -> bool:
        gui = self._open3d.visualization.gui
        if event.type != gui.KeyEvent.Type.DOWN:
            return False
        jumps = {gui.KeyName.LEFT: -1, gui.KeyName.RIGHT: 1, gui.KeyName.PAGE_UP: -10, gui.KeyName.PAGE_DOWN: 10}
        if event.key == gui.KeyName.SPACE:
            self._toggle()
        elif event.key in jumps:
            self._seek(self._frame + jumps[event.key])
        elif event.key == gui.KeyName.HOME:
            self._seek(0)
        elif event.key == gui.KeyName.END:
            self._seek(self._take.session.frames - 1)
        elif event.key == gui.KeyName.C:
            self._with_cloud = not self._with_cloud
            self._draw()
        elif event.key == gui.KeyName.M:
            self._with_meshes = not self._with_meshes
            self._draw()
        elif event.key == gui.KeyName.F:
            self._look()
        else:
            return False
        return True


@contextmanager
def _closed_by_interrupt(close: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C close the window; Open3D's own loop would not let an exception through."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, lambda *_: close())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
