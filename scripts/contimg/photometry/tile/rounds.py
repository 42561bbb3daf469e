"""The rounds of the fit of a tile: fluxes, positions and what the residual adds to the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core import dirty
from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import SIZES, flux_density, nearest
from contimg.core.coords import cosines_to_sky, direction_cosines, north_of, separation
from contimg.core.fluxfit.design import Design, design, of_channels
from contimg.core.fluxfit.measurement import space
from contimg.core.fluxfit.positions import position_steps
from contimg.core.fluxfit.sizes import Gaussian, fit_gaussian, turned
from contimg.core.fluxfit.solve import ROUGH, Solution, fit, thinned
from contimg.core.fluxfit.sweep import Arrays, parts_of
from contimg.core.ms import Axes
from contimg.core.robust import robust_rms
from contimg.core.spectra import OWN, between, deviation, parabola
from contimg.photometry.tile import targets
from contimg.photometry.tile.options import FluxFitOptions
from contimg.photometry.tile.search import ResidualImage, find, residual_image

_ROUGH = 0.3  # of an error: tolerance of the fits whose residual is searched
_SETTLED = 8.0  # errors: a smaller step in position is not worth another round
_REAL = 3.0  # errors: of a few channels a smaller step is not made
_PARTS = 8  # of the band, for spectra that are not the catalogue's
_SPECTRUM_SNR = 100.0  # from which a spectrum may be more than a slope and a curvature
_OTHER_SPECTRUM = 10.0  # chi^2 a part that these leave, from which it is
_DEPTH = 0.1  # of the highest peak: what one search finds
_PRUNED_SNR = 5.0  # sources of the residual that turn out fainter are dropped again
_SIZED_SNR = 10.0  # from which a source is given a size
_SIZED_CHI2 = 30.0  # by which a Gaussian is better than a point
_SIZINGS = 4  # each better by what those of the others are: one disturbs the next
_SIZED_BEAMS = 10.0  # larger ones are no sources of this fit
_NEEDED = 5.0  # errors: a blended source is moved by no smaller step
_MOVES = 3  # rounds of moving alone; where it goes on, something else is wrong
_OWN_BEAMS = 1.5  # a peak so near to a source is a part of it
_APART_BEAMS = 0.5  # nearer peaks are what bad gains and positions leave, and cannot be fitted
NEIGHBOUR = 0.1  # correlation of two flux densities from which they are a blend
_LEAST_CONFUSION = 0.05  # f^2 times the densest cell: less changes nothing


# of rows of a source table what the data hold besides flux density times beam, (time, source,
# channel) [Jy]
Offset = Callable[[pd.DataFrame], NDArray[np.floating]]


# by name of source: frequencies [Hz], and spectrum there over that of the catalogue
Spectra = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


class Rounds:
    """State of the rounds."""

    def __init__(
        self,
        axes: Axes,
        blocks: Arrays,
        beam: PrimaryBeam,
        table: pd.DataFrame,
        options: FluxFitOptions,
        scratch: Path,
        offset: Offset | None,
        threads: int,
    ) -> None:
        self.axes, self.blocks, self.beam, self.options = axes, blocks, beam, options
        self.averaged = dataclasses.replace(
            axes,
            width_hz=axes.width_hz if options.channel_smearing else 0.0,
            integration_s=axes.integration_s if options.time_smearing else 0.0,
        )
        self.table = table.reindex(columns=table.columns.union(SIZES, sort=False))
        self.offset, self.threads = offset, threads
        self.left = space(axes, scratch, "residual")
        self.shrinking: float | None = None  # of the last fit
        self.spectra: Spectra = {}
        self.own_spectra: set[str] = set()  # those that are no curved power law
        self.sizes: dict[str, Gaussian] = {}  # found in these data, by name
        self.sized: set[str] = set()  # sources that were looked at for that
        self.flux = np.zeros(len(table))
        self.position_error = np.full(len(table), np.nan)
        self.first = table[["ra_deg", "dec_deg"]].copy()
        self.moves, self.named = 0, 0
        self.radius = _field_radius(beam, axes, options.min_beam)

    def design(self, table: pd.DataFrame) -> Design:
        """The model of `table`, with what calibration has subtracted of its sources."""
        # of the catalogue's flux densities only those at hand matter: for the finer terms
        offset = None if self.offset is None else self.offset(table)
        known = table.assign(flux_jy=self.flux)
        made = design(known, self.beam, self.averaged, offset_jy=offset)
        for k in np.flatnonzero(table["name"].isin(self.spectra)):
            factor = between(*self.spectra[table["name"].iloc[k]], self.axes.freq_hz)
            made.amplitude[:, k] *= factor.astype(np.float32)
        return made

    def over_catalogued(self, table: pd.DataFrame, parts: int) -> tuple[NDArray, NDArray]:
        """Spectra over those of the catalogue: of the whole band (row,), and (part, row).

        In the middle by the power law that is nearest to the spectrum; where a slope and a
        curvature do not describe it (behind a lens) by the mean over the band, as images have it.
        """
        freq = self.axes.freq_hz
        part = parts_of(freq.size, parts)
        whole, each = np.ones(len(table)), np.ones((parts, len(table)))
        for k in np.flatnonzero(table["name"].isin(self.spectra)):
            factor = between(*self.spectra[table["name"].iloc[k]], freq)
            shape = flux_density(table.iloc[[k]].assign(flux_jy=1.0), [*freq, freq.mean()])[0]
            if table["name"].iloc[k] in self.own_spectra:
                whole[k] = (factor * shape[:-1]).sum() / shape[:-1].sum()
            else:
                level = np.log(np.maximum(factor * shape[:-1] / shape[-1], 1e-3))
                whole[k] = np.exp(np.polyfit(np.log(freq / freq.mean()), level, 1)[1])
            each[:, k] = [factor[part == number].mean() for number in range(parts)]
        return whole, each

    def settle(self) -> None:
        """Flux densities and positions to begin with, from some of the channels."""
        chosen, blocks = self._thinned()
        left = Arrays(np.zeros_like(blocks.data), np.zeros_like(blocks.weight))
        for turn in range(_MOVES):
            # the first model has no terms of the second order, and shrinks as no later one does
            self.shrinking = None
            model = of_channels(self.design(self.table), chosen)
            solution = self.fit(model, blocks, left, tolerance=ROUGH)
            if not self._move(model, solution, left, least=_REAL) and turn:
                break

    def find_spectra(self) -> bool:
        """Spectra of bright sources that are not the catalogue's; whether there are any.

        What is not in the model yet would be taken for that: it must be complete.
        """
        chosen, blocks = self._thinned()
        model = of_channels(self.design(self.table), chosen)
        solution = fit(
            model, blocks, start=self.flux, tolerance=ROUGH, shrinking=self.shrinking, parts=_PARTS
        )
        hz, part, error = solution.part_hz, solution.part_flux_jy, solution.part_error_jy
        kind = deviation(
            *(hz, solution.flux_jy, solution.error_jy, part, error),
            least_snr=_SPECTRUM_SNR,
            chi2=_OTHER_SPECTRUM,
        )
        for k in np.flatnonzero(kind):
            its = part[:, k] if kind[k] == OWN else parabola(hz, part[:, k], error[:, k])
            name = self.table["name"].iloc[k]
            self.spectra[name] = hz, its / solution.flux_jy[k]
            if kind[k] == OWN:
                self.own_spectra.add(name)
        return bool(kind.any())

    def find_sizes(self) -> bool:
        """Gaussians in place of points that the residual contradicts; whether there are any.

        Components beside such a source are what a Gaussian may describe better: they go, and
        come back if the next search finds them still.
        """
        wanted = self._misfits()
        if not wanted:
            return False
        part = self.table["same"].isin(wanted) & (self.table["role"] == targets.COMPONENT)
        self._drop(part.to_numpy())
        for _ in range(_SIZINGS):
            model = self.design(self.table)
            solution = self.fit(model, self.blocks, self.left, tolerance=_ROUGH)
            found = {
                row: fit_gaussian(turned(model, self.left, solution.flux_jy, row, solution.noise))
                for row in np.flatnonzero(self.table["name"].isin(wanted | set(self.sizes)))
            }
            for row, gaussian in found.items():
                self._resize(row, gaussian, model.lmn[:2, row])
        self.sized |= wanted
        return True

    def _misfits(self) -> set[str]:
        """Names of the sources that have components, or a residual that is no noise."""
        lmn = _cosines(self.table, self.axes)
        residual = np.abs(np.nan_to_num(self.image.highest(lmn)))
        table = self.table.assign(residual=residual, apparent=self.flux * self.table["beam"])
        component = table["role"] == targets.COMPONENT
        owners = set(table["same"][component])
        noise = float(np.median(self.image.noise))
        odd = (table["residual"] > self.options.search_snr) | table["name"].isin(owners)
        bright = table["apparent"] > _SIZED_SNR * noise
        return set(table["name"][odd & bright & ~component]) - self.sized

    def _believed(self, found: Gaussian) -> bool:
        """Whether a Gaussian is surely better than a point, and could be a source."""
        beam = self.image.beam.major_deg * 3600
        return (
            found.chi2 > _SIZED_CHI2
            and found.flux_jy > 0
            and 3 * found.size_error_arcsec < found.major_arcsec < _SIZED_BEAMS * beam
        )

    def _resize(self, row: int, found: Gaussian, place: NDArray[np.float64]) -> None:
        """Give a row of the table its Gaussian, if that is believed."""
        ra, dec = cosines_to_sky(*(place + found.step), *self.axes.phase_center_rad)
        first = np.radians(self.first.iloc[row].to_numpy(dtype=float))
        off = np.degrees(float(separation(ra, dec, *first))) * 3600
        if not self._believed(found) or off > self.options.position_limit_arcsec:
            return
        # north at the source is not that of the plane in which the Gaussian was fitted
        north = np.degrees(north_of(float(ra), float(dec), *self.axes.phase_center_rad))
        found = dataclasses.replace(found, pa_deg=(found.pa_deg - north) % 180)
        size = (found.major_arcsec, found.minor_arcsec, found.pa_deg)
        columns = ["ra_deg", "dec_deg", *SIZES]
        self.table.loc[row, columns] = (np.degrees(ra), np.degrees(dec), *size)
        self.flux[row] = found.flux_jy
        self.sizes[self.table["name"].iloc[row]] = found

    def inflation(self) -> NDArray[np.float64]:
        """(row,): errors of flux densities are so much larger where a size was fitted as well."""
        known = {name: max(1.0, found.inflation) for name, found in self.sizes.items()}
        return self.table["name"].map(known).fillna(1.0).to_numpy(dtype=float)

    def _thinned(self) -> tuple[NDArray[np.int64], Arrays]:
        """Some of the channels, and their data; all where these are few."""
        n_chan = self.axes.freq_hz.size
        return thinned(self.blocks, n_chan) or (np.arange(n_chan), self.blocks)

    def one_round(self, *, search: bool) -> dict:
        """Fit and move what is bright; if nothing moved far, image and, if `search`, add to it."""
        model = self.design(self.table)
        solution = self.fit(model, self.blocks, self.left, tolerance=_ROUGH)
        moved = self._move(model, solution, self.left)
        self.noise, added = solution.noise, 0
        self.moves += moved > 0
        settled = not moved or self.moves > _MOVES
        if settled:
            self.image = self.residual_image(self.left)
            added = self._add() if search else 0
        sources = len(self.table) - added
        dropped = self._prune(solution)
        return {
            "sources": sources,
            "sources_dropped": dropped,
            "noise_factor": solution.noise,
            "sources_moved": moved,
            "sources_added": added,
            "residual_rms_jy_beam": robust_rms(self.image.data) if settled else None,
        }

    def fit(self, model: Design, blocks: Arrays, left: Arrays | None, **options: Any) -> Solution:
        """Fit `blocks` from the flux densities at hand, which follow; what is left to `left`."""
        start = self.flux if self.flux.any() else None
        solution = fit(
            model, blocks, start=start, left_over=left, shrinking=self.shrinking, **options
        )
        self.flux, self.shrinking = np.nan_to_num(solution.flux_jy), solution.shrinking
        return solution

    def residual_image(self, left: Arrays) -> ResidualImage:
        robust = self.options.search_robust
        return residual_image(self.axes, left, self.radius, robust, self.threads)

    def _move(self, model: Design, solution: Solution, left: Arrays, least: float = 0.0) -> int:
        """Take bright sources to where their residual says they are; how many moved far.

        Steps of less than `least` errors are not made.
        """
        snr = self.flux / np.where(solution.error_jy > 0, solution.error_jy, np.inf)
        point = np.isin(np.arange(len(self.table)), model.points)
        own = self.table["role"] != targets.COMPONENT
        wanted = np.flatnonzero((snr > self.options.position_snr) & point & own)
        if not wanted.size:
            return 0
        steps = position_steps(model, left, solution.flux_jy, wanted)
        error = solution.noise * np.sqrt(np.diagonal(steps.covariance, axis1=1, axis2=2))
        self.position_error[wanted] = np.degrees(np.sqrt((error**2).mean(axis=1))) * 3600
        l_cos, m_cos = model.lmn[:2, wanted] + steps.step.T
        ra, dec = cosines_to_sky(l_cos, m_cos, *self.axes.phase_center_rad)
        new = np.degrees(np.stack([ra, dec], axis=1))
        off = np.hypot(
            (new[:, 0] - self.first["ra_deg"].to_numpy()[wanted]) * np.cos(dec),
            new[:, 1] - self.first["dec_deg"].to_numpy()[wanted],
        )
        size = np.abs(steps.step / error).max(axis=1)
        # the places of blends make their flux densities worse: they are moved where they must
        before = self.table[["ra_deg", "dec_deg"]].to_numpy() != self.first.to_numpy()
        needed = ~_blended(solution)[wanted] | (size > _NEEDED) | before.any(axis=1)[wanted]
        needed &= size >= least
        believed = needed & (off * 3600 < self.options.position_limit_arcsec)
        self.table.loc[wanted[believed], ["ra_deg", "dec_deg"]] = new[believed]
        return int((size[believed] > _SETTLED).sum())

    def _add(self) -> int:
        """Add sources of the residual image to the table; how many."""
        where, least = self._limits()
        (ra, dec), height = find(self.image, where, self.options.search_snr, least)
        # where the brightest is not in the model yet, what is much fainter may be its pattern
        strong = height > _DEPTH * height.max(initial=0)
        ra, dec, height = ra[strong], dec[strong], height[strong]
        if not height.size:
            return 0
        new = targets.blank(ra, dec, targets.NEW)
        new["beam"] = targets.beam_response(new, self.beam, self.axes)
        width = np.radians(self.image.beam.major_deg)
        apart = nearest(new, self.table)[0] > _APART_BEAMS * width
        if not apart.any():
            return 0
        new, height = new[apart].reset_index(drop=True), height[apart]
        distance, number = nearest(new, self.table)
        part = distance < _OWN_BEAMS * width
        owner = self.table["same"].to_numpy()[number]
        first, number_of = len(self.table), self.named + np.arange(len(new))
        self.named += len(new)  # a name is not given twice, whatever is dropped
        kind = np.where(part, "component", "new")  # renamed by position at the end
        names = np.array([f"{k} {n}" for k, n in zip(kind, number_of, strict=True)], dtype=object)
        new = new.assign(name=names, role=np.where(part, targets.COMPONENT, targets.NEW))
        new["same"] = np.where(part, owner, names)
        self.table = pd.concat([self.table, new], ignore_index=True)
        self.first = self.table[["ra_deg", "dec_deg"]].where(
            self.table.index.to_series() >= first, self.first.reindex(self.table.index), axis=0
        )
        self.flux = np.concatenate([self.flux, height / new["beam"].to_numpy()])
        self.position_error = np.concatenate([self.position_error, np.full(len(new), np.nan)])
        return len(new)

    def _prune(self, solution: Solution) -> int:
        """Drop sources of earlier searches that the fit does not bear out; how many."""
        n = len(solution.flux_jy)
        weak = ~(solution.flux_jy > _PRUNED_SNR * solution.error_jy)
        found = self.table["role"].isin([targets.NEW, targets.COMPONENT]).to_numpy()
        drop = np.zeros(len(self.table), bool)
        drop[:n] = weak & found[:n]
        self._drop(drop)
        return int(drop.sum())

    def _drop(self, rows: NDArray[np.bool_]) -> None:
        """Take rows out of the table."""
        if rows.any():
            self.table = self.table[~rows].reset_index(drop=True)
            self.first = self.first[~rows].reset_index(drop=True)
            self.flux, self.position_error = self.flux[~rows], self.position_error[~rows]

    def _limits(self) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Pixels that are searched, and the least height that is believed there [Jy/beam].

        About a bright source that is `search_dynamic` of its apparent flux density, falling with
        the distance in beams.
        """
        image, size = self.image, self.image.data.shape[0]
        offset = (np.arange(size) - size // 2) * image.cell_rad
        radius = np.hypot(offset[:, None], offset[None, :])
        where = radius < self.radius
        least = np.zeros((size, size), np.float32)
        apparent = np.abs(self.flux) * self.table["beam"].to_numpy()
        width = np.radians(image.beam.major_deg) / image.cell_rad
        quiet = float(np.median(image.noise))
        bright = np.flatnonzero(self.options.search_dynamic * apparent > quiet)
        lmn = _cosines(self.table.iloc[bright], self.axes)
        index = np.arange(size)
        for (x, y), flux in zip(image.pixel(lmn).T, apparent[bright], strict=True):
            reach = width * self.options.search_dynamic * flux / quiet  # farther out it is noise
            rows, columns = (np.abs(index - at) <= reach for at in (x, y))
            box = np.ix_(rows, columns)
            distance = np.hypot(index[rows, None] - x, index[None, columns] - y) / width
            height = self.options.search_dynamic * flux / np.maximum(distance, 1)
            least[box] = np.maximum(least[box], height)
        return where, least

    def weights(self) -> float:
        """Choose the confusion's f^2 and give the blocks its weights; f^2 as used."""
        rows = self.axes.uvw_m.reshape(-1, 3)
        weight = self.blocks.weight.reshape(len(rows), -1)
        size, cell = self.image.data.shape[0], self.image.cell_rad
        cells = dirty.density(rows, self.axes.freq_hz, weight, size, cell)
        f2 = self.options.confusion_f2
        if f2 is None:
            data = self.left.data.reshape(weight.shape)
            f2 = dirty.excess_power(cells, rows, self.axes.freq_hz, data, weight, self.noise)
        if not f2 * cells.weight.max() > _LEAST_CONFUSION:
            return 0.0
        new = dirty.reweighted(cells, rows, self.axes.freq_hz, weight, f2)
        self.natural, self.shrinking = self.blocks.weight, None
        self.blocks = Arrays(self.blocks.data, new.reshape(self.blocks.weight.shape))
        return float(f2)


def _blended(solution: Solution) -> NDArray[np.bool_]:
    """Which sources are correlated with another one."""
    with np.errstate(invalid="ignore"):
        error = solution.error_jy
        correlation = np.abs(solution.covariance_jy2 / np.outer(error, error))
    np.fill_diagonal(correlation, 0)
    return np.nan_to_num(correlation).max(axis=1) > NEIGHBOUR


def _cosines(table: pd.DataFrame, axes: Axes) -> NDArray[np.float64]:
    """(3, source) about the phase centre."""
    place = np.radians(table[["ra_deg", "dec_deg"]].to_numpy(dtype=float).T)
    return np.stack(direction_cosines(*place, *axes.phase_center_rad))


def _field_radius(beam: PrimaryBeam, axes: Axes, level: float) -> float:
    """Distance from the centre [rad] at which the beam has fallen to `level`."""
    return beam.radius_rad(level, float(axes.freq_hz.mean()))
