"""Clothing of a cutout in another colour, with its shading: the parts of the body that are clothed, by their volumes.

The colour of a pixel becomes the new colour times its brightness relative to the mean of the garment, so that folds and
shadows stay (after the shading-aware replacement of MuCo-3DHP, Mehta et al. 2018, which the paper describes in words).
Skin keeps its colour: pixels are the less clothing, the nearer their colour is to that of the person's face and hands.
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.geometry import transform
from mvcap.datasets.body_volumes import RayGrid, joint_visibility
from mvcap.datasets.cutouts import Cutout
from mvcap.datasets.ground_truth import JointVisibility

GARMENTS = {"top": ("shoulder", "hip", "elbow"), "trousers": ("hip", "knee", "ankle")}
"""Garments, and the joints that the parts below them run between."""
_WAIST = 0.2
"""Height of the waist between hips and shoulders, as a share."""
_SKIN, _CLOTH = 8.0, 18.0
"""Distance of colours (a, b of CIE Lab) up to which a pixel is skin, and from which it is cloth."""
_SKIN_JOINTS = ("nose", "left_wrist", "right_wrist")
_SKIN_REACH = 0.01
"""Half of the window about a joint that shows its skin, as a share of the picture's height."""
_SOFT_PX = 2.0
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def garment_masks(cutout: Cutout) -> dict[str, NDArray[np.bool_]]:
    """Return the pixels (H, W) of the mask that each garment covers, by the nearest part of the body's volume."""
    grid = RayGrid(cutout.camera)
    bodies = cutout.bodies()
    depth, part = grid.depth(bodies)
    nearest = _nearest_part(part[0], np.isfinite(depth[0]))
    kinds = np.array([_garment(cutout, ends) for ends in bodies.ends])
    names = kinds[np.maximum(nearest, 0)]
    names[(names == "top") & (_height(cutout, grid) < _WAIST)] = "trousers"
    return {
        garment: (grid.enlarged(((names == garment) & (nearest >= 0)).astype(np.uint8)) > 0) & cutout.mask
        for garment in GARMENTS
    }


def _height(cutout: Cutout, grid: RayGrid) -> Floats:
    """Height (h, w) of cells of the grid in the picture: 0 at the hips, 1 at the shoulders, along the trunk."""
    shape = grid.direction.shape[:2]
    ends = []
    for part in ("hip", "shoulder"):
        both = [at for at, joint in enumerate(cutout.skeleton.joints) if joint.rpartition("_")[2] == part]
        ends.append(transform(cutout.camera.cam_from_world, cutout.xyz[both].mean(0)))
    hips, shoulders = (end[:2] / end[2] for end in ends)
    way = shoulders - hips
    if not np.isfinite(way).all() or not way @ way > 0:
        return np.ones(shape)
    flat = grid.direction[..., :2] / grid.direction[..., 2:]
    return np.asarray((flat - hips) @ way / (way @ way))


def _nearest_part(part: NDArray[np.int16], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    from scipy.ndimage import distance_transform_edt

    if not known.any():
        return np.full(part.shape, -1)
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(part[rows, columns], np.int64)


def _garment(cutout: Cutout, ends: NDArray[np.int64]) -> str:
    """The garment over a capsule between these joints; "" for none: head, neck, forearms and feet are bare."""
    names = {cutout.skeleton.joints[joint].rpartition("_")[2] for joint in ends.ravel()}
    if names == {"hip"}:
        return "trousers"
    return next((garment for garment, parts in GARMENTS.items() if names <= set(parts)), "")


def cloth_share(cutout: Cutout, bare: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return from 0, skin, to 1, cloth, what each pixel (H, W) is by its colour; 1 where no skin can be seen.

    bare: pixels (H, W) of the person that no garment covers; the skin is that of these about the nose and the wrists.
    """
    import cv2

    shades = cv2.cvtColor(cutout.image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]
    reach = max(1, round(_SKIN_REACH * len(cutout.mask)))
    apart = np.full(cutout.mask.shape, np.inf, np.float32)
    states, pixels = joint_visibility(cutout.camera, cutout.skeleton, cutout.xyz[None])
    named = [cutout.skeleton.index(joint) for joint in _SKIN_JOINTS if joint in cutout.skeleton.joints]
    for joint in named:
        if states[0, joint] != JointVisibility.VISIBLE:
            continue
        x, y = pixels[0, joint]
        window = tuple(slice(max(0, int(edge) - reach), int(edge) + reach + 1) for edge in (y, x))
        if bare[window].any():
            shade = np.median(shades[window][bare[window]], 0)
            apart = np.minimum(apart, np.linalg.norm(shades - shade, axis=-1))
    return np.asarray(np.clip((apart - _SKIN) / (_CLOTH - _SKIN), 0, 1), np.float32)


def recoloured(cutout: Cutout, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the image of a cutout with each garment in a random colour, of about its brightness or up to 50 more."""
    import cv2

    image = cutout.image.astype(np.float32)
    masks = garment_masks(cutout)
    share = cloth_share(cutout, cutout.mask & ~np.any(list(masks.values()), axis=0)) * cutout.mask
    for mask in masks.values():
        hue, saturation, factor, lift = rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0.75, 1.2), rng.uniform(0, 50)
        cloth = mask & (share > 0)
        if not cloth.any():
            continue
        luminance = image @ _LUMINANCE
        mean = float(np.average(luminance[cloth], weights=share[cloth]))
        colour = np.array(colorsys.hsv_to_rgb(hue, saturation, 1.0))
        colour *= (factor * mean + lift) / max(float(colour @ _LUMINANCE), 1e-6)
        shaded = (luminance / max(mean, 1e-6))[..., None] * colour
        soft = (cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _SOFT_PX) * share)[..., None]
        image = image * (1 - soft) + shaded.astype(np.float32) * soft
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)
