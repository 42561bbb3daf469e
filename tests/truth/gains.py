"""Solved tables against the gains that the simulator put in."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.caltable import read_table, table_freq_hz
from contimg.core.constants import C_M_S
from contimg.core.groups import Group
from contimg.core.ms import Axes, read_axes
from contimg.core.predict import antenna_uvw
from contimg.simulate.instrument import gains
from contimg.simulate.options import SimulateOptions


@dataclass(frozen=True)
class Errors:
    """Found minus true, feeds without solutions NaN."""

    names: list[str]
    delay_ns: NDArray[np.float64]  # (antenna, corr) K against the slope of the true phases
    amplitude: NDArray[np.float64]  # (antenna, corr) mean over channels of found / true
    phase_deg: NDArray[np.float64]  # (antenna, corr) mean over channels, the array's median taken
    channel_amplitude: NDArray[np.float64]  # (antenna, corr) scatter of found / true
    channel_phase_deg: NDArray[np.float64]
    offset_arcsec: tuple[float, float]  # shift of the sky, east and north, in the phases
    steady_phase_deg: NDArray[np.float64]  # (antenna, corr) phase_deg without that shift

    @property
    def flux_scale(self) -> float:
        """Measured over true flux density that the gains give."""
        return float(1 / np.nanmedian(self.amplitude) ** 2)

    @property
    def relative_amplitude(self) -> NDArray[np.float64]:
        """Error of the amplitude beside that of the scale."""
        return self.amplitude / np.nanmedian(self.amplitude) - 1

    def figures(self) -> dict[str, float]:
        """The figures of accuracy in one row."""
        return {
            "feeds": int(np.isfinite(self.amplitude).sum()),
            "flux scale - 1 [%]": 100 * (self.flux_scale - 1),
            "delay rms [ns]": rms(self.delay_ns),
            "delay max [ns]": float(np.nanmax(np.abs(self.delay_ns))),
            "amplitude rms [%]": 100 * rms(self.relative_amplitude),
            "amplitude max [%]": 100 * float(np.nanmax(np.abs(self.relative_amplitude))),
            "phase rms [deg]": rms(self.phase_deg),
            "phase max [deg]": float(np.nanmax(np.abs(self.phase_deg))),
            "shift of the sky east [arcsec]": self.offset_arcsec[0],
            "shift of the sky north [arcsec]": self.offset_arcsec[1],
            "phase without it rms [deg]": rms(self.steady_phase_deg),
            "phase without it max [deg]": float(np.nanmax(np.abs(self.steady_phase_deg))),
            "amplitude per channel [%]": 100 * float(np.nanmedian(self.channel_amplitude)),
            "phase per channel [deg]": float(np.nanmedian(self.channel_phase_deg)),
        }


def rms(values: NDArray[np.float64]) -> float:
    """Root mean square of the finite values."""
    return float(np.sqrt(np.nanmean(np.square(values))))


def total_gain(tables: dict[str, Path]) -> NDArray[np.complex128]:
    """K, B and G together, (antenna, corr, channel); K turns about the middle of the band."""
    freq = table_freq_hz(tables["B"])
    content = {name: read_table(path) for name, path in tables.items()}
    total = content["B"]["value"].transpose(0, 2, 1) * content["G"]["value"][:, 0, :, None]
    if "K" in tables:
        cycles = content["K"]["value"][:, 0, :, None] * 1e-9 * (freq - freq.mean())
        total = total * np.exp(2j * np.pi * cycles)
    return total


def errors(
    tables: dict[str, Path],
    axes: Axes,
    refant: str,
    simulate: SimulateOptions,
    group: Group,
) -> Errors:
    """Errors of the tables of one calset; `axes` are those of its MS."""
    names = axes.antenna_names
    freq = table_freq_hz(tables["B"])
    found = total_gain(tables)
    # raw = raw_scale conj(g1) g2 V
    true = gains(simulate, group, freq)[[int(n.split("-")[-1]) - 1 for n in names]]
    true = true * np.sqrt(simulate.raw_scale)
    reference = names.index(refant)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # feeds without solutions
        ratio = found / true
        turned = ratio * np.exp(-1j * np.angle(ratio[reference]))
        mean = np.nanmean(turned / np.abs(turned), axis=-1)
        amplitude = np.nanmean(np.abs(ratio), axis=-1)
        phase = np.degrees(np.angle(mean * np.exp(-1j * np.angle(_middle(mean)))))
        residual = turned / (amplitude * np.exp(1j * np.angle(mean)))[..., None]
    delay = np.full(phase.shape, np.nan)
    if "K" in tables:
        delay = read_table(tables["K"])["value"][:, 0] - true_delays_ns(true, reference, freq)
        delay -= np.nanmedian(delay, axis=0)
    delay = np.where(np.isfinite(amplitude), delay, np.nan)
    offset, steady = _without_shift(phase, axes)
    return Errors(
        names=names,
        delay_ns=delay,
        amplitude=amplitude,
        phase_deg=phase,
        channel_amplitude=_spread(np.abs(residual)),
        channel_phase_deg=np.degrees(_spread(np.angle(residual))),
        offset_arcsec=offset,
        steady_phase_deg=steady,
    )


def tables_of(files) -> dict[str, Path]:
    """The tables that a solution (SolveFiles) writes, by name."""
    given = {"K": files.k, "B": files.b, "G": files.g, "2G": files.g2}
    return {name: path for name, path in given.items() if path is not None}


def recovered(files, group: Group, simulate: SimulateOptions) -> tuple[dict, Errors, list[str]]:
    """Record of a solution (SolveFiles), its errors, and the antennas that have any solution."""
    record = json.loads(files.record.read_text())
    axes = read_axes(files.ms)
    found = errors(tables_of(files), axes, record["data"]["refant"], simulate, group)
    alive = np.isfinite(found.amplitude).any(axis=1)
    return record["data"], found, [n for n, a in zip(axes.antenna_names, alive, strict=True) if a]


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over the channels, NaN where there are none."""
    good = np.isfinite(values)
    count = np.where(good.any(axis=-1), good.sum(axis=-1), np.nan)
    mean = np.where(good, values, 0).sum(axis=-1) / count
    return np.sqrt(np.where(good, (values - mean[..., None]) ** 2, 0).sum(axis=-1) / count)


