"""Steps on a whole Measurement Set: those of other programs, and ours block by block.

Other programs may clear flags (AOFlagger's own strategies do). Here flags are compared before
and after each of them and what was lost is put back, so that flags only ever grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from contimg.core.coords import apparent, mjd_time
from contimg.core.ms import Axes, open_table, read_axes
from contimg.flag.options import WHOLE_MS_STEPS, FlagOptions, split_steps
from contimg.flag.programs import PROGRAMS
from contimg.flag.stream import SubbandContext, run_steps

_ROWS = 20_000


def flag_measurement_set(ms: Path, options: FlagOptions) -> dict[str, float]:
    """Run, in their order, the steps that come after the stream; the fraction each one added.

    These are the first one that needs the whole MS and all that follow it (see
    :func:`contimg.flag.options.split_steps`). The MS must be closed; its FLAG column is changed.
    """
    _, steps = split_steps(options)
    return run_on_ms(ms, steps, options)


def run_on_ms(ms: Path, steps: list[str], options: FlagOptions) -> dict[str, float]:
    """Run named steps on an MS; the fraction of all samples that each one added."""
    added: dict[str, float] = {}
    waiting: list[str] = []
    for step in [*steps, None]:
        if step is not None and step not in WHOLE_MS_STEPS:
            waiting.append(step)
            continue
        if waiting:  # one reading of the data serves all of them
            for name, fraction in _run_blocks(ms, waiting, options).items():
                added[name] = added.get(name, 0.0) + fraction
            waiting = []
        if step is not None:
            added[step] = added.get(step, 0.0) + _run_guarded(ms, step, options)
    if steps:
        _flag_rows(ms)
    return added


def _run_guarded(ms: Path, step: str, options: FlagOptions) -> float:
    """Run a program on the MS and put back the flags it cleared; the fraction it added."""
    saved = [np.packbits(flags) for _, flags in _flag_rows_of(ms)]
    before = sum(int(np.bitwise_count(bits).sum()) for bits in saved)
    PROGRAMS[step](ms.resolve(), options)
    after = size = 0
    with open_table(ms, writable=True) as table:
        for bits, (start, flags) in zip(saved, _chunks(table), strict=True):
            kept = np.unpackbits(bits, count=flags.size).reshape(flags.shape).astype(bool)
            if (kept & ~flags).any():
                flags |= kept
                table.putcol("FLAG", flags, start, flags.shape[0])
            after += int(np.count_nonzero(flags))
            size += flags.size
    return (after - before) / max(size, 1)


def _flag_rows_of(ms: Path) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    with open_table(ms) as table:
        yield from _chunks(table)


def _chunks(table) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    for start in range(0, table.nrows(), _ROWS):
        yield start, table.getcol("FLAG", start, min(_ROWS, table.nrows() - start))


def _flag_rows(ms: Path) -> None:
    """FLAG_ROW of the rows of which nothing is left."""
    with open_table(ms, writable=True) as table:
        done = [flags.all(axis=(1, 2)) for _, flags in _chunks(table)]
        table.putcol("FLAG_ROW", np.concatenate(done) | table.getcol("FLAG_ROW"))


def _run_blocks(ms: Path, steps: list[str], options: FlagOptions) -> dict[str, float]:
    """Run steps of ours on `block_channels` channels after the other."""
    axes = read_axes(ms)
    n_chan = axes.freq_hz.size
    blocks = np.array_split(np.arange(n_chan), max(1, round(n_chan / options.block_channels)))
    added: dict[str, float] = {}
    for block in blocks:
        first, last = int(block[0]), int(block[-1])
        context = context_of(ms, axes, first, last)
        with open_table(ms, writable=True) as table:
            n_corr = table.getcell("FLAG", 0).shape[-1]
            corner = [first, 0], [last, n_corr - 1]
            shape = (*axes.shape, block.size, n_corr)
            data = table.getcolslice("DATA", *corner).reshape(shape)
            flags = table.getcolslice("FLAG", *corner).reshape(shape)
            before = flags.copy()
            for name, fraction in run_steps(steps, data, flags, None, context, options).items():
                added[name] = added.get(name, 0.0) + fraction * block.size / n_chan
            if (flags != before).any():
                table.putcolslice("FLAG", flags.reshape(-1, block.size, n_corr), *corner)
    return added


def context_of(ms: Path, axes: Axes, first: int, last: int) -> SubbandContext:
    """What steps need to know about channels `first` to `last` of an MS."""
    with open_table(f"{ms}/ANTENNA") as antenna:
        diameter = float(np.median(antenna.getcol("DISH_DIAMETER")))
    return SubbandContext(
        ant1=axes.ant1,
        ant2=axes.ant2,
        antenna_names=axes.antenna_names,
        times_mjd=axes.mjd,
        integration_s=axes.integration_s,
        freq_hz=axes.freq_hz[first : last + 1],
        uvw_m=-axes.uvw_m,  # an MS has antenna 1 minus antenna 2
        elevation_rad=_elevation(axes),
        antenna_diameter_m=diameter,
    )


def _elevation(axes: Axes) -> NDArray[np.float64]:
    """Elevation of the dishes at each time [rad], without refraction."""
    location = EarthLocation.from_geocentric(*axes.antenna_positions_m.mean(axis=0), unit="m")
    hour_angle, dec = apparent(*axes.pointing_rad, mjd_time(axes.mjd), location)
    lat = location.lat.rad
    return np.arcsin(np.sin(lat) * np.sin(dec) + np.cos(lat) * np.cos(dec) * np.cos(hour_angle))
