"""The initial lens of every camera of a rig, its free parameters, and its prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Bools, Floats
from calib.bundle.equations import LENS, lens_numbers
from calib.calibration import Finding, LensFit
from calib.camera import Lens
from calib.errors import CalibrationError
from calib.lenses.intrinsics import fit_lens, strange_moments
from calib.lenses.models import PINHOLE, LensModel, common_sense, model_of
from calib.observations import Observations
from calib.quality.verdict import LEFT_OUT

_GIVEN_FOCAL = 0.005  # relative standard deviation of the focal length of a lens that is given but not fixed
_GIVEN_COEFFICIENT = 0.02
_RIG_LENS = PINHOLE[3]


@dataclass(frozen=True, eq=False)
class KnownLenses:
    """The initial lens of every camera, its fit if it was fitted, its free parameters, and its prior."""

    lenses: tuple[Lens, ...]
    fits: tuple[LensFit | None, ...]
    free: Bools
    mean: Floats
    information: Floats


def with_lenses(
    observations: Observations,
    given: Mapping[str, Lens],
    fixed: bool,
    alone: Sequence[Observations],
    models: Sequence[LensModel] | None,
) -> tuple[Observations, KnownLenses, list[Finding]]:
    """A lens for every view that has one; views without are left out, with a finding each."""
    lenses, fits, priors, findings, views = [], [], [], [], []
    for view, size in zip(observations.views, observations.sizes, strict=True):
        photos = [table.of([view]) for table in alone if view in table.views]
        pictures = max(photos, key=lambda table: int(table.seen.sum()), default=observations)
        if view in given:
            _same_size(view, given[view].size, size)
            lens, fit = _with_coefficients(given[view]), None
            priors.append(_given_prior(lens))
        else:
            _same_size(view, pictures.sizes[pictures.views.index(view)], size)
            fit, fault = _fit_from_tables(view, [pictures, observations] if photos else [observations], models)
            if fit is None:
                findings.append(Finding("limit", view, f"{LEFT_OUT}, its lens cannot be estimated", fault))
                continue
            lens = fit.lens
            priors.append(_fitted_prior(fit) if photos and not fault else common_sense(lens))
            findings += fit.findings
        views.append(view)
        lenses.append(lens)
        fits.append(fit)
    if not views:
        raise CalibrationError(findings[0].todo if findings else "there are no views to calibrate")
    observations = observations.of(views)
    for lens in lenses:
        observations = observations.refusing(strange_moments(observations, lens.name, lens))
    free = np.stack([_free(lens, fit, fixed) for lens, fit in zip(lenses, fits, strict=True)])
    mean, information = (np.stack(part) for part in zip(*priors, strict=True))
    return observations, KnownLenses(tuple(lenses), tuple(fits), free, mean, information), findings


def _same_size(view: str, of_lens: tuple[int, int], size: tuple[int, int]) -> None:
    if of_lens != size:
        raise CalibrationError(
            f"camera {view!r}: its lens is for images of {of_lens[0]}x{of_lens[1]}, these are {size[0]}x{size[1]}; "
            "calibrate the lens at this size"
        )


def _with_coefficients(lens: Lens) -> Lens:
    """The lens with zeros for the coefficients that a rig's fit may estimate."""
    without = lens.model == "pinhole" and lens.distortion.size == 0
    return replace(lens, distortion=np.zeros(4)) if without else lens


def _free(lens: Lens, fit: LensFit | None, fixed: bool) -> Bools:
    if fixed:
        return np.zeros(LENS, bool)
    model = model_of(lens) if fit is None else LensModel(lens.model, fit.free[4:])
    # Together the cameras constrain their lenses more than each alone; the priors cover what remains undetermined.
    return model.mask() | (_RIG_LENS.mask() if model.model == "pinhole" else model.mask())


def _fit_from_tables(
    view: str, tables: Sequence[Observations], models: Sequence[LensModel] | None
) -> tuple[LensFit | None, str]:
    """The lens from the first table that determines it, and why the ones before did not; None for no lens."""
    fault = ""
    for table in tables:
        try:
            return fit_lens(table, view, models=models), fault
        except CalibrationError as error:
            fault = fault or str(error)
    return None, fault


def _given_prior(lens: Lens) -> tuple[Floats, Floats]:
    mean, information = lens_numbers(lens), common_sense(lens)[1]
    focal = float(np.sqrt(mean[0] * mean[1]))
    sigma = np.full(LENS, _GIVEN_COEFFICIENT)
    sigma[:4] = _GIVEN_FOCAL * focal
    return mean, information + np.diag(1 / sigma**2)


def _fitted_prior(fit: LensFit) -> tuple[Floats, Floats]:
    """The lens from images of one camera alone, as a prior for the rig's fit."""
    mean, information = lens_numbers(fit.lens), np.zeros((LENS, LENS))
    known = np.flatnonzero(np.diagonal(fit.covariance) > 0)
    information[np.ix_(known, known)] = np.linalg.pinv(fit.covariance[np.ix_(known, known)], hermitian=True)
    others = np.setdiff1d(np.arange(LENS), known)
    information[others, others] = np.diagonal(common_sense(fit.lens)[1])[others]
    return mean, information
