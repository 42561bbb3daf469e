"""How much is flagged, and where: by antenna, baseline length, channel, time and correlation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.core.ms import open_table, read_axes
from contimg.core.records import Check, check
from contimg.flag.context import count
from contimg.flag.options import FlagOptions

_LENGTH_BINS = 12
_DIGITS = 4


class Tally:
    """Running sums over the flags of an MS; channels that are never added count as flagged.

    `ant1`, `ant2` (baseline,) index `antenna_names`; `length_m` (baseline,); `mjd` (time,) UTC;
    `freq_hz` (channel,) of the whole band.
    """

    def __init__(
        self,
        *,
        ant1: NDArray[np.int64],
        ant2: NDArray[np.int64],
        antenna_names: Sequence[str],
        length_m: NDArray[np.float64],
        mjd: NDArray[np.float64],
        freq_hz: NDArray[np.float64],
        correlations: Sequence[str],
    ) -> None:
        self.ant1, self.ant2, self.antenna_names = ant1, ant2, list(antenna_names)
        self.length_m, self.mjd, self.freq_hz = length_m, mjd, freq_hz
        self.correlations = list(correlations)
        n_corr = len(self.correlations)
        # flagged samples; of what has not come yet, all
        self.by_time = np.full((mjd.size, freq_hz.size, n_corr), ant1.size, np.uint32)
        self.by_baseline = np.full((ant1.size, freq_hz.size, n_corr), mjd.size, np.uint32)

    def add(self, first: int, flags: NDArray[np.bool_]) -> None:
        """Put in the flags (time, baseline, channel, corr) of the channels from `first` on."""
        here = slice(first, first + flags.shape[2])
        self.by_time[:, here], self.by_baseline[:, here] = count(flags)


def tally_of(ms: Path, block_channels: int = 48) -> Tally:
    """The sums of an MS of one field and one spectral window."""
    axes = read_axes(ms)
    tally = Tally(
        ant1=axes.ant1,
        ant2=axes.ant2,
        antenna_names=axes.antenna_names,
        length_m=np.sqrt((axes.uvw_m**2).sum(axis=-1)).mean(axis=0),
        mjd=axes.mjd,
        freq_hz=axes.freq_hz,
        correlations=_correlations(ms),
    )
    n_chan, n_corr = axes.freq_hz.size, len(tally.correlations)
    with open_table(ms) as table:
        for first in range(0, n_chan, block_channels):
            last = min(first + block_channels, n_chan) - 1
            flags = table.getcolslice("FLAG", [first, 0], [last, n_corr - 1])
            tally.add(first, flags.reshape(*axes.shape, last - first + 1, n_corr))
    return tally


def _correlations(ms: Path) -> list[str]:
    names = {5: "RR", 6: "RL", 7: "LR", 8: "LL", 9: "XX", 10: "XY", 11: "YX", 12: "YY"}
    with open_table(f"{ms}/POLARIZATION") as table:
        return [names.get(int(number), str(number)) for number in table.getcell("CORR_TYPE", 0)]


def summarise(tally: Tally, by_step: dict[str, float] | None = None) -> dict[str, Any]:
    """Flagged fractions of all samples. The two arrays are for :func:`contimg.flag.plot.draw`.

    `antenna_channel` (antenna, channel) and `time_channel` (time, channel); antennas without
    baselines are left out.
    """
    n_time, n_base = tally.mjd.size, tally.ant1.size
    n_chan, n_corr = tally.by_baseline.shape[1:]
    flagged = tally.by_baseline.sum(axis=2, dtype=float)  # (baseline, channel)
    used = np.union1d(tally.ant1, tally.ant2)
    mine = (tally.ant1 == used[:, None]) | (tally.ant2 == used[:, None])
    antenna_channel = mine.astype(float) @ flagged
    antenna_channel /= mine.sum(axis=1, keepdims=True) * n_time * n_corr
    by_baseline = flagged.sum(axis=1) / (n_chan * n_corr * n_time)
    by_channel = flagged.sum(axis=0) / (n_base * n_corr * n_time)
    by_correlation = tally.by_baseline.sum(axis=(0, 1), dtype=float) / (n_base * n_chan * n_time)
    # within the live part: a dead antenna says nothing about times and channels
    dead = int((by_baseline == 1).sum())
    time_channel = (tally.by_time.mean(axis=2) - dead) / max(1, n_base - dead)
    total = float(by_baseline.mean())
    return {
        "flagged_fraction": total,
        "usable_fraction": 1 - total,
        "flagged_by_step": {k: round(v, 6) for k, v in (by_step or {}).items()},
        "flagged_by_antenna": {
            tally.antenna_names[a]: round(float(f), _DIGITS)
            for a, f in zip(used, antenna_channel.mean(axis=1), strict=True)
        },
        "flagged_by_baseline_length": _by_length(tally.length_m, by_baseline),
        "flagged_by_channel": _rounded(by_channel),
        "flagged_by_time": _rounded(tally.by_time.mean(axis=(1, 2)) / n_base),
        "flagged_by_correlation": {
            name: round(float(f), _DIGITS)
            for name, f in zip(tally.correlations, by_correlation, strict=True)
        },
        "dead_antennas": [
            tally.antenna_names[a]
            for a, f in zip(used, antenna_channel.mean(axis=1), strict=True)
            if f == 1
        ],
        "freq_mhz": _rounded(tally.freq_hz / 1e6),
        "mjd": [float(mjd) for mjd in tally.mjd],
        "antenna_channel": antenna_channel,
        "time_channel": np.clip(time_channel, 0, 1),
    }


def _rounded(values: NDArray) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]


def _by_length(length_m: NDArray, fraction: NDArray) -> list[dict[str, float]]:
    """Flagged fraction in classes of about as many baselines each."""
    order = np.argsort(length_m, kind="stable")
    return [
        {
            "min_m": round(float(length_m[members].min()), 1),
            "max_m": round(float(length_m[members].max()), 1),
            "flagged": round(float(fraction[members].mean()), _DIGITS),
        }
        for members in np.array_split(order, min(_LENGTH_BINS, max(1, order.size)))
    ]


def for_record(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary without what is only there for the picture."""
    picture = {"antenna_channel", "time_channel", "freq_mhz", "mjd"}
    return {key: value for key, value in summary.items() if key not in picture}


def checks(summary: dict[str, Any], options: FlagOptions) -> list[Check]:
    """Is enough left? (Limits: flag.usable_warn, flag.usable_fail.)"""
    return [
        check(
            "usable fraction",
            summary["usable_fraction"],
            warn_below=options.usable_warn,
            fail_below=options.usable_fail,
        )
    ]
