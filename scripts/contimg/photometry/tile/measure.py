"""The fit of a tile: sources, what the residual adds to them, empty places, errors."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.errors import DataQualityError
from contimg.core.fluxfit.design import Design
from contimg.core.fluxfit.normal import normal
from contimg.core.fluxfit.sizes import Gaussian
from contimg.core.fluxfit.solve import Solution
from contimg.core.fluxfit.sweep import Arrays, Block, parts_of
from contimg.core.ms import Axes
from contimg.photometry.tile import targets
from contimg.photometry.tile.options import FluxFitOptions
from contimg.photometry.tile.rounds import Offset, Rounds, Spectra
from contimg.photometry.tile.search import ResidualImage

_MIN_NULLS = 10  # for errors to be measured by their scatter


@dataclass
class TileFit:
    """A fitted tile: rows of `table` (see :mod:`targets`) with what was found of them."""

    table: pd.DataFrame
    model: Design
    solution: Solution
    covariance: NDArray[np.float64]  # (row, row) [Jy^2], formal times `factor`^2
    part_error: NDArray[np.float64]  # (part, row) [Jy]
    factor: float  # by which formal errors were multiplied
    null_scatter: float  # rms of the empty places over their formal errors; NaN for too few
    position_error: NDArray[np.float64]  # (row,) [arcsec] along one axis; NaN where not fitted
    image: ResidualImage  # of what the last round left
    level: NDArray[np.float64]  # (row,) [Jy], times spectrum over catalogue's: as in the data
    natural_noise: float  # of the fit with natural weights, as Solution.noise
    confusion_f2: float
    rounds: list[dict] = field(default_factory=list)
    spectra: Spectra = field(default_factory=dict)  # that are not the catalogue's
    sizes: dict[str, Gaussian] = field(default_factory=dict)  # that are not the catalogue's


def measure_tile(
    axes: Axes,
    blocks: Arrays,
    catalog: pd.DataFrame,
    beam: PrimaryBeam,
    options: FluxFitOptions,
    scratch: Path,
    *,
    offset: Offset | None = None,
    threads: int = 1,
) -> TileFit:
    """Fit everything in a tile; see :class:`TileFit`.

    `scratch` is a directory for files as large as the data, `offset` of rows of the table what the
    data hold of a source besides its flux density times the beam. Raises
    :class:`DataQualityError` when there is nothing to fit or the fit is hopeless.
    """
    if options.uv_min_lambda > 0:
        blocks = _without_short(axes, blocks, options.uv_min_lambda)
    table = targets.choose(catalog, beam, axes, options)
    single = table["same"] == table["name"]
    others = table[~single]
    state = Rounds(
        axes,
        blocks,
        beam,
        table[single].reset_index(drop=True),
        options,
        scratch,
        offset,
        threads,
    )
    state.settle()
    rounds = _rounds(state, options.search_rounds)
    if state.find_spectra():
        rounds += _rounds(state, options.search_rounds)
    while state.find_sizes():
        rounds += _rounds(state, options.search_rounds)
    f2 = state.weights()
    natural_noise = state.noise
    width = np.radians(state.image.beam.major_deg)
    nulls = targets.empty_places(state.table, beam, axes, width, options)
    state.table = pd.concat([state.table, nulls], ignore_index=True)
    state.flux = np.concatenate([state.flux, np.zeros(len(nulls))])
    state.position_error = np.concatenate([state.position_error, np.full(len(nulls), np.nan)])
    model = state.design(state.table)
    solution = state.fit(model, state.blocks, None, parts=options.parts)
    covariance, part_error = _formal(model, solution, state, f2, natural_noise, options.parts)
    whole, each = state.over_catalogued(state.table, len(solution.part_hz))
    wider = state.inflation()
    covariance *= np.outer(whole * wider, whole * wider)
    part_error = part_error * each * wider
    flux = {"flux_jy": solution.flux_jy * whole, "part_flux_jy": solution.part_flux_jy * each}
    solution = replace(solution, **flux)
    null = (state.table["role"] == targets.NULL).to_numpy()
    pulls = solution.flux_jy[null] / np.sqrt(np.diagonal(covariance))[null]
    scatter = float(np.sqrt(np.mean(pulls**2))) if null.sum() >= _MIN_NULLS else float("nan")
    factor = max(1.0, scatter) if np.isfinite(scatter) else 1.0
    fitted = TileFit(
        table=state.table,  # completed below
        model=model,
        solution=solution,
        covariance=factor**2 * covariance,
        part_error=factor * part_error,
        factor=factor,
        null_scatter=scatter,
        position_error=state.position_error,
        image=state.image,
        level=solution.flux_jy / whole,
        natural_noise=natural_noise,
        confusion_f2=f2,
        rounds=rounds,
        spectra=state.spectra,
        sizes=state.sizes,
    )
    table = _with_first_places(state.table, state.first, others)
    error = np.sqrt(np.diagonal(fitted.covariance))
    fitted.table = targets.without_faint(table, solution.flux_jy, error, options.search_snr)
    return fitted


def _rounds(state: Rounds, searches: int) -> list[dict]:
    """Rounds until nothing is found any more; what they did."""
    rounds: list[dict] = []
    while True:
        done = state.one_round(search=searches > 0)
        searches -= done["residual_rms_jy_beam"] is not None
        rounds.append(done)
        _say(f"round {len(rounds)}: " + ", ".join(f"{k} {_short(v)}" for k, v in done.items()))
        if done["residual_rms_jy_beam"] is not None and not done["sources_added"]:
            return rounds


def _with_first_places(
    table: pd.DataFrame, first: pd.DataFrame, others: pd.DataFrame
) -> pd.DataFrame:
    """Catalogued places back in their columns, the fitted ones beside them; `others` appended."""
    table = table.assign(fit_ra_deg=table["ra_deg"], fit_dec_deg=table["dec_deg"])
    table.loc[first.index, ["ra_deg", "dec_deg"]] = first
    return pd.concat([table, others], ignore_index=True)


def _formal(
    model: Design,
    solution: Solution,
    state: Rounds,
    f2: float,
    noise: float,
    parts: int,
) -> tuple[NDArray, NDArray]:
    """Covariance (row, row) and errors of the parts; by the sandwich where weights are not 1/s^2.

    With M = A^H W' S W' A, S = noise^2 / w, it is N^-1 M N^-1.
    """
    if not f2 > 0:
        return solution.covariance_jy2, solution.part_error_jy
    seen = np.isfinite(solution.flux_jy)
    weight = state.blocks.weight**2 / np.where(state.natural > 0, state.natural, 1)
    part = parts_of(model.axes.freq_hz.size, min(parts, model.axes.freq_hz.size))
    spread = normal(model, Arrays(state.blocks.data, weight), part)[:, seen][:, :, seen]
    inverse = solution.covariance_jy2[np.ix_(seen, seen)] / solution.noise**2
    covariance = np.full(solution.covariance_jy2.shape, np.nan)
    covariance[np.ix_(seen, seen)] = noise**2 * inverse @ spread.sum(axis=0) @ inverse
    ratio = np.sqrt(np.diagonal(covariance)) / solution.error_jy
    return covariance, solution.part_error_jy * ratio


def _without_short(axes: Axes, blocks: Arrays, shortest: float) -> Arrays:
    """Without what is below `shortest` wavelengths."""
    length = np.hypot(axes.uvw_m[..., 0], axes.uvw_m[..., 1])
    kept = [
        Block(b.data, b.weight * (distance[:, None] * axes.freq_hz / C_M_S >= shortest))
        for b, distance in zip(blocks, length, strict=True)
    ]
    weight = np.stack([block.weight for block in kept]).astype(np.float32)
    if not weight.any():
        raise DataQualityError(f"no unflagged baseline above {shortest:g} wavelengths")
    return Arrays(blocks.data, weight)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _say(text: str) -> None:
    """Progress, for the log."""
    print(text, file=sys.stderr, flush=True)
