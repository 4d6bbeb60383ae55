"""What one camera sees of a room and what moves in it: linear light, and exact truth of every pixel.

Distributed ray tracing (Cook, Porter and Carpenter, "Distributed ray tracing", SIGGRAPH 1984): four places in every
pixel, or more, each at a time of its own within the exposure and with a place of its own on every lamp, so that edges,
motion blur and soft shadows cost no ray more. The room stands still: it is looked at once for each camera; in every
frame only what moves, and its shadows, are new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from mvcap.rendering.camera_rays import CameraRays, camera_rays
from mvcap.rendering.clothing import vertex_normals
from mvcap.rendering.moving_meshes import MovingMesh
from mvcap.rendering.ray_casting import Hits, RayScene
from mvcap.rendering.room import Lamp, Room

_LIFT_M = 0.002  # of the origin of shadow rays above the surface
_TILE = 8
_JITTER = 64
_BAND_S = 0.001  # rows that a rolling shutter exposes within this time are taken as of one
_ROWS = 64
_SPREAD_PX = 2
_COARSE = 2  # of the pixels of the room, each way, one is looked up from for shadows
Single = NDArray[np.float32]


@dataclass(frozen=True)
class Shutter:
    """When a camera collects light."""

    exposure_s: float = 0.004
    readout_s: float = 0.0
    """Time from the first row to the last, each exposed equally long; 0: all rows at once (global shutter)."""


@dataclass(frozen=True, eq=False)
class PixelTruth:
    """Truth at the centres of pixels, at the middle of the exposure of their rows."""

    depth: Single
    """(H, W) m along the optical axis; 0 where the lens shows nothing."""
    person: NDArray[np.uint8]
    """(H, W) number of the person; 0: none."""
    part: NDArray[np.uint8]
    """(H, W) number of the part, 1.. of ``PARTS``; 0: none."""
    normal: Single
    """(H, W, 3) unit normals in the world."""
    flow: Single
    """(H, W, 2) px that the surface point moves to the next frame, hidden there or not; NaN where it leaves the lens.
    """


@lru_cache(maxsize=2)
def _jitter(lamp: int) -> Single:
    """(4, 64, 64, 2) places 0..1 on a lamp of each place in a pixel: one in every quarter of the lamp."""
    rng = np.random.default_rng([lamp, 77])
    quarter = rng.permuted(np.tile(np.arange(4)[:, None, None], (1, _JITTER, _JITTER)), axis=0)
    corner = np.stack([quarter % 2, quarter // 2], -1)
    return np.asarray((corner + rng.random((*quarter.shape, 2))) / 2, np.float32)


@dataclass(frozen=True, eq=False)
class _Still:
    """The room as a camera sees it."""

    ambient: Single
    """(H, W, 3) light that comes from everywhere."""
    of_lamp: Single
    """(L, H, W, 3) light of each lamp."""
    xyz: Single
    """(H, W, 3) m points at the centres of pixels."""
    distance: Single
    """(H, W) m."""
    normal: Single


@dataclass(eq=False)
class ViewRenderer:
    """A camera in a room with something that moves."""

    room: Room
    moving: MovingMesh
    camera: Camera
    threads: int = 0
    """Processor cores for rays; 0: all."""
    samples: int = 4
    """Rays through each pixel that shows what moves: 4, or 16 for sharp edges whose place matters."""
    _kept: dict[str, object] = field(default_factory=dict, repr=False)

    @property
    def rays(self) -> CameraRays:
        """The camera's rays, made once."""
        if "rays" not in self._kept:
            self._kept["rays"] = camera_rays(self.camera, self.samples)
        found = self._kept["rays"]
        assert isinstance(found, CameraRays)
        return found

    @property
    def still(self) -> _Still:
        """The room without anything that moves, made once."""
        if "still" not in self._kept:
            self._kept["still"] = self._look_at_room()
        found = self._kept["still"]
        assert isinstance(found, _Still)
        return found

    def empty_light(self) -> Single:
        """Linear light (H, W, 3) of the room without anything that moves."""
        return np.asarray(self.still.ambient + self.still.of_lamp.sum(0), np.float32)

    def light(self, time_s: float, shutter: Shutter) -> Single:
        """Linear light (H, W, 3), averaged over the exposure about a time: that of the middle row."""
        out = np.empty_like(self.still.ambient)
        for rows, late_s in self._bands(shutter):
            self._expose(out[rows], rows, time_s + late_s, shutter.exposure_s)
        return out

    def truth(self, time_s: float, next_s: float, shutter: Shutter) -> PixelTruth:
        """Truth of every pixel at a time; its flow is that to next_s."""
        height, width = self.still.distance.shape
        axis = self.camera.cam_from_world[2, :3].astype(np.float32)
        depth = np.where(np.isfinite(self.still.distance), self.still.distance * (self.rays.centre @ axis), 0)
        truth = PixelTruth(
            np.nan_to_num(depth).astype(np.float32), np.zeros((height, width), np.uint8),
            np.zeros((height, width), np.uint8), self.still.normal.copy(), np.zeros((height, width, 2), np.float32),
        )  # fmt: skip
        truth.flow[~np.isfinite(self.rays.centre).all(-1)] = np.nan
        for rows, late_s in self._bands(shutter):
            self._tell(truth, rows, time_s + late_s, next_s + late_s)
        return truth

    def _bands(self, shutter: Shutter) -> list[tuple[slice, float]]:
        """Rows that are exposed together, and by how much later than the middle of the picture."""
        height = self.camera.size[1]
        count = int(np.clip(np.ceil(shutter.readout_s / _BAND_S), 1, height))
        edges = np.linspace(0, height, count + 1).astype(int)
        return [
            (slice(a, b), (0.5 * (a + b) / height - 0.5) * shutter.readout_s)
            for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        ]

    # what stands still

    def _look_at_room(self) -> _Still:
        height, width = self.rays.centre.shape[:2]
        scene = RayScene((self.room.vertices, self.room.faces), threads=self.threads)
        ambient = np.zeros((height, width, 3), np.float32)
        of_lamp = np.zeros((len(self.room.lamps), height, width, 3), np.float32)
        distance, normal = np.zeros((height, width), np.float32), np.zeros((height, width, 3), np.float32)
        for top in range(0, height, _ROWS):
            rows = slice(top, min(top + _ROWS, height))
            for place in range(4):  # of more, four that are no two in a column or row of four
                self._add_room(
                    scene, place, rows, self.rays.places[place * (self.samples - 1) // 3, rows], ambient, of_lamp
                )
            flat = self.rays.centre[rows].reshape(-1, 3)
            hits = scene.first_hits(self.rays.origin, np.nan_to_num(flat))
            known = np.asarray(np.isfinite(flat).all(-1))
            distance[rows] = np.where(known, hits.distance, np.inf).reshape(-1, width)
            normal[rows] = np.where(known[:, None], hits.normal, 0).reshape(-1, width, 3)
        ambient /= 4
        of_lamp /= 4
        reach = np.nan_to_num(distance, posinf=0.0)[..., None] * np.nan_to_num(self.rays.centre)
        return _Still(ambient, of_lamp, self.rays.origin.astype(np.float32) + reach, distance, normal)

    def _add_room(
        self, scene: RayScene, place: int, rows: slice, rays: Single, ambient: Single, of_lamp: Single
    ) -> None:
        """Add the light of one place in each pixel of some rows."""
        flat = rays.reshape(-1, 3)
        hits = scene.first_hits(self.rays.origin, np.nan_to_num(flat))
        seen = np.flatnonzero(np.isfinite(hits.distance) & np.isfinite(flat).all(-1))
        xyz = self.rays.origin + hits.distance[seen, None] * flat[seen]
        albedo, normal = self.room.albedo(hits.face[seen], xyz), hits.normal[seen]
        y, x = np.divmod(seen, rays.shape[1])
        y = y + rows.start
        ambient[y, x] += albedo * self._ambient(normal)
        for index, lamp in enumerate(self.room.lamps):
            for quarter in range(4):
                ray = _ways_to(lamp, _places(index, (place + quarter) % 4, y, x), xyz)
                light = _light_along(ray, normal, lamp)
                light[scene.blocked(xyz + _LIFT_M * normal, ray, 0.995)] = 0
                of_lamp[index, y, x] += albedo * light / 4

    def _ambient(self, normal: NDArray[np.floating]) -> Single:
        return np.asarray((0.65 + 0.35 * normal[:, 2:]) * self.room.ambient, np.float32)

    # what moves

    def _expose(self, out: Single, rows: slice, time_s: float, exposure_s: float) -> None:
        """Fill rows of a picture: the room with shadows at the middle of the exposure, and what moves before it."""
        background = self._shadowed(rows, self.moving.vertices(time_s))
        out[:] = background
        moments = time_s + exposure_s * ((np.arange(self.samples) + 0.5) / self.samples - 0.5)
        vertices, normals, scene = np.zeros((0, 3)), np.zeros((0, 3)), None
        for number, moment in enumerate(moments):
            if scene is None or exposure_s > 0:
                vertices = self.moving.vertices(float(moment))
                normals = vertex_normals(vertices, self.moving.faces)
                scene = self._scene(vertices)
            touched = self._touched(vertices, rows)
            if not touched.any():
                continue
            y, x = np.nonzero(touched)
            place = (number + x + 2 * (y + rows.start)) % self.samples  # so time goes with no direction in the picture
            rays = self.rays.places[place, y + rows.start, x]
            hits = scene.first_hits(self.rays.origin, np.nan_to_num(rays))
            mine = (hits.mesh == 0) & np.isfinite(rays).all(-1)
            if mine.any():
                y, x = y[mine], x[mine]
                light = self._lit(scene, _some(hits, mine), rays[mine], normals, place[mine] % 4, y + rows.start, x)
                out[y, x] += (light - background[y, x]) / self.samples

    def _scene(self, vertices: NDArray[np.floating]) -> RayScene:
        meshes = (vertices, self.moving.faces), (self.room.vertices, self.room.faces)
        return RayScene(*meshes, threads=self.threads)

    def _lit(
        self, scene: RayScene, hits: Hits, rays: Single, normals: NDArray[np.float64], place: NDArray[np.int64],
        y: NDArray[np.int64], x: NDArray[np.int64],
    ) -> Single:  # fmt: skip
        """Light (N, 3) of points of what moves."""
        xyz = self.rays.origin + hits.distance[:, None] * rays
        smooth = np.einsum("nc,ncx->nx", hits.share, normals[self.moving.faces[hits.face]])
        smooth *= np.where((smooth * hits.normal).sum(-1, keepdims=True) < 0, -1, 1)
        smooth /= np.maximum(np.linalg.norm(smooth, axis=-1, keepdims=True), 1e-9)
        total = self._ambient(smooth)
        for index, lamp in enumerate(self.room.lamps):
            ray = _ways_to(lamp, _places(index, place, y, x), xyz)
            light = _light_along(ray, smooth, lamp)
            lit = np.flatnonzero(light.any(-1))
            dark = scene.blocked((xyz + _LIFT_M * hits.normal)[lit], ray[lit], 0.995)
            light[lit[dark]] = 0
            total = total + light
        return np.asarray(self.moving.albedo(hits.face, hits.share) * total, np.float32)

    def _shadowed(self, rows: slice, vertices: NDArray[np.float64]) -> Single:
        """Light (h, W, 3) of the room's rows with the shadows of what moves."""
        import cv2

        still = self.still
        out = still.ambient[rows].copy()
        alone = RayScene((vertices, self.moving.faces), threads=self.threads)
        boxes = [(vertices[one].min(0), vertices[one].max(0)) for one in self.moving.pieces]
        for index, lamp in enumerate(self.room.lamps):
            near = _may_be_dark(still.xyz[rows], lamp, boxes)[::_COARSE, ::_COARSE]
            if not near.any():
                out += still.of_lamp[index, rows]
                continue
            y, x = (_COARSE * at for at in np.nonzero(near))
            xyz = still.xyz[rows][y, x] + _LIFT_M * still.normal[rows][y, x]
            clear = np.zeros(len(xyz), np.float32)
            for quarter in range(4):
                place = _places(index, quarter, (y + rows.start) // _COARSE, x // _COARSE)
                clear += ~alone.blocked(xyz, _ways_to(lamp, place, xyz), 0.995) / np.float32(4)
            share = np.ones(near.shape, np.float32)
            share[near] = clear
            share = np.asarray(cv2.GaussianBlur(share, (0, 0), 0.7), np.float32)
            whole = cv2.resize(share, (out.shape[1], out.shape[0]), interpolation=cv2.INTER_LINEAR)
            out += still.of_lamp[index, rows] * np.asarray(whole, np.float32)[..., None]
        return out

    def _touched(self, vertices: NDArray[np.float64], rows: slice) -> NDArray[np.bool_]:
        """(h, W) pixels of some rows that what moves may be seen in."""
        height, width = rows.stop - rows.start, self.camera.size[0]
        out = np.zeros((height, width), np.bool_)
        for piece in self.moving.pieces:
            xy = self.camera.project(vertices[piece])
            if not np.isfinite(xy).all():
                ahead = vertices[piece] @ self.camera.cam_from_world[2, :3] + self.camera.cam_from_world[2, 3] > 0
                out[:] = out | bool(ahead.any())
                continue
            room = _SPREAD_PX + 0.02 * np.ptp(xy, axis=0).max()
            low, high = np.floor(xy.min(0) - room), np.ceil(xy.max(0) + room) + 1
            low, high = (np.clip(one, -1, 1e6).astype(int) for one in (low, high))
            top, bottom = max(low[1] - rows.start, 0), max(high[1] - rows.start, 0)
            out[top:bottom, max(low[0], 0) : max(high[0], 0)] = True
        return out

    def _tell(self, truth: PixelTruth, rows: slice, time_s: float, next_s: float) -> None:
        """Fill in what moves in some rows."""
        vertices, later = self.moving.vertices(time_s), self.moving.vertices(next_s)
        touched = self._touched(vertices, rows)
        y, x = np.nonzero(touched)
        if not len(y):
            return
        y = y + rows.start
        rays = self.rays.centre[y, x]
        hits = self._scene(vertices).first_hits(self.rays.origin, np.nan_to_num(rays))
        mine = (hits.mesh == 0) & np.isfinite(rays).all(-1)
        y, x, found = y[mine], x[mine], _some(hits, mine)
        axis = self.camera.cam_from_world[2, :3].astype(np.float32)
        truth.depth[y, x] = found.distance * (rays[mine] @ axis)
        truth.person[y, x], truth.part[y, x] = self.moving.person[found.face], self.moving.part[found.face]
        truth.normal[y, x] = found.normal
        moved = np.einsum("nc,ncx->nx", found.share.astype(np.float64), later[self.moving.faces[found.face]])
        truth.flow[y, x] = self.camera.project(moved) - np.stack([x, y], -1)


def _some(hits: Hits, chosen: NDArray[np.bool_]) -> Hits:
    return Hits(hits.distance[chosen], hits.mesh[chosen], hits.face[chosen], hits.share[chosen], hits.normal[chosen])


def _places(lamp: int, place: int | NDArray[np.integer], y: NDArray[np.integer], x: NDArray[np.integer]) -> Single:
    return np.asarray(_jitter(lamp)[place, y % _JITTER, x % _JITTER])


def _ways_to(lamp: Lamp, place: Single, xyz: NDArray[np.floating]) -> Single:
    """Ways (N, 3) m from points (N, 3) to places (N, 2), 0..1 each way, on a lamp."""
    ray = lamp.middle.astype(np.float32) - np.asarray(xyz, np.float32)
    ray[:, :2] += (2 * place - 1) * np.array(lamp.half_m, np.float32)
    return np.asarray(ray, np.float32)


def _light_along(ray: Single, normal: NDArray[np.floating], lamp: Lamp) -> Single:
    """Light (N, 3) that comes along free ways (N, 3) from a lamp to surfaces with normals (N, 3)."""
    square = np.maximum(np.einsum("nx,nx->n", ray, ray), np.float32(0.01))
    slope = np.maximum(np.einsum("nx,nx->n", ray, np.asarray(normal, np.float32)), 0)
    share = slope * np.maximum(ray[:, 2], 0) / (square * square)
    return np.asarray(share[:, None] * lamp.power, np.float32)


def _may_be_dark(
    xyz: Single, lamp: Lamp, boxes: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> NDArray[np.bool_]:
    """(h, W) which points' way to the lamp may pass a box; told for one in eight each way, and their neighbours."""
    import cv2

    coarse = xyz[::_TILE, ::_TILE].astype(np.float64)
    way = lamp.middle - coarse
    out = np.zeros(coarse.shape[:2], np.uint8)
    wide = max(lamp.half_m)
    for low, high in boxes:
        with np.errstate(divide="ignore", invalid="ignore"):
            near, far = ((corner - coarse) / way for corner in (low - wide, high + wide))
        begin, end = np.fmin(near, far).max(-1), np.fmax(near, far).min(-1)
        out |= ((begin < end) & (end > 0) & (begin < 1)).astype(np.uint8)
    wider = np.asarray(cv2.dilate(out, np.ones((3, 3), np.uint8)))
    whole = np.repeat(np.repeat(wider, _TILE, 0), _TILE, 1)[: xyz.shape[0], : xyz.shape[1]]
    return np.asarray(whole > 0)
