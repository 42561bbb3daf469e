"""A tile against the field model: what a wrong clock, place, beam or gain does to its sources.

Offsets of matched sources at (e, n) [deg] from the centre are fitted with a shift, a rotation and a
scale, their flux ratios with a level, a gradient and what another dish would make of the beam:

    d(e, n) = s + r (-n, e) + c (e, n)         ln(ratio) = a + g . (e, n) + k dlnB/dlnD

Robustly (Huber 1.5), with the scatter beyond the errors in the weights. A deviation counts when it
is five times its error and beyond its limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.core.records import Check, check
from contimg.image.options import ImageOptions

Array = NDArray[np.float64]
SCALE = "error of the flux scale against the catalogue"
_SURE = 5.0
_HUBER = 1.5
_FEWEST = 5  # sources for a shift and a level
_FEWEST_FIELD = 12  # for what varies over the field
_FLOOR_FLUX = 0.003
_FLOOR_ARCSEC = 0.1


@dataclass(frozen=True)
class Matched:
    """Isolated sources found in the image; all (source,) but `offset_arcsec` (source, 2)."""

    east_deg: Array  # from the centre of the image
    north_deg: Array
    offset_arcsec: Array  # image minus catalogue, east and north
    offset_err_arcsec: Array  # along one axis
    ratio: Array  # of flux densities, image over catalogue
    ratio_err: Array
    beam_slope: Array  # dlnB/dlnD at the source


def fit_field(found: Matched, dish_m: float) -> dict[str, Any]:
    """Shift, rotation, scale; level, gradient, beam; each with its error, None if not measured."""
    one, zero = np.ones_like(found.ratio), np.zeros_like(found.ratio)
    e, n = found.east_deg, found.north_deg
    error = np.hypot(found.offset_err_arcsec, _FLOOR_ARCSEC)
    wide = found.ratio.size >= _FEWEST_FIELD
    columns = [np.r_[one, zero], np.r_[zero, one]]
    if wide:
        columns += [np.r_[-n, e], np.r_[e, n]]
    names = ["shift_east_arcsec", "shift_north_arcsec"]
    names += ["rotation_arcsec_deg", "scale_arcsec_deg"]
    result = _named(names, columns, found.offset_arcsec.T.ravel(), np.r_[error, error], 2)
    columns = [one, e, n] if wide else [one]
    if wide and found.beam_slope.any():
        columns.append(found.beam_slope)
    names = ["log_level", "gradient_east_deg", "gradient_north_deg", "log_dish"]
    with np.errstate(invalid="ignore", divide="ignore"):
        log = np.log(found.ratio)
    good = np.isfinite(log)
    error = np.hypot(found.ratio_err, _FLOOR_FLUX)
    result |= _named(names, [c[good] for c in columns], log[good], error[good])
    dish, dish_error = result["log_dish"], result["log_dish_err"]
    result["dish_diameter_m"] = None if dish is None else float(dish_m * np.exp(dish))
    result["dish_diameter_err_m"] = None if dish is None else float(dish_m * dish_error)
    return result | {"sources_fitted": int(good.sum())}


def _named(
    names: list[str], columns: list[Array], values: Array, errors: Array, axes: int = 1
) -> dict[str, float | None]:
    """Coefficients and errors by name; None for all with too few sources of `axes` values each."""
    result: dict[str, float | None] = dict.fromkeys([*names, *(f"{n}_err" for n in names)])
    if values.size < axes * _FEWEST:
        return result
    found, error = robust_fit(np.stack(columns, axis=1), values, errors)
    for name, value, sigma in zip(names, found, error, strict=False):  # the rest was not fitted
        result[name], result[f"{name}_err"] = float(value), float(sigma)
    return result


def robust_fit(design: Array, values: Array, errors: Array) -> tuple[Array, Array]:
    """Least squares with Huber's weights and the scatter beyond the errors; values and errors."""
    scatter = 0.0
    solution = np.zeros(design.shape[1])
    covariance = np.eye(design.shape[1])
    weight = np.ones_like(values)
    for _ in range(30):
        sigma = np.hypot(errors, scatter)
        scaled = design * np.sqrt(weight)[:, None] / sigma[:, None]
        covariance = np.linalg.pinv(scaled.T @ scaled, hermitian=True)
        solution = covariance @ (scaled.T @ (values * np.sqrt(weight) / sigma))
        left = values - design @ solution
        spread = 1.4826 * float(np.median(np.abs(left) / sigma))
        scatter = float(np.sqrt(max(scatter**2 + (spread**2 - 1) * np.median(sigma) ** 2, 0.0)))
        weight = np.minimum(1, _HUBER / np.maximum(np.abs(left) / sigma, 1e-12))
    return solution, np.sqrt(np.diagonal(covariance))


