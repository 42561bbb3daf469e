"""Which sources are references, and the normalisation of all light curves by them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.rowflags import usable
from contimg.variability import ensemble, metrics
from contimg.variability.ensemble import GainFit, Strips
from contimg.variability.options import VariabilityOptions
from contimg.variability.strips import kept, strips_of

MIN_SLOPED = 8  # references: with fewer a gradient would follow single ones
SLOPED_ABOVE = 5.0  # ln of densities, for the whole run
MAX_PLACE = 20.0  # deg


@dataclass(frozen=True)
class Grid:
    """Photometry on a grid of S sources by T epochs; ``nan`` where there is none."""

    sources: list[str]
    mosaics: list[str]
    mjd: NDArray[np.float64]  # (S, T)
    flux: NDArray[np.float64]  # (S, T) [Jy]
    error: NDArray[np.float64]  # (S, T) [Jy]
    good: NDArray[np.bool_]  # (S, T)
    isolated: NDArray[np.bool_]  # (S,) in every measurement
    ra_deg: NDArray[np.float64] | None = None  # (S,) ICRS; without them gains are flat
    dec_deg: NDArray[np.float64] | None = None  # (S,)
    strip: NDArray[np.int64] | None = None  # (T,) of the pointings, where there are several


@dataclass(frozen=True)
class Normalisation:
    """The gains and where they came from."""

    references: list[int]  # rows of the grid
    dropped: dict[str, str]  # once a reference, and why no longer
    normalised: NDArray[np.bool_]  # (T,) the epochs that have a gain
    n_references: NDArray[np.int64]  # (T,) good ones
    gains: GainFit  # from all references; gain 1 and the prior error elsewhere
    own: dict[int, GainFit]  # of each reference, where it is, from the others only
    centre: NDArray[np.float64]  # (T, 2) right ascension and declination of the fields [deg]

    def of(self, row: int, grid: Grid) -> GainFit:
        """The gains of one source, where it is."""
        if row in self.own:
            return self.own[row]
        return self.gains.at(_place(grid, [row], self.centre)[0])


def to_grid(table: pd.DataFrame, mosaics: list[str]) -> Grid:
    """Put measurements (columns of photometry) on a grid of sources by `mosaics`."""
    sources = sorted(table["source"].unique())

    def pivot(values: pd.Series) -> NDArray:
        frame = table.assign(value=values).pivot(index="source", columns="mosaic", values="value")
        return frame.reindex(index=sources, columns=mosaics).to_numpy(dtype=float)

    flux, error = pivot(table["flux_jy"]), pivot(table["flux_err_jy"])
    good = pivot(usable(table["flag"]).astype(float)) == 1
    with np.errstate(invalid="ignore"):
        good &= np.isfinite(flux) & np.isfinite(error) & (error > 0)
    blended = table.loc[table["n_blend"] > 1, "source"].unique()
    isolated = ~np.isin(sources, blended)
    where = table.groupby("source")[["ra_deg", "dec_deg"]].first().loc[sources]
    position = where["ra_deg"].to_numpy(dtype=float), where["dec_deg"].to_numpy(dtype=float)
    strip = _strip(table, mosaics)
    return Grid(
        sources, mosaics, pivot(table["mjd"]), flux, error, good, isolated, *position, strip
    )


def _strip(table: pd.DataFrame, mosaics: list[str]) -> NDArray[np.int64] | None:
    """Numbers (T,) of the declination strips of `mosaics`, where there are several."""
    if "pointing_dec_deg" not in table:
        return None
    pointing = table.groupby("mosaic")["pointing_dec_deg"].first()
    return strips_of(kept(pointing.loc[mosaics].to_numpy(dtype=float)))


def candidates(grid: Grid, options: VariabilityOptions) -> list[int]:
    """Rows fit to be references: bright, isolated and well measured; the brightest first.

    What part of the measurements is good counts where a source was measured at all: epochs may
    show different fields. It takes three good ones to speak of stability. The brightest
    `max_references` of every mosaic are taken, so that no field is left without.
    """
    measured = np.isfinite(grid.mjd).sum(axis=1)
    n_good = grid.good.sum(axis=1)
    snr = np.full(len(grid.sources), -np.inf)
    for row in np.flatnonzero(n_good):
        here = grid.good[row]
        snr[row] = np.median(grid.flux[row, here] / grid.error[row, here])
    fit = (
        grid.isolated
        & (n_good >= 3)
        & (n_good >= options.reference_min_good_fraction * measured)
        & (snr >= options.reference_min_snr)
    )
    # sorted() keeps the order of names among equals
    order = np.array(sorted(np.flatnonzero(fit), key=lambda row: -snr[row]), dtype=int)
    place = np.cumsum(grid.good[order], axis=0)  # among the good ones of each mosaic
    taken = (grid.good[order] & (place <= options.max_references)).any(axis=1)
    return order[taken].tolist()


def find_gains(grid: Grid, options: VariabilityOptions) -> Normalisation:
    """Choose references, drop the unstable ones one after the other, fit the gains.

    Mosaics that no reference joins have nothing to do with each other and are fitted apart.
    """
    rows = np.array(sorted(candidates(grid, options)), dtype=int)
    found = [_find_gains(grid, part, options) for part in _joined(grid, rows)]
    merged = found[0]
    for other in found[1:]:
        merged = _merge(merged, other)
    return merged


def _joined(grid: Grid, rows: NDArray) -> list[list[int]]:
    """`rows` in groups: those that are joined by mosaics in which they are good."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if not len(rows):
        return [[]]
    good = csr_array(grid.good[rows].astype(int))
    _, label = connected_components(good @ good.T, directed=False)
    return [rows[label == k].tolist() for k in range(label.max() + 1)]


