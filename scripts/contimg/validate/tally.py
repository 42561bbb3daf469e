"""What is wrong with the values of visibilities: counted block by block."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from contimg.validate.verdicts import Subject

# beyond any correlator's range, as in the conversion
ABSURD = 1e15
_SAME_DAYS = 1e-4 / 86400
_BLOCK_ROWS = 4096  # where rows are not in order of time


@dataclasses.dataclass
class Tally:
    """Counts over blocks of one integration each, cross-correlations only."""

    samples: int = 0
    nan: int = 0
    inf: int = 0
    absurd: int = 0
    zero: int = 0
    flagged: int = 0
    no_samples: int = 0
    usable: int = 0
    constant: int = 0
    blocks: int = 0
    repeated: int = 0  # blocks equal to the one before
    bad_unflagged: int = 0  # not finite or zero, and not flagged
    medians: list[float] = dataclasses.field(default_factory=list)
    _last: NDArray | None = None

    def count(
        self, data: NDArray, flags: NDArray[np.bool_], nsamples: NDArray | None = None
    ) -> None:
        """Add a block (baseline, channel, corr).

        ``constant`` samples are those of a channel that has one and the same value at all
        baselines, or of a baseline with one value in all channels: a stuck or unwritten buffer.
        """
        if data.size == 0:
            return
        with np.errstate(invalid="ignore", over="ignore"):
            amplitude = np.abs(data)
            nan = np.isnan(data)
            good = amplitude < ABSURD
            infinite = ~nan & ~np.isfinite(amplitude)
            zero = amplitude == 0
            equal = np.zeros(data.shape, dtype=bool)
            if data.shape[0] > 2:
                equal |= (data == data[:1]).all(axis=0)
            if data.shape[1] > 2:
                equal |= (data == data[:, :1]).all(axis=1)[:, None]
            equal &= ~zero
        sampled = np.ones(data.shape, bool) if nsamples is None else nsamples > 0
        usable = good & ~zero & ~flags & sampled
        self.samples += data.size
        self.nan += int(nan.sum())
        self.inf += int(infinite.sum())
        self.absurd += int((~good & ~nan & ~infinite).sum())
        self.zero += int(zero.sum())
        self.flagged += int(flags.sum())
        self.no_samples += int((~sampled).sum())
        self.usable += int(usable.sum())
        self.constant += int(equal.sum())
        self.bad_unflagged += int(((~good | zero) & ~flags).sum())
        if usable.any():
            self.medians.append(float(np.median(amplitude[usable])))
        if self._last is not None and not zero.all():
            self.repeated += int(np.array_equal(self._last, data, equal_nan=True))
        self._last = data
        self.blocks += 1

    def fraction(self, name: str) -> float:
        """A count as a fraction of the samples; NaN when there were none."""
        return getattr(self, name) / self.samples if self.samples else float("nan")

    @property
    def median_amplitude(self) -> float:
        """Median over the blocks of the median amplitude of what is usable."""
        return float(np.median(self.medians)) if self.medians else 0.0


def judge(subject: Subject, tally: Tally, min_usable: float, warn_usable: float) -> None:
    """Checks of a tally. What is usable decides; the rest says what kind of data these are."""
    subject.limit(
        "usable fraction",
        tally.fraction("usable"),
        fail_below=min_usable,
        warn_below=warn_usable,
    )
    subject.limit("NaN", tally.fraction("nan"), warn_above=0)
    subject.limit("infinite", tally.fraction("inf"), warn_above=0)
    subject.limit("amplitude beyond 1e15", tally.fraction("absurd"), warn_above=0)
    subject.limit("zero", tally.fraction("zero"), warn_above=0.3)
    subject.limit("flagged", tally.fraction("flagged"), warn_above=0.5)
    subject.limit("constant blocks", tally.fraction("constant"), warn_above=0.001, fail_above=0.5)
    subject.limit(
        "integrations equal to the one before", tally.repeated, warn_above=0, fail_above=2
    )
    subject.limit("median amplitude", tally.median_amplitude, "data units", warn_below=1e-6)
    subject.data["values"] = {
        field.name: getattr(tally, field.name)
        for field in dataclasses.fields(tally)
        if field.name not in {"medians", "_last"}
    } | {"median_amplitude": tally.median_amplitude}


def blocks_of(times: NDArray[np.float64], n_rows: int) -> list[tuple[int, int]]:
    """Row ranges of one time each; equal blocks where the rows are not in order of time.

    Times that differ in the last bits (40 us) only are one.
    """
    steps = np.diff(times)
    if times.size == n_rows and n_rows and (steps >= -_SAME_DAYS).all():
        edges = np.flatnonzero(steps > _SAME_DAYS) + 1
        return list(zip([0, *edges.tolist()], [*edges.tolist(), n_rows], strict=True))
    return [(i, min(i + _BLOCK_ROWS, n_rows)) for i in range(0, n_rows, _BLOCK_ROWS)]


def sampled(n: int) -> list[int]:
    """First, middle and last of `n`."""
    return sorted({0, n // 2, n - 1}) if n else []