def _without_shift(
    phase_deg: NDArray[np.float64], axes: Axes
) -> tuple[tuple[float, float], NDArray[np.float64]]:
    """Shift (east, north) [arcsec] that a gradient of the phases amounts to; the rest [deg].

    Phases that rise evenly over the array are a calibrator beside its place: an error of
    coordinates, not of the solution.
    """
    uvw, antennas = antenna_uvw(axes.uvw_m, axes.ant1, axes.ant2)
    plane = np.zeros((len(axes.antenna_names), 2))
    plane[antennas] = uvw[axes.mjd.size // 2, :, :2]
    turns = 360 * plane * axes.freq_hz.mean() / C_M_S
    design = np.concatenate([turns[..., None, :], np.ones((len(turns), 1, 1))], axis=-1)
    design = np.broadcast_to(design, (*phase_deg.shape, 3))
    good = np.isfinite(phase_deg)
    fit = np.linalg.lstsq(design[good], phase_deg[good], rcond=None)[0]
    east, north = np.degrees(fit[:2]) * 3600
    return (float(east), float(north)), phase_deg - design @ fit


def _middle(mean: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Phasor (corr,) in the middle of those of the antennas."""
    common = np.nansum(mean, axis=0)
    angle = np.nanmedian(np.angle(mean * np.exp(-1j * np.angle(common))), axis=0)
    return common * np.exp(1j * angle)


def true_delays_ns(
    true: NDArray[np.complex128], reference: int, freq: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Delay of the true gains against the reference antenna: where their sum is greatest."""
    pair = true * true[reference].conj()
    grid = np.arange(-60, 60, 0.02)
    turn = np.exp(-2j * np.pi * grid[:, None] * 1e-9 * (freq - freq.mean()))
    size = np.abs(np.einsum("ahf,tf->aht", pair, turn))
    return grid[size.argmax(axis=-1)]