def _merge(one: Normalisation, two: Normalisation) -> Normalisation:
    """Normalisation of all mosaics from those of two groups that share none."""

    def either(first: NDArray, second: NDArray) -> NDArray:
        return np.where(two.normalised, second, first)

    def gains(name: str) -> NDArray:
        first, second = getattr(one.gains, name), getattr(two.gains, name)
        return either(first.T, second.T).T

    level = np.concatenate([one.gains.level, two.gains.level])
    names = ("gain", "gain_err", "excess", "slope", "covariance")
    offset = np.concatenate([one.gains.offset, two.gains.offset])
    merged = GainFit(**{n: gains(n) for n in names}, level=level, offset=offset)
    return Normalisation(
        sorted(one.references + two.references),
        one.dropped | two.dropped,
        one.normalised | two.normalised,
        one.n_references + two.n_references,
        merged,
        one.own | two.own,
        either(one.centre.T, two.centre.T).T,
    )


def _find_gains(grid: Grid, rows: list[int], options: VariabilityOptions) -> Normalisation:
    """The gains of the mosaics of one group of references.

    Each reference is judged with the gains of the others, so that it cannot hide in them.
    """
    dropped: dict[str, str] = {}
    centre, full, strips = _centres(grid, rows), None, _strips(grid, options)
    sloped = _sloped(grid, rows, centre, options)
    while len(rows) >= options.min_references:
        n_references = grid.good[rows].sum(axis=0)
        normalised = n_references >= options.min_references
        if not normalised.any():
            break
        data = grid.flux[rows], grid.error[rows], grid.good[rows] & normalised
        place = _place(grid, rows, centre) if sloped else None
        full = ensemble.fit_gains(*data, full, place, strips)
        own = ensemble.leave_one_out(*data, full, place, strips)
        each = zip(*data, own, strict=True)
        p_values = [_p_constant(f, e, ok, fit, strips) for f, e, ok, fit in each]
        worst = int(np.argmin(p_values))
        if p_values[worst] >= options.reference_p_constant:
            gains = _with_prior(full, normalised, options)
            by_row = {
                row: _with_prior(fit, normalised, options)
                for row, fit in zip(rows, own, strict=True)
            }
            return Normalisation(rows, dropped, normalised, n_references, gains, by_row, centre)
        full = _without(full, worst) if len(rows) > ensemble.FEW else None
        dropped[grid.sources[rows[worst]]] = f"probability {p_values[worst]:.2g} to be constant"
        del rows[worst]
    nowhere = np.zeros(len(grid.mosaics), dtype=bool)
    n_references = grid.good[rows].sum(axis=0)
    blank = np.full(len(grid.mosaics), np.nan)
    none = np.zeros((len(blank), 2)), np.zeros((len(blank), 3, 3))
    gains = GainFit(blank, blank, blank, np.array([]), *none, np.zeros((0, len(blank))))
    gains = _with_prior(gains, nowhere, options)
    return Normalisation(rows, dropped, nowhere, n_references, gains, {}, centre)


