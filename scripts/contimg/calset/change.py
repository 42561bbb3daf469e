"""What changed from one calset to another, antenna by antenna."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.calset.gains import fit_delays, mean, total
from contimg.calset.measure import delays_ns
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.read import Calset
from contimg.core.errors import DataQualityError
from contimg.core.records import Check, check
from contimg.core.robust import median


@dataclass(frozen=True)
class Change:
    """The second calset against the first; (antenna, corr), antennas as in `names`."""

    names: list[str]  # solved in both
    reference: str  # antenna whose phases are taken off both
    delay_ns: NDArray[np.float64]  # second minus first, of the whole gains
    table_delay_ns: NDArray[np.float64]  # of the tables K alone; NaN without them
    amplitude: NDArray[np.float64]  # second over first
    phase_deg: NDArray[np.float64]  # second minus first, in the middle of the band
    bandpass: NDArray[np.float64]  # rms of the amplitude ratio over the band, over its median
    bandpass_phase_deg: NDArray[np.float64]  # rms about the line of delay and phase
    only_first: list[str]  # solved in one of them only
    only_second: list[str]

    @property
    def flux_scale(self) -> float:
        """Flux densities that the second gives over those that the first gives."""
        return float(median(self.amplitude)) ** -2


def solved_names(calset: Calset) -> list[str]:
    """Names of the antennas with solutions."""
    return [calset.antennas[n] for n in np.flatnonzero(calset.solved())]


def common_reference(calsets: Sequence[Calset]) -> str:
    """The antenna against which all are compared.

    The first reference antenna of theirs that every one of them has solved, else any antenna
    that the first one ranked, else any at all; :class:`DataQualityError` when there is none.
    """
    common = set.intersection(*(set(solved_names(c)) for c in calsets))
    ranked = [row["antenna"] for row in calsets[0].data["refant_ranking"]]
    for name in [*(c.data["refant"] for c in calsets), *ranked, *sorted(common)]:
        if name in common:
            return name
    raise DataQualityError(f"{', '.join(c.name for c in calsets)} have no solved antenna in common")


def change(first: Calset, second: Calset, reference: str) -> Change:
    """Compare two calsets against one reference antenna, which both must have solved.

    Antennas are matched by name and channels by frequency: the bandpasses of the second are
    interpolated to the channels of the first where these differ.
    """
    have = [solved_names(c) for c in (first, second)]
    names = [name for name in have[0] if name in set(have[1])]
    rows = [[c.antennas.index(name) for name in names] for c in (first, second)]
    freq = first.tables["B"].freq_hz
    gains = [
        total(c, c.antennas.index(reference), freq)[row]
        for c, row in zip((first, second), rows, strict=True)
    ]
    ratio = (gains[1] / gains[0]).transpose(0, 2, 1)
    if not np.isfinite(ratio).any():
        raise DataQualityError(f"{first.name} and {second.name} have no channels in common")
    tables = [delays_ns(c) for c in (first, second)]
    tables = [
        (t - t[c.antennas.index(reference)])[row]
        for t, c, row in zip(tables, (first, second), rows, strict=True)
    ]
    in_tables = tables[1] - tables[0]
    # what the tables K say is taken off first: a fit knows delays only up to turns in a channel
    known = np.nan_to_num(in_tables)
    turned = ratio * np.exp(-2e-9j * np.pi * known[..., None] * (freq - freq.mean()))
    line = fit_delays(turned, freq)
    size = np.abs(ratio)
    level = median(size, axis=-1)
    shape = size / level[..., None] - 1
    return Change(
        names=names,
        reference=reference,
        delay_ns=known + line.delay_ns,
        table_delay_ns=in_tables,
        amplitude=level,
        phase_deg=line.phase_deg,
        bandpass=np.sqrt(mean(shape**2, -1)),
        bandpass_phase_deg=line.scatter_deg,
        only_first=[name for name in have[0] if name not in set(have[1])],
        only_second=[name for name in have[1] if name not in set(have[0])],
    )


def judge_change(found: Change, options: CalsetValidationOptions) -> list[Check]:
    """Verdicts: medians over the feeds; a change is a warning, not a failure.

    Of the delays of continuum data, too few channels, there is nothing to say.
    """
    steps = (
        ("delays", np.abs(found.delay_ns), "ns", options.max_delay_change_ns),
        ("gain amplitudes", np.abs(found.amplitude - 1), "", options.max_amplitude_drift),
        ("gain phases", np.abs(found.phase_deg), "deg", options.max_phase_drift_deg),
        ("bandpass shapes", found.bandpass, "", options.max_bandpass_change),
    )
    found_checks = []
    for what, value, unit, limit in steps:
        metric, middle = f"change of the {what} (median)", float(median(value))
        if what == "delays" and not np.isfinite(value).any():
            found_checks.append(Check(metric, None, unit, "not told by so few channels", "pass"))
        else:
            found_checks.append(check(metric, middle, unit, warn_above=limit))
    return found_checks
