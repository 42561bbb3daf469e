"""What is left of a tile, antenna by antenna and subband by subband."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.calibrate.options import ApplyOptions
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import Axes, open_table
from contimg.core.records import Check, check

IMPOSSIBLE_JY = 1e6  # the quiet Sun has a tenth of it
_FEW = 1e-4  # of all samples


@dataclass(frozen=True)
class Tally:
    """Samples counted over baselines and subbands; a sample is one channel of one correlation."""

    total: NDArray[np.int64]  # (baseline, subband)
    unflagged: NDArray[np.int64]  # (baseline, subband)
    good: NDArray[np.int64]  # (baseline, subband): unflagged, finite and not zero
    weight: NDArray[np.float64]  # (time, baseline): of the unflagged samples

    @property
    def usable(self) -> float:
        """Fraction of all samples that is good."""
        return float(self.good.sum() / self.total.sum())

    @property
    def bad(self) -> float:
        """Fraction of the unflagged samples that is zero or not finite; 0 if there are none."""
        return float(1 - self.good.sum() / max(self.unflagged.sum(), 1))


def tally(ms: Path, axes: Axes, instrument: InstrumentOptions, *, values: bool) -> Tally:
    """Count an MS, looking at the data too if `values` (else all that is unflagged is good)."""
    first = _subband_starts(axes, instrument)
    n_base = axes.shape[1]
    weight = np.zeros(axes.shape)
    unflagged = np.zeros((n_base, first.size), np.int64)
    good = np.zeros_like(unflagged)
    with open_table(ms) as table:
        n_corr = table.getcell("FLAG", 0).shape[-1]
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            kept = ~table.getcol("FLAG", **rows)
            # weights hold for every channel of a row alike, or nearly so
            weight[time] = (kept.sum(axis=1) * table.getcol("WEIGHT", **rows)).sum(axis=-1)
            unflagged += _by_subband(kept, first)
            if values:
                data = table.getcol("DATA", **rows)
                kept &= np.isfinite(data) & (data != 0)
            good += _by_subband(kept, first)
    total = np.broadcast_to(_sizes(first, axes, n_corr), unflagged.shape)
    return Tally(total, unflagged, good, weight)


def tally_of(
    unflagged: NDArray[np.int64],
    weight: NDArray[np.float64],
    axes: Axes,
    instrument: InstrumentOptions,
) -> Tally:
    """Of counts over the times (baseline, channel, corr); all that is unflagged is good."""
    first = _subband_starts(axes, instrument)
    samples = np.add.reduceat(unflagged.sum(axis=-1), first, axis=1)
    total = np.broadcast_to(_sizes(first, axes, unflagged.shape[-1]), samples.shape)
    return Tally(total, samples, samples, weight)


def flag_impossible(ms: Path, axes: Axes) -> int:
    """Flag the samples that no sky can give, as long as they are few; how many there were.

    Beyond a million Jy, or no number: one of 1e37 in a tile costs itself. More than one in ten
    thousand are left, for the checks to fail.
    """
    n_base, found = axes.shape[1], {}
    with open_table(ms, writable=True) as table:
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            data, flags = table.getcol("DATA", **rows), table.getcol("FLAG", **rows)
            bad = ~flags & ~(np.abs(data) < IMPOSSIBLE_JY)
            if bad.any():
                found[time] = flags | bad, int(bad.sum())
        number = sum(count for _, count in found.values())
        if number > _FEW * flags.size * axes.mjd.size:
            return 0
        for time, (flags, _) in found.items():
            table.putcol("FLAG", flags, startrow=time * n_base, nrow=n_base)
    return number


def _subband_starts(axes: Axes, instrument: InstrumentOptions) -> NDArray[np.int64]:
    """First channel of each subband: equal parts of the band that the MS covers."""
    edge = axes.freq_hz[0] - axes.width_hz / 2
    band = axes.width_hz * axes.freq_hz.size
    number = np.floor((axes.freq_hz - edge) / band * instrument.subbands).astype(int)
    return np.unique(number, return_index=True)[1]


def _sizes(first: NDArray[np.int64], axes: Axes, n_corr: int) -> NDArray[np.int64]:
    """Samples of a baseline in each subband."""
    return np.diff(np.r_[first, axes.freq_hz.size]) * n_corr * axes.mjd.size


def _by_subband(samples: NDArray[np.bool_], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over (baseline, channel, corr) within subbands: (baseline, subband)."""
    both = sum(samples[..., corr].astype(np.int32) for corr in range(samples.shape[-1]))
    return np.add.reduceat(both, first, axis=1, dtype=np.int64)


