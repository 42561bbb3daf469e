"""``contimg calset delays``: are the delays corrected, or must K be solved?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from contimg.calset.gains import Slope, fit_delays, rereferenced, total
from contimg.calset.judge import residual_check
from contimg.calset.measure import delays_ns, measure, significant_ns
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.read import Calset, find_solutions, read_calset
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import Axes, open_table, read_axes
from contimg.core.records import Check, write_record

_BLOCK_HZ = 1e6  # channels averaged in an MS: coherent up to half a microsecond
_WORDS = {"pass": "corrected", "warn": "marginal", "fail": "K must be solved"}


class DelaysFiles(Files):
    """What is looked at: a calset, an MS of a calibrator, or the MS corrected by the calset."""

    calset: str | None = Field(None, description="calset: its name, folder or record")
    results: str = Field("results", description="results directory, for a name")
    ms: Path | None = Field(
        None,
        description="MS of a calibrator: delays are measured in its visibilities (over MODEL_DATA"
        " if it has one, else of a point source in its phase centre), corrected by --calset",
    )
    column: Literal["DATA", "CORRECTED_DATA"] = Field("DATA", description="column of the MS")
    record: Path | None = Field(None, description="JSON record to write")


def run(
    files: DelaysFiles, instrument: InstrumentOptions, options: CalsetValidationOptions
) -> None:
    """Measure, print, judge; :class:`ContimgError` when delays must be solved."""
    if files.calset is None and files.ms is None:
        raise ContimgError("nothing to look at: give --calset, --ms or both")
    inputs: list[Path] = []
    calset = None
    if files.calset is not None:
        inputs.append(find_solutions(files.calset, files.results))
        calset = read_calset(inputs[0])
    if files.ms is not None:
        inputs.append(files.ms)
        names, slope, band_hz = in_visibilities(files.ms, files.column, calset)
        left = significant_ns(slope, band_hz)
        correlations = [str(number) for number in range(slope.delay_ns.shape[1])]
        what = f"{files.column} of {files.ms.name}"
        what += f" corrected by {calset.name}" if calset is not None else ""
    else:
        assert calset is not None
        seen = measure(calset, instrument.subbands)
        names = [calset.antennas[n] for n in seen.antennas]
        slope, left, what = seen.residual, seen.residual_ns, "B"
    solved = np.full(slope.delay_ns.shape, np.nan)
    if calset is not None:
        correlations = calset.correlations
        known = dict(zip(calset.antennas, delays_ns(calset), strict=True))
        solved = np.array([known[n] if n in known else solved[0] for n in names])
    rows = pd.DataFrame(
        {
            "antenna": np.repeat(names, len(correlations)),
            "correlation": correlations * len(names),
            "k_ns": solved.ravel(),
            "residual_ns": slope.delay_ns.ravel(),
            "error_ns": slope.error_ns.ravel(),
        }
    )
    item = residual_check(left, options, what)
    print(rows.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    print(describe(item, rows))
    if files.record is not None:
        write_record(
            files.record,
            product=files.record.stem,
            stage="calset delays",
            data={"antennas": rows.replace({np.nan: None}).to_dict("records")},
            checks=[item],
            options=[options],
            inputs=inputs,
        )
    if item.verdict == "fail":
        raise ContimgError(item.reason)


def describe(item: Check, rows: pd.DataFrame) -> str:
    """The verdict in words."""
    text = f"{item.metric}: "
    text += "none measured" if item.value is None else f"{item.value:.3f} ns"
    solved = rows["k_ns"].dropna().abs()
    known = f"; K: {solved.median():.3f} ns (median, absolute)" if len(solved) else ""
    return f"{text}{known}: {_WORDS[item.verdict]}"


def in_visibilities(ms: Path, column: str, calset: Calset | None) -> tuple[list[str], Slope, float]:
    """Antennas with data, their delays (antenna, corr) against one of them, and the band [Hz]."""
    axes = read_axes(ms)
    antennas = np.union1d(axes.ant1, axes.ant2)
    names = [axes.antenna_names[a] for a in antennas]
    gains = None if calset is None else _gains_at(calset, axes)
    matrix, freq = _products(ms, axes, column, antennas, gains)
    # gain_p conj(gain_q) off the diagonal: the phases of the leading eigenvector are the gains'
    _, vectors = np.linalg.eigh(matrix)
    gain = vectors[..., -1].transpose(2, 1, 0)  # (antenna, corr, block)
    empty = (matrix == 0).all(axis=-1).transpose(2, 1, 0)
    gain = np.where(empty | (np.abs(gain) < 1e-12), np.nan, gain)
    reference = int(np.argmax(np.isfinite(gain).sum(axis=(1, 2))))
    slope = fit_delays(rereferenced(gain, reference, axis=0), freq)
    return names, slope, float(np.ptp(freq))


def _gains_at(calset: Calset, axes: Axes) -> NDArray[np.complex128]:
    """Gains of the calset for the antennas and channels of an MS, (antenna, channel, corr)."""
    gains = total(calset, calset.antennas.index(calset.data["refant"]), axes.freq_hz)
    result = np.full((len(axes.antenna_names), *gains.shape[1:]), np.nan, complex)
    for number, name in enumerate(axes.antenna_names):
        if name in calset.antennas:
            result[number] = gains[calset.antennas.index(name)]
    return result


def _products(
    ms: Path, axes: Axes, column: str, antennas: NDArray, gains: NDArray | None
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Mean data over model of all pairs, (block, corr, antenna, antenna), and the blocks [Hz]."""
    n_base = axes.shape[1]
    width = max(1, min(round(_BLOCK_HZ / axes.width_hz), axes.freq_hz.size // 8))
    starts = np.arange(0, axes.freq_hz.size - width + 1, width)
    first, second = (np.searchsorted(antennas, a) for a in (axes.ant1, axes.ant2))
    cross = first != second
    result: Any = 0
    with open_table(ms) as table:
        if column not in table.colnames():
            raise ContimgError(f"{ms}: has no column {column}")
        modelled = "MODEL_DATA" in table.colnames()
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            data = table.getcol(column, **rows)
            good = ~table.getcol("FLAG", **rows) & cross[:, None, None]
            if modelled:
                data = data * table.getcol("MODEL_DATA", **rows).conj()
            if gains is not None:
                pair = gains[axes.ant1] * gains[axes.ant2].conj()
                good = good & np.isfinite(pair)
                data = data / np.where(good, pair, 1)
            whole = np.where(good, data, 0)[:, : starts.size * width]
            result = result + np.add.reduceat(whole, starts, axis=1)
    matrix = np.zeros((starts.size, result.shape[2], antennas.size, antennas.size), complex)
    parts = result.transpose(1, 2, 0)[..., cross]
    matrix[:, :, first[cross], second[cross]] = parts
    matrix[:, :, second[cross], first[cross]] = parts.conj()
    freq = np.array([axes.freq_hz[s : s + width].mean() for s in starts])
    return matrix, freq


COMMAND = Command(
    help="Show delays and what is left of them, and say whether K must be solved.",
    files=DelaysFiles,
    options=(InstrumentOptions, CalsetValidationOptions),
    run=run,
    outputs=("record",),
    by_hand=True,
)