def _without(full: GainFit, row: int) -> GainFit:
    """Where the fit without a reference starts from."""
    level, offset = np.delete(full.level, row), np.delete(full.offset, row, axis=0)
    return replace(full, level=level, offset=offset)


def _sloped(grid: Grid, rows: list[int], centre: NDArray, options: VariabilityOptions) -> bool:
    """Whether references are predicted better by the others if the gain differs over the field."""
    if grid.ra_deg is None or len(rows) < max(MIN_SLOPED, options.min_references):
        return False
    normalised = grid.good[rows].sum(axis=0) >= options.min_references
    data = grid.flux[rows], grid.error[rows], grid.good[rows] & normalised
    if not data[2].any():
        return False
    place = _place(grid, rows, centre)
    strips = _strips(grid, options)
    flat, sloped = (ensemble.fit_gains(*data, None, p, strips) for p in (None, place))
    gain = ensemble.predicted(*data, sloped, place) - ensemble.predicted(*data, flat)
    return gain > SLOPED_ABOVE


def _centres(grid: Grid, rows: list[int]) -> NDArray[np.float64]:
    """Mean position (T, 2) [deg] of the good references of every epoch; zero without any."""
    centre = np.zeros((len(grid.mosaics), 2))
    if grid.ra_deg is None or not rows:
        return centre
    good = grid.good[rows].astype(float)
    number = np.maximum(good.sum(axis=0), 1)
    turn = np.exp(1j * np.radians(grid.ra_deg[rows]))
    centre[:, 0] = np.degrees(np.angle(turn @ good)) % 360
    centre[:, 1] = grid.dec_deg[rows] @ good / number
    return centre


def _place(grid: Grid, rows: list[int], centre: NDArray) -> NDArray[np.float64]:
    """Offsets (rows, T, 2) [deg] of sources from the middles of the fields."""
    if grid.ra_deg is None:
        return np.zeros((len(rows), len(centre), 2))
    ra, dec = grid.ra_deg[rows][:, None], grid.dec_deg[rows][:, None]
    east = ((ra - centre[:, 0] + 180) % 360 - 180) * np.cos(np.radians(dec))
    place = np.stack([east, dec - centre[:, 1]], axis=2)
    # a source far outside of a field, which it is not measured in, must not overflow
    return np.clip(place, -MAX_PLACE, MAX_PLACE)


def _strips(grid: Grid, options: VariabilityOptions) -> Strips | None:
    """Where several strips are, and a source may differ from one to another."""
    if grid.strip is None or not options.strip_offset:
        return None
    member = grid.strip[:, None] == np.unique(grid.strip)
    return Strips(member.astype(float), options.strip_offset)


def _p_constant(
    flux: NDArray, error: NDArray, good: NDArray, fit: GainFit, strips: Strips | None
) -> float:
    """Probability that a constant source scatters as much as this one."""
    good = good & np.isfinite(fit.gain)
    if good.sum() < 2:
        return 1.0
    normal, total, mean = ensemble.normalise(flux, error, good, fit)
    if strips is None:
        return metrics.p_constant(normal[good], total[good])
    shapes = max(mean, 0.0) * strips.offset * strips.member[good]
    amplitudes, _ = metrics.offsets(normal[good], total[good], shapes)
    return metrics.p_constant(normal[good] - shapes @ amplitudes, total[good], amplitudes)


def _with_prior(fit: GainFit, normalised: NDArray, options: VariabilityOptions) -> GainFit:
    """Gain 1 with the declared error where no gain could be measured."""
    known = normalised & np.isfinite(fit.gain)
    return GainFit(
        np.where(known, fit.gain, 1.0),
        np.where(known, fit.gain_err, options.gain_error_prior),
        np.where(known, fit.excess, 0.0),
        fit.level,
        np.where(known[:, None], fit.slope, 0.0),
        np.where(known[:, None, None], fit.covariance, _flat(options.gain_error_prior**2)),
        fit.offset,
    )


def _flat(variance: float) -> NDArray[np.float64]:
    """Covariance (3, 3) of ln gain and slope if only the gain is uncertain."""
    return np.diag([variance, 0.0, 0.0])
