"""The subbands of a group, one after the other, into a Measurement Set; what was flagged."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.convert import kernels
from contimg.convert.against import Shown, chosen, odd_ones, shown
from contimg.convert.agree import Agreed
from contimg.convert.options import ConvertOptions
from contimg.convert.phase import Rephasing, cycles
from contimg.convert.prepare import Prepared, empty_tally, flag_context
from contimg.convert.read import Layout, Subband, autocorrelations, read_subband
from contimg.core.errors import DataQualityError
from contimg.core.instrument import InstrumentOptions
from contimg.flag.context import SubbandContext
from contimg.flag.options import FlagOptions, split_steps
from contimg.flag.stream import run_steps
from contimg.flag.summary import Tally

# a count of samples may be above that of a complete integration by its rounding
_ROUNDING = 1.001


class Output(Protocol):
    """Where the subbands go."""

    def put_channels(
        self, first: int, data: NDArray[np.complex64], flags: NDArray[np.bool_]
    ) -> None:
        """Take consecutive channels (time, baseline, channel, corr), or take them anew."""


@dataclass
class Counts:
    """Sums over the subbands as they go by."""

    samples: NDArray[np.float64]  # (time, baseline, corr) of the good channels
    good_channels: NDArray[np.int64]  # (time, baseline, corr)
    by_step: dict[str, float] = field(default_factory=dict)  # fraction of the data there are
    broken: dict[int, str] = field(default_factory=dict)  # why a slot's file cannot be used
    empty: list[int] = field(default_factory=list)  # slots of which nothing is left
    # numbers of samples that are no measurement, by reason
    invalid: dict[str, int] = field(default_factory=lambda: dict.fromkeys(kernels.INVALID, 0))

    def add(self, step: str, fraction: float) -> None:
        """Add to what a step flagged."""
        self.by_step[step] = self.by_step.get(step, 0.0) + fraction


@dataclass(frozen=True)
class Streamed:
    """What is known of a group after the pass through its files."""

    counts: Counts
    tally: Tally
    weight: NDArray[np.float64]  # (time, baseline, corr): 2 dnu dt, the unit of CASA's weights

    @property
    def empty_rows(self) -> NDArray[np.bool_]:
        """(time, baseline): nothing is left."""
        return self.counts.good_channels.max(axis=2) == 0


def stream(
    output: Output,
    group: Prepared,
    instrument: InstrumentOptions,
    convert: ConvertOptions,
    flag: FlagOptions,
) -> Streamed:
    """The one pass through the files of a group, see :func:`convert_subbands`."""
    layout, description = group.layout, group.description
    context = flag_context(group.group, layout, group.phasing, group.pointing, description)
    tally = empty_tally(layout, context)
    limits = instrument.subbands, convert.max_broken_subbands
    files = group.entries, group.slots
    counts = convert_subbands(
        output, layout, group.phasing, *files, context, tally, flag, *limits, group.agreed
    )
    # variance of a visibility goes as 1/(2 dnu dt)
    unit = 2 * description.width_hz * layout.integration_s
    samples = counts.samples / np.maximum(counts.good_channels, 1)
    return Streamed(counts, tally, unit * samples / group.agreed.samples)


def convert_subbands(
    output: Output,
    layout: Layout,
    phasing: Rephasing,
    entries: list[dict[str, Any]],
    slots: list[int],
    context: SubbandContext,
    tally: Tally,
    flag: FlagOptions,
    n_subbands: int,
    max_broken: int,
    agreed: Agreed,
) -> Counts:
    """Stream the files of `entries` into `output`; each covers its slot of the band.

    While one subband is worked on the next one is read and the last one written. Channels
    without a file are flagged, and those of up to `max_broken` files that cannot be used;
    :class:`DataQualityError` when there are more. `agreed` has those whose headers are odd; when
    all are there, the data are held against each other. `context` is that of the whole band; the
    flags go into `tally`.
    """
    freq_hz = context.freq_hz
    n_times, n_base = layout.row_of.shape
    n_corr = len(layout.polarisations)
    n_chan = round(freq_hz.size / n_subbands)
    steps, _ = split_steps(flag)
    streamed = [step for step in steps if step not in ("reset", "invalid")]  # those are done here
    counts = Counts(*_no_counts((n_times, n_base, n_corr)))
    shape = (n_times, n_base, n_chan, n_corr)
    buffers = [_buffers(shape), _buffers(shape)]
    files = [
        (entry["path"], freq_hz[s * n_chan : (s + 1) * n_chan])
        for entry, s in zip(entries, slots, strict=True)
    ]
    baselines = chosen(phasing.uvw_m)
    parts: dict[int, _Part] = {}
    with ThreadPoolExecutor(max_workers=1) as writer:
        written = None
        for subband, slot in zip(_ahead(files, layout, agreed.odd), slots, strict=True):
            if isinstance(subband, DataQualityError):
                _leave_out(counts, slot, subband, max_broken)
                continue
            here = slice(slot * n_chan, (slot + 1) * n_chan)
            # casacore writes one of the two from its own thread while the other one is filled
            data, flags, nsamples = buffers[len(parts) % 2]
            if steps[0] == "reset":
                counts.add("reset", -np.count_nonzero(subband.flags) / subband.flags.size)
                subband.flags[:] = False
            most = agreed.samples * _ROUNDING
            invalid = _place(subband, layout, phasing, most, data, flags, nsamples)
            for why, number in zip(kernels.INVALID, invalid, strict=True):
                counts.invalid[why] += int(number)
            counts.add("invalid", invalid.sum() / flags.size)
            counts.add("in the file", (np.count_nonzero(flags) - invalid.sum()) / flags.size)
            autos = _autos(subband, layout) if "autos" in steps else None
            here_context = dataclasses.replace(context, freq_hz=freq_hz[here], autos=autos)
            for step, added in run_steps(streamed, data, flags, None, here_context, flag).items():
                counts.add(step, added)
            samples, good = _no_counts((n_times, n_base, n_corr))
            kernels.count_good(
                *(array.reshape(n_times * n_base, n_chan, n_corr) for array in (flags, nsamples)),
                agreed.samples,
                *(array.reshape(-1, n_corr) for array in (samples, good)),
            )
            parts[slot] = _Part(subband.path, samples, good, shown(data, flags, baselines))
            tally.add(here.start, flags)
            flagged = np.count_nonzero(flags) / flags.size
            print(f"subband {slot:2d}: {flagged:6.1%} flagged", file=sys.stderr, flush=True)
            if written is not None:
                written.result()
            # casacore holds the interpreter while it writes: the next thing here is compiled
            written = writer.submit(output.put_channels, here.start, data, flags)
            if numba.threading_layer() == "workqueue":
                wait((written,))  # without OpenMP two threads must not both use several
        if written is not None:
            written.result()
    _without_odd_ones(counts, parts, max_broken)
    if not parts or len(counts.broken) > len(parts):
        raise DataQualityError(
            f"most of the subbands cannot be used: {'; '.join(counts.broken.values())}"
        )
    counts.empty = [slot for slot, part in parts.items() if not part.good.any()]
    for part in parts.values():
        counts.samples += part.samples
        counts.good_channels += part.good
    _blank_missing(output, tally, list(parts), n_chan, (n_times, n_base, freq_hz.size, n_corr))
    counts.by_step = {step: total / len(parts) for step, total in counts.by_step.items()}
    return counts


@dataclass(frozen=True)
class _Part:
    """What a subband adds, and what it shows of the sky."""

    path: str
    samples: NDArray[np.float64]  # (time, baseline, corr) of the good channels
    good: NDArray[np.int64]  # (time, baseline, corr) channels
    shown: Shown


def _no_counts(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return np.zeros(shape), np.zeros(shape, np.int64)


def _without_odd_ones(counts: Counts, parts: dict[int, _Part], max_broken: int) -> None:
    """Leave out the subbands whose data are not like those of the others."""
    seen = {slot: part.shown for slot, part in parts.items() if part.good.any()}
    for slot, why in odd_ones(seen).items():
        _leave_out(counts, slot, DataQualityError(f"{parts[slot].path}: {why}"), max_broken)
        del parts[slot]


def _buffers(shape: tuple[int, ...]) -> tuple[NDArray, ...]:
    """Data, flags and samples of one subband."""
    return np.empty(shape, np.complex64), np.empty(shape, bool), np.empty(shape, np.float32)


def _leave_out(counts: Counts, slot: int, error: DataQualityError, max_broken: int) -> None:
    """Note a subband that cannot be used; too many of them are the end of the group."""
    counts.broken[slot] = str(error)
    print(f"subband {slot:2d}: left out: {error}", file=sys.stderr, flush=True)
    if len(counts.broken) > max_broken:
        raise DataQualityError(
            f"{len(counts.broken)} of the subbands cannot be used"
            f" (convert.max_broken_subbands: {max_broken}): {'; '.join(counts.broken.values())}"
        )


def _ahead(
    files: list[tuple[str, NDArray[np.float64]]], layout: Layout, odd: dict[str, str]
) -> Iterator[Subband | DataQualityError]:
    """The subbands in order, each read while the one before is being worked on.

    `files` are paths and the frequencies [Hz] that they should hold; `odd` ones are not read.
    The arrays of a subband are overwritten by the one after the next.
    """
    kept: tuple[dict[str, NDArray], dict[str, NDArray]] = ({}, {})
    with ThreadPoolExecutor(max_workers=1) as reader:
        future = reader.submit(_read, *files[0], layout, odd, kept[0])
        for turn, file in enumerate([*files[1:], None], start=1):
            subband = future.result()
            if file is not None:
                future = reader.submit(_read, *file, layout, odd, kept[turn % 2])
            yield subband


def _read(
    path: str,
    expected_hz: NDArray[np.float64],
    layout: Layout,
    odd: dict[str, str],
    kept: dict[str, NDArray],
) -> Subband | DataQualityError:
    """A subband, or why it cannot be used."""
    if path in odd:
        return DataQualityError(odd[path])
    try:
        subband = read_subband(path, layout, kept)
        _check_frequencies(subband, expected_hz)
    except DataQualityError as error:
        return error
    return subband


def _check_frequencies(subband: Subband, expected_hz: NDArray[np.float64]) -> None:
    if subband.freq_hz.size != expected_hz.size:
        raise DataQualityError(f"{subband.path}: {subband.freq_hz.size} channels do not fit")
    offset = np.abs(subband.freq_hz - expected_hz).max()
    if not offset <= 0.3 * subband.width_hz:
        raise DataQualityError(
            f"{subband.path}: channels are {offset / 1e3:.1f} kHz off the grid of the group"
        )


def _autos(subband: Subband, layout: Layout) -> NDArray[np.float32] | None:
    """Amplitudes of the autos (time, antenna of the table, channel, corr), zero without."""
    used = autocorrelations(subband, layout)
    if used is None:
        return None
    n_times, _, n_chan, n_corr = used.shape
    autos = np.zeros((n_times, len(layout.antenna_names), n_chan, n_corr), np.float32)
    autos[:, layout.antennas] = np.nan_to_num(used)
    return autos


def _place(
    subband: Subband, layout: Layout, phasing: Rephasing, most: float, data, flags, nsamples
) -> NDArray[np.int64]:
    """Bring a subband to the order and the phase centre of the MS; numbers of invalid samples."""
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
        most,
        turns,
        step,
        *(array.reshape(n_rows, *array.shape[2:]) for array in (data, flags, nsamples)),
    )
    return invalid.sum(axis=0)


def _blank_missing(output: Output, tally: Tally, slots: list[int], n_chan: int, shape) -> None:
    """Flag the channels of subbands that are not there, or are not used."""
    n_times, n_base, total, n_corr = shape
    for slot in sorted(set(range(total // n_chan)) - set(slots)):
        block = (n_times, n_base, n_chan, n_corr)
        flags = np.ones(block, bool)
        tally.add(slot * n_chan, flags)
        output.put_channels(slot * n_chan, np.zeros(block, "c8"), flags)