def significant(
    metric: str,
    value: float | None,
    error: float | None,
    unit: str,
    *,
    warn_above: float,
    fail_above: float | None = None,
    why_not: str = "too few sources",
    to_the_limit: bool = False,
) -> Check:
    """|value| against limits that count only at five times its error; a warning if not measured.

    `to_the_limit`: an error above the limit is no measurement either.
    """
    limit = f"warn if > {warn_above:g} and 5 errors"
    if value is None or error is None:
        return Check(
            metric, None, unit, limit, "warn", f"{metric} could not be measured: {why_not}"
        )
    sure = abs(value) > _SURE * error
    if to_the_limit and error > warn_above and not sure:
        found = f"{value:.2g} +- {error:.2g} of {why_not}"
        reason = f"{metric} could not be measured to the limit of {warn_above:g}: {found}"
        return Check(metric, None, unit, limit, "warn", reason)
    if not sure:
        return Check(metric, abs(float(value)), unit, limit, "pass")
    return check(metric, abs(float(value)), unit, warn_above=warn_above, fail_above=fail_above)


def settles(found: Mapping[str, Any], options: ImageOptions) -> bool:
    """Whether the flux scale is within its limit at two errors: then it clears the calibration."""
    level, error = found["log_level"], found["log_level_err"]
    limit = options.max_flux_scale_error
    return level is not None and abs(float(np.expm1(level))) + 2 * error <= limit


def checks(found: Mapping[str, Any], minor_deg: float, options: ImageOptions) -> list[Check]:
    """Verdicts on what :func:`fit_field` found; `minor_deg` is the minor axis of the beam."""

    def size(*names: str) -> tuple[float | None, float | None]:
        values = [found[name] for name in names]
        if None in values:
            return None, None
        errors = [found[f"{name}_err"] for name in names]
        length = float(np.hypot.reduce(values))
        sigma = float(np.hypot.reduce(np.divide(values, errors)))  # of any of them
        return length, length / sigma if sigma else 0.0

    shift, shift_err = size("shift_east_arcsec", "shift_north_arcsec")
    few = f"{found['sources_fitted']} isolated sources matched"
    beams = options.max_offset_beams * minor_deg * 3600
    limit = min(options.max_offset_arcsec, beams)
    turn = options.max_turn_arcsec_deg
    gradient = size("gradient_east_deg", "gradient_north_deg")
    level = found["log_level"]
    ratio = None if level is None else float(np.expm1(level))
    lines = (
        ("offset from the catalogue", (shift, shift_err), "arcsec", limit, 10 * beams),
        ("rotation against the catalogue", size("rotation_arcsec_deg"), "arcsec/deg", turn, None),
        ("scale of positions", size("scale_arcsec_deg"), "arcsec/deg", turn, None),
        (
            SCALE,
            (ratio, found["log_level_err"]),
            "",
            options.max_flux_scale_error,
            None,
        ),
        ("gradient of fluxes", gradient, "1/deg", options.max_flux_gradient, None),
        (
            "dish diameter that the fluxes prefer, relative to that assumed",
            size("log_dish"),
            "",
            options.max_dish_error,
            None,
        ),
    )
    return [
        significant(
            name,
            *value,
            unit,
            warn_above=warn,
            fail_above=fail,
            why_not=few,
            to_the_limit=name == SCALE,
        )
        for name, value, unit, warn, fail in lines
    ]
