"""The subbands of a group, one after the other, into a Measurement Set; what was flagged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.convert import kernels
from contimg.convert.flag import flag_subband
from contimg.convert.options import FlagOptions
from contimg.convert.phase import Rephasing, cycles
from contimg.convert.read import Layout, Subband, read_subband
from contimg.convert.write import MeasurementSet
from contimg.core.errors import DataQualityError


@dataclass
class Counts:
    """Sums over the subbands as they go by."""

    weight_sum: NDArray[np.float64]  # (time, baseline, corr) of relative weights
    good_channels: NDArray[np.int64]  # (time, baseline, corr)
    good: NDArray[np.int64]  # (baseline, channel, corr) unflagged times
    by_step: dict[str, float] = field(default_factory=dict)

    def add(self, step: str, fraction: float) -> None:
        """Add to what a step flagged."""
        self.by_step[step] = self.by_step.get(step, 0.0) + fraction


def convert_subbands(
    output: MeasurementSet,
    layout: Layout,
    phasing: Rephasing,
    entries: list[dict[str, Any]],
    slots: list[int],
    freq_hz: NDArray[np.float64],
    flag: FlagOptions,
) -> Counts:
    """Stream the files of `entries` into `output`; each covers its slot of `freq_hz`.

    While one subband is worked on the next one is read and the last one written. Channels
    without a file are flagged.
    """
    n_times, n_base = layout.row_of.shape
    n_corr = len(layout.polarisations)
    counts = Counts(
        weight_sum=np.zeros((n_times, n_base, n_corr)),
        good_channels=np.zeros((n_times, n_base, n_corr), np.int64),
        good=np.zeros((n_base, freq_hz.size, n_corr), np.int64),
    )
    buffers: dict[int, list[tuple[NDArray, ...]]] = {}
    with ThreadPoolExecutor(max_workers=1) as writer:
        written = None
        for turn, (subband, slot) in enumerate(zip(_ahead(entries, layout), slots, strict=True)):
            n_chan = subband.freq_hz.size
            here = slice(slot * n_chan, (slot + 1) * n_chan)
            _check_frequencies(subband, freq_hz[here])
            if n_chan not in buffers:
                shape = (n_times, n_base, n_chan, n_corr)
                buffers[n_chan] = [_buffers(shape), _buffers(shape)]
            # casacore writes one of the two from its own thread while the other one is filled
            data, flags, nsamples = buffers[n_chan][turn % 2]
            invalid = _place(subband, layout, phasing, data, flags, nsamples)
            counts.add("invalid", invalid / flags.size)
            counts.add("in the file", float(flags.mean()) - invalid / flags.size)
            for step, added in flag_subband(data, flags, layout.ant1, layout.ant2, flag).items():
                counts.add(step, added)
            full = max(float(nsamples.max()), 1.0)
            counts.good[:, here] = kernels.count_good(
                flags, nsamples, full, counts.weight_sum, counts.good_channels
            )
            if written is not None:
                written.result()
            written = writer.submit(output.put_channels, here.start, data, flags)
            share = 1 - counts.good[:, here].mean() / n_times
            print(f"subband {slot:2d}: {share:6.1%} flagged", file=sys.stderr, flush=True)
        written.result()
    _blank_missing(output, slots, n_chan, (n_times, n_base, freq_hz.size, n_corr))
    counts.by_step = {step: total / len(entries) for step, total in counts.by_step.items()}
    return counts


def _buffers(shape: tuple[int, ...]) -> tuple[NDArray, ...]:
    """Data, flags and samples of one subband."""
    return np.empty(shape, np.complex64), np.empty(shape, bool), np.empty(shape, np.float32)


def _ahead(entries: list[dict[str, Any]], layout: Layout) -> Iterator[Subband]:
    """The subbands in order, each read while the one before is being worked on."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        future = reader.submit(read_subband, entries[0]["path"], layout)
        for entry in [*entries[1:], None]:
            subband = future.result()
            if entry is not None:
                future = reader.submit(read_subband, entry["path"], layout)
            yield subband


def _check_frequencies(subband: Subband, expected_hz: NDArray[np.float64]) -> None:
    if subband.freq_hz.size != expected_hz.size:
        raise DataQualityError(f"{subband.path}: {subband.freq_hz.size} channels do not fit")
    offset = np.abs(subband.freq_hz - expected_hz).max()
    if offset > 0.3 * subband.width_hz:
        raise DataQualityError(
            f"{subband.path}: channels are {offset / 1e3:.1f} kHz off the grid of the group"
        )


def _place(subband: Subband, layout: Layout, phasing: Rephasing, data, flags, nsamples) -> int:
    """Bring a subband to the order and the phase centre of the MS; number of invalid samples."""
    n_rows, pols = layout.row_of.size, layout.pol_index
    turns, step = cycles(phasing.delta_w_m.ravel(), subband.freq_hz)
    stuck = kernels.find_stuck(subband.visibilities, layout.row_of, pols)
    invalid = kernels.place(
        subband.visibilities,
        subband.flags,
        subband.nsamples,
        layout.row_of.ravel(),
        layout.swapped.ravel(),
        stuck.reshape(n_rows, -1),
        pols,
        subband.descending,
        turns,
        step,
        *(array.reshape(n_rows, *array.shape[2:]) for array in (data, flags, nsamples)),
    )
    return int(invalid.sum())


def _blank_missing(output: MeasurementSet, slots: list[int], n_chan: int, shape) -> None:
    """Flag the channels of subbands that are not there."""
    n_times, n_base, total, n_corr = shape
    for slot in sorted(set(range(total // n_chan)) - set(slots)):
        block = (n_times, n_base, n_chan, n_corr)
        output.put_channels(slot * n_chan, np.zeros(block, "c8"), np.ones(block, bool))


def describe(counts: Counts, layout: Layout) -> dict[str, Any]:
    """What was flagged, as the record says it; fractions of all samples."""
    n_times = layout.times_jd.size
    usable = counts.good / n_times
    by_baseline = usable.mean(axis=(1, 2))
    by_antenna = {
        layout.antenna_names[a]: round(
            1 - float(by_baseline[(layout.ant1 == a) | (layout.ant2 == a)].mean()), 4
        )
        for a in layout.antennas
    }
    return {
        "usable_fraction": float(usable.mean()),
        "flagged_by_step": counts.by_step,
        "flagged_by_channel": [round(float(x), 4) for x in 1 - usable.mean(axis=(0, 2))],
        "flagged_by_antenna": by_antenna,
        "flagged_by_time": [
            round(float(x), 4)
            for x in 1 - counts.good_channels.mean(axis=(1, 2)) / counts.good.shape[1]
        ],
        "flagged_by_correlation": [round(float(x), 4) for x in 1 - usable.mean(axis=(0, 1))],
    }
