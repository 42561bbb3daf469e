"""The health of every antenna, seen in its response to the calibrator before anything is solved.

A *feed* is one correlation of one antenna. From a sample of the band, data over model give a gain
of every feed for the whole observation and its course in time. What shows in them:

* no data at all (dead: the conversion flagged it);
* no coherent signal: an antenna that records noise, whose correlations are swapped (those of an
  unpolarised source do not correlate with each other, so that nothing is left of it in XX and YY
  while the autocorrelations look well), or whose delay is far off;
* a gain that steps within the observation: what is solved would be right at no time.

Such feeds are flagged in the working copy and in the tables, each with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.calibrate.options import CalibrateOptions
from contimg.core.ms import Axes, open_table
from contimg.core.robust import median, scatter

_BLOCKS = 16  # parts of the band that are looked at
_BLOCK_HZ = 1e6  # coherent for delays up to half a microsecond
_ITERATIONS = 50
_MIN_TIMES = 6  # a step is told from a slope only with so many integrations
_STEP_SIGMA = 8.0
_OTHER_CORRELATION = "its other correlation is bad"
_CORR_TYPES = {5: "RR", 8: "LL", 9: "XX", 12: "YY"}  # casacore's Stokes enumeration


@dataclass(frozen=True)
class Finding:
    """A feed that must not be used, and why."""

    antenna: int
    corr: int
    reason: str


@dataclass(frozen=True)
class Look:
    """Response of all feeds to the calibrator. Antennas are those of the baselines, in order."""

    antennas: NDArray[np.int64]  # (antenna,) numbers in the MS
    unflagged: NDArray[np.float64]  # (antenna, corr) part of the sampled data that is good
    level: NDArray[np.float64]  # (antenna, corr) amplitude of the mean gain over the array's
    course: NDArray[np.complex128]  # (time, antenna, corr) gain over its mean; NaN if none
    noise: NDArray[np.float64]  # (antenna, corr) scatter of `course` from time to time
    mjd: NDArray[np.float64]  # (time,)

    @property
    def phase_rms_deg(self) -> NDArray[np.float64]:
        """Wander of the phase in time, (antenna, corr) [deg]; NaN without data."""
        angle = np.degrees(np.angle(self.course))
        count = np.isfinite(angle).sum(axis=0)
        total = np.where(np.isfinite(angle), angle**2, 0).sum(axis=0)
        return np.sqrt(total / np.where(count > 0, count, np.nan))


def look(ms: Path, axes: Axes, chosen: slice) -> Look:
    """Look at an MS with MODEL_DATA, in the integrations `chosen`."""
    antennas = np.union1d(axes.ant1, axes.ant2)
    ratio, weight, unflagged = _sample(ms, axes, chosen, antennas)
    total = weight.sum(axis=0)
    mean = (ratio * weight).sum(axis=0) / np.where(total > 0, total, 1)
    gain = solve_gains(mean, total)  # (block, corr, antenna)
    expected = gain[..., :, None] * gain[..., None, :].conj()
    # the blocks of one time together, each turned and scaled by its own mean gains
    power = (weight * np.abs(expected) ** 2).sum(axis=1)
    product = (weight * ratio * expected.conj()).sum(axis=1)
    course = solve_gains(product / np.where(power > 0, power, 1), power)  # (time, corr, antenna)
    course = _steadied(course).transpose(0, 2, 1)
    strength = median(np.where(gain != 0, np.abs(gain), np.nan), axis=0).T
    strength = np.nan_to_num(strength)
    typical = np.median(strength[strength > 0]) if (strength > 0).any() else 1.0
    return Look(
        antennas=antennas,
        unflagged=unflagged,
        level=strength / typical,
        course=course,
        noise=_scatter(course),
        mjd=axes.mjd[chosen],
    )


def blocks(axes: Axes) -> tuple[int, list[int]]:
    """Channels of a block of the sampled band, and where each block starts."""
    n_chan = axes.freq_hz.size
    width = min(max(1, round(_BLOCK_HZ / axes.width_hz)), n_chan)
    n_blocks = min(_BLOCKS, n_chan // width)
    spacing = n_chan / n_blocks
    return width, [int(b * spacing + (spacing - width) / 3) for b in range(n_blocks)]


def _sample(
    ms: Path, axes: Axes, chosen: slice, antennas: NDArray[np.int64]
) -> tuple[NDArray, NDArray, NDArray]:
    """Data over model and weights, (time, block, corr, antenna, antenna); unflagged parts."""
    n_base = axes.shape[1]
    width, starts = blocks(axes)
    n_blocks = len(starts)
    times = range(*chosen.indices(axes.mjd.size))
    first, second = (np.searchsorted(antennas, a) for a in (axes.ant1, axes.ant2))
    cross = np.flatnonzero(first != second)
    first, second = first[cross], second[cross]
    n_corr = 2
    shape = (len(times), n_blocks, n_corr, antennas.size, antennas.size)
    ratio, weight = np.zeros(shape, np.complex64), np.zeros(shape, np.float32)
    good_count = np.zeros((antennas.size, n_corr))
    with open_table(ms) as table:
        for row, time in enumerate(times):
            rows = {"startrow": time * n_base, "nrow": n_base}
            for block, start in enumerate(starts):
                where = ([start, 0], [start + width - 1, n_corr - 1])
                data, model, flags = (
                    table.getcolslice(name, *where, **rows)[cross]
                    for name in ("DATA", "MODEL_DATA", "FLAG")
                )
                good = ~flags
                power = np.where(good, np.abs(model) ** 2, 0).sum(axis=1)
                product = np.where(good, data * model.conj(), 0).sum(axis=1)
                value = product / np.where(power > 0, power, 1)
                for a, b, v in ((first, second, value), (second, first, value.conj())):
                    ratio[row, block, :, a, b] = v
                    weight[row, block, :, a, b] = power
                    np.add.at(good_count, a, good.sum(axis=1))
    possible = len(times) * n_blocks * width * np.bincount(np.r_[first, second])
    return ratio, weight, good_count / possible[:, None]


def solve_gains(ratio: NDArray, weight: NDArray) -> NDArray[np.complex128]:
    """Gains g with ratio_pq = g_p conj(g_q) in least squares; shape (..., antenna), 0 if none.

    Alternating least squares with every second step halved (Salvini & Wijnholds 2014, A&A 571,
    A97), of any number of matrices (..., antenna, antenna) at once; diagonals must have no weight.
    """
    weighted = (weight * ratio).astype(complex)
    start = np.argmax(np.abs(weighted).sum(axis=-2), axis=-1)  # the antenna that is seen best
    column = np.take_along_axis(weighted, start[..., None, None], axis=-1)[..., 0]
    total = weight.sum(axis=(-1, -2))
    size = np.sqrt(np.abs(weighted).sum(axis=(-1, -2)) / np.where(total > 0, total, 1))
    gain = size[..., None] * np.exp(1j * np.angle(column))
    for iteration in range(_ITERATIONS):
        above = np.einsum("...pq,...q->...p", weighted, gain)
        below = np.einsum("...pq,...q->...p", weight, np.abs(gain) ** 2)
        new = np.where(below > 0, above / np.where(below > 0, below, 1), 0)
        gain = (new + gain) / 2 if iteration % 2 else new
    return gain


def _steadied(course: NDArray) -> NDArray:
    """Gains (time, corr, antenna) freed of what all antennas share; NaN where there are none."""
    course = np.where(course == 0, np.nan, course)
    unit = np.exp(1j * np.angle(course))
    common = np.where(np.isfinite(unit), unit, 0).sum(axis=-1, keepdims=True)
    turned = course * np.exp(-1j * np.angle(common))
    phase = median(np.angle(turned), axis=-1)[..., None]
    return turned * np.exp(-1j * phase) / median(np.abs(turned), axis=-1)[..., None]


def _scatter(course: NDArray) -> NDArray[np.float64]:
    """Noise of (time, antenna, corr) from differences of neighbouring times; at least the array's.

    One step is one difference of many, and the median does not see it.
    """
    steps = np.diff(course, axis=0)
    parts = np.concatenate([steps.real, steps.imag])
    own = scatter(parts, axis=0, centred=False) / np.sqrt(2)
    finite = own[np.isfinite(own)]
    return np.maximum(own, np.median(finite)) if finite.size else own


def examine(seen: Look, options: CalibrateOptions) -> list[Finding]:
    """The feeds that must not be used.

    When one correlation of an antenna is bad, both are: CASA solves with visibilities of which both
    parallel correlations are unflagged, and Stokes I needs both.
    """
    findings = []
    for index, antenna in enumerate(seen.antennas):
        corrs = range(seen.level.shape[1])
        reasons = [_reason(seen, index, corr, options) for corr in corrs]
        if any(reasons):
            findings += [Finding(int(antenna), c, reasons[c] or _OTHER_CORRELATION) for c in corrs]
    return findings


def _reason(seen: Look, index: int, corr: int, options: CalibrateOptions) -> str:
    if seen.unflagged[index, corr] == 0:
        return "no unflagged data"
    level = seen.level[index, corr]
    if level < options.min_coherence:
        return (
            f"no coherent signal ({level:.3f} of the array's): dead, correlations swapped or delay"
            " far off"
        )
    step = find_step(seen.course[:, index, corr], float(seen.noise[index, corr]))
    if step is not None and abs(step[1]) > options.max_jump:
        return f"gain steps by {abs(step[1]):.2f} at MJD {seen.mjd[step[0]]:.6f}"
    return ""


def find_step(course: NDArray[np.complex128], noise: float) -> tuple[int, complex] | None:
    """First index after a step in a series, and its height; None if there is no step.

    A step on a straight line must be significant and describe the series better than a cubic,
    which has as many parameters: slow drifts are no steps. Two points are needed on both sides.
    """
    valid = np.flatnonzero(np.isfinite(course))
    if valid.size < _MIN_TIMES:
        return None
    series = course[valid]
    x = np.linspace(-1, 1, valid.size)
    best = None
    for split in range(2, valid.size - 1):
        design = np.stack([np.ones_like(x), x, np.arange(valid.size) >= split], axis=1)
        solution, residual = _fit(design, series)
        if best is None or residual < best[0]:
            best = (residual, split, solution[2], np.linalg.inv(design.T @ design)[2, 2])
    assert best is not None
    residual, split, height, variance = best
    _, smooth = _fit(np.stack([x**k for k in range(4)], axis=1), series)
    if residual >= smooth or abs(height) < _STEP_SIGMA * noise * np.sqrt(variance):
        return None
    return int(valid[split]), complex(height)


def _fit(design: NDArray, series: NDArray) -> tuple[NDArray, float]:
    solution = np.linalg.lstsq(design.astype(complex), series, rcond=None)[0]
    return solution, float((np.abs(design @ solution - series) ** 2).sum())


def flag(ms: Path, axes: Axes, findings: list[Finding]) -> None:
    """Flag the feeds of `findings` in an MS."""
    bad = np.zeros((axes.shape[1], 2), dtype=bool)
    for finding in findings:
        bad[(axes.ant1 == finding.antenna) | (axes.ant2 == finding.antenna), finding.corr] = True
    if not bad.any():
        return
    n_base = axes.shape[1]
    with open_table(ms, writable=True) as table:
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            table.putcol("FLAG", table.getcol("FLAG", **rows) | bad[:, None, :], **rows)


def correlations(ms: Path) -> list[str]:
    """Names of the correlations of an MS."""
    with open_table(f"{ms}/POLARIZATION") as table:
        return [_CORR_TYPES.get(int(t), str(t)) for t in table.getcell("CORR_TYPE", 0)]


def describe(findings: list[Finding], axes: Axes, names: list[str]) -> dict[str, dict[str, str]]:
    """Reasons by antenna and correlation, for the record."""
    result: dict[str, dict[str, str]] = {}
    for finding in findings:
        antenna = axes.antenna_names[finding.antenna]
        result.setdefault(antenna, {})[names[finding.corr]] = finding.reason
    return result
