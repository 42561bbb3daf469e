"""What can be said in numbers about the solutions of one calset: by feed, antenna and subband."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contimg.calset.gains import Slope, course, fit_delays, mean, total, unit
from contimg.calset.read import Calset
from contimg.core.robust import median, scatter

_TURN_DEG = 10.0  # over the band; 0.15 ns over 187.5 MHz
_SIGNIFICANT = 3.0  # a residual delay within so many errors is none


@dataclass(frozen=True)
class Measures:
    """Antennas are those observed, in the order of the tables; feeds without solutions NaN."""

    antennas: list[int]  # numbers in the tables
    solved: NDArray[np.bool_]  # (antenna,)
    flagged: dict[str, NDArray[np.float64]]  # by table, (antenna, corr)
    snr: dict[str, NDArray[np.float64]]  # by table, median (antenna, corr)
    delay_ns: NDArray[np.float64]  # (antenna, corr) K; NaN without K
    residual: Slope  # (antenna, corr) in the phases of B
    band_hz: float
    level: NDArray[np.float64]  # (antenna, corr) amplitude of the whole gain over the median
    channel_noise: NDArray[np.float64]  # (antenna, corr) of |B|, relative
    channel_phase_deg: NDArray[np.float64]  # (antenna, corr) of the phase of B
    amplitude_drift: NDArray[np.float64]  # (antenna, corr) rms in time, relative; NaN: one time
    phase_drift_deg: NDArray[np.float64]
    subband_edges: NDArray[np.int64]  # (subband + 1,) channels of B
    subband_flagged: NDArray[np.float64]  # (antenna, subband) of B
    subband_snr: NDArray[np.float64]  # (antenna, subband) of B, median

    @property
    def residual_ns(self) -> NDArray[np.float64]:
        """|residual delay| where it is more than its error, else 0, (antenna, corr)."""
        return significant_ns(self.residual, self.band_hz)

    def subbands_solved(self) -> NDArray[np.bool_]:
        """Whether most solutions of the antennas that have any are there, (subband,)."""
        alive = self.subband_flagged[self.solved]
        if not len(alive):
            return np.zeros(self.subband_edges.size - 1, bool)
        return alive.mean(axis=0) < 0.5


def measure(calset: Calset, subbands: int) -> Measures:
    """Measure a calset; `subbands` is the number of equal parts of its band."""
    antennas = calset.observed()
    reference = calset.antennas.index(calset.data["refant"])
    band = calset.tables["B"]
    n_chan = band.freq_hz.size
    edges = np.unique(np.linspace(0, n_chan, min(subbands, n_chan) + 1).round().astype(int))
    parts = [slice(a, b) for a, b in pairwise(edges)]
    size = np.abs(total(calset, reference)).transpose(0, 2, 1)
    level = median(size, axis=-1)
    drifts = _drift(calset, reference)
    bandpass = mean(band.value, 0).transpose(0, 2, 1)  # (antenna, corr, channel)
    noise = _channel_noise(bandpass)
    each = {name: ~t.flag for name, t in calset.tables.items()}
    slope = fit_delays(bandpass, band.freq_hz)
    return Measures(
        antennas=antennas,
        solved=calset.solved()[antennas],
        flagged={n: 1 - good.mean(axis=(0, 2))[antennas] for n, good in each.items()},
        snr={n: median(t.snr, axis=(0, 2))[antennas] for n, t in calset.tables.items()},
        delay_ns=delays_ns(calset)[antennas],
        residual=Slope(**{k: v[antennas] for k, v in vars(slope).items()}),
        band_hz=float(np.ptp(band.freq_hz)),
        level=level[antennas] / median(level),
        channel_noise=noise[0][antennas],
        channel_phase_deg=np.degrees(noise[1][antennas]),
        amplitude_drift=drifts[0][antennas],
        phase_drift_deg=drifts[1][antennas],
        subband_edges=edges,
        subband_flagged=np.stack(
            [band.flag[:, :, p].mean(axis=(0, 2, 3))[antennas] for p in parts], axis=1
        ),
        subband_snr=np.stack(
            [median(band.snr[:, :, p], axis=(0, 2, 3))[antennas] for p in parts], axis=1
        ),
    )


def significant_ns(slope: Slope, band_hz: float) -> NDArray[np.float64]:
    """|delay| where it is more than its error, else 0; NaN where not fitted.

    One that turns the phase by only a few degrees over the whole band is none either.
    """
    found = np.abs(slope.delay_ns)
    shortest = 1e9 * _TURN_DEG / 360 / band_hz if band_hz > 0 else np.inf  # of one channel: none
    least = np.maximum(_SIGNIFICANT * slope.error_ns, shortest)
    seen = np.where(found > least, found, 0.0)
    return np.where(np.isfinite(found), seen, np.nan)


def delays_ns(calset: Calset) -> NDArray[np.float64]:
    """Delays of K, (antenna, corr) [ns]; NaN where there are none."""
    if "K" not in calset.tables:
        return np.full((len(calset.antennas), len(calset.correlations)), np.nan)
    return mean(calset.tables["K"].value, 0)[:, 0]


def _channel_noise(gain: NDArray[np.complex128]) -> tuple[NDArray, NDArray]:
    """Noise of amplitude (relative) and phase [rad] of (antenna, corr, channel).

    From second differences, of which slopes are no part.
    """
    level = median(np.abs(gain), axis=-1)[..., None]
    bent = gain[..., 2:] - 2 * gain[..., 1:-1] + gain[..., :-2]
    with np.errstate(invalid="ignore"):
        turned = bent * unit(gain[..., 1:-1]).conj() / level
    amplitude, phase = (
        scatter(part, -1, centred=False) / np.sqrt(6)  # 1 + 4 + 1 variances
        for part in (turned.real, turned.imag)
    )
    return amplitude, phase


def _drift(calset: Calset, reference: int) -> tuple[NDArray, NDArray]:
    """Rms in time of amplitude (relative) and phase [deg], (antenna, corr); NaN of one time."""
    mjd, gain, _ = course(calset, reference)
    if mjd.size < 2:
        nothing = np.full(gain.shape[1:], np.nan)
        return nothing, nothing
    size = np.abs(gain)
    middle = mean(unit(gain), 0)
    turned = np.degrees(np.angle(gain * middle.conj()))
    relative = size / mean(size, 0) - 1
    return np.sqrt(mean(relative**2, 0)), np.sqrt(mean(turned**2, 0))