def by_antenna(counts: NDArray[np.int64], axes: Axes) -> dict[str, int]:
    """Counts (baseline, subband) summed over the baselines of each antenna, by its name."""
    each = counts.sum(axis=1)
    return {
        axes.antenna_names[a]: int(each[(axes.ant1 == a) | (axes.ant2 == a)].sum())
        for a in np.union1d(axes.ant1, axes.ant2)
    }


def describe(before: Tally, after: Tally, axes: Axes) -> dict[str, Any]:
    """Numbers for the record; `axes` of either MS (the baselines are the same)."""
    antennas = {
        "total": by_antenna(after.total, axes),
        "before": by_antenna(before.unflagged, axes),
        "unflagged": by_antenna(after.unflagged, axes),
        "good": by_antenna(after.good, axes),
    }
    bands = {
        "total": after.total.sum(axis=0),
        "before": before.unflagged.sum(axis=0),
        "unflagged": after.unflagged.sum(axis=0),
        "good": after.good.sum(axis=0),
    }
    names, numbers = list(antennas["total"]), range(bands["total"].size)
    return {
        "usable_fraction": after.usable,
        "unflagged_by_antenna": _shares(antennas["unflagged"], antennas["total"], names),
        "unflagged_by_subband": list(_shares(bands["unflagged"], bands["total"], numbers).values()),
        "bad_by_antenna": _bad(antennas, names),
        "bad_by_subband": _bad(bands, numbers),
        "antennas_lost": [n for n in names if antennas["before"][n] and not antennas["good"][n]],
        "antennas_without_data": [n for n in names if not antennas["before"][n]],
        "subbands_lost": [n for n in numbers if bands["before"][n] and not bands["good"][n]],
        "subbands_without_data": [n for n in numbers if not bands["before"][n]],
    }


def _shares(part: Any, whole: Any, keys: Any) -> dict[Any, float]:
    return {key: round(float(part[key] / whole[key]), 4) for key in keys}


def _bad(counts: dict[str, Any], keys: Any) -> dict[str, float]:
    """Part of the unflagged samples that is zero or not finite, where there is any."""
    return {
        str(key): float(1 - counts["good"][key] / counts["unflagged"][key])
        for key in keys
        if counts["good"][key] < counts["unflagged"][key]
    }


def checks(summary: dict[str, Any], after: Tally, options: ApplyOptions) -> list[Check]:
    """Verdicts on a calibrated tile; `summary` of :func:`describe`."""
    usable = {"warn_below": 0.3, "fail_below": options.min_usable}
    return [
        check("usable fraction after calibration", after.usable, **usable),
        check("part of the unflagged data zero or not finite", after.bad, fail_above=0),
        _lost("antennas", summary["antennas_lost"]),
        _lost("subbands", summary["subbands_lost"]),
    ]


def _lost(what: str, names: list) -> Check:
    """A warning that names what had data before the calibration and has none after it."""
    reason = f"{what} that lost all data in the calibration: {', '.join(map(str, names))}"
    return Check(
        metric=f"{what} that lost all data in the calibration",
        value=float(len(names)),
        unit="",
        limit="warn if > 0",
        verdict="warn" if names else "pass",
        reason=reason if names else "",
    )
