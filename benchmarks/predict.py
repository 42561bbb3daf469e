"""CPU time of the predictor at the size of one tile, against the sum itself.

Prints the CPU seconds of :func:`contimg.core.predict.predict`, of the bare matrix products that
the sum over sources consists of (the floor), and of the sum taken source by source, baseline by
baseline (measured on a part and scaled), and the largest difference between predictor and sum.

    python benchmarks/predict.py [--times 24] [--sources 200] [--gaussians 0]
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import numpy as np
import pandas as pd

from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines, separation
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import Axes
from contimg.core.predict import predict

CENTRE = np.radians([128.7, 55.6])
ANTENNAS, CHANNELS = 96, 768


def made_axes(times: int) -> Axes:
    """A tee of 96 antennas about the meridian, seen at HA = 0 (uvw = east, north, up turned)."""
    rng = np.random.default_rng(1)
    east = np.r_[np.arange(47) * 8.6 - 200, np.zeros(35), rng.uniform(-880, 880, 14)]
    north = np.r_[np.zeros(47), np.arange(35) * 12.4 + 7, rng.uniform(-1100, 1100, 14)]
    slant = CENTRE[1] - np.radians(37.23)
    position = np.stack([east, north * np.cos(slant), north * np.sin(slant)], axis=-1)
    ant1, ant2 = np.triu_indices(ANTENNAS)
    uvw = position[ant1] - position[ant2]
    drift = (np.arange(times) - times / 2) * np.radians(193.8 / 3600)
    return Axes(
        mjd=60953.6 + np.arange(times) * 12.885 / 86400,
        integration_s=12.885,
        ant1=ant1,
        ant2=ant2,
        antenna_names=[f"A{i}" for i in range(ANTENNAS)],
        antenna_positions_m=position,
        uvw_m=np.broadcast_to(uvw, (times, *uvw.shape)),
        freq_hz=1.311372e9 + np.arange(CHANNELS) * 244140.625,
        width_hz=244140.625,
        phase_center_rad=tuple(CENTRE),
        pointing_rad=(CENTRE[0] + drift, np.full(times, CENTRE[1])),
    )


def made_sources(number: int, gaussians: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "name": [f"s{i}" for i in range(number)],
            "ra_deg": np.degrees(CENTRE[0]) + rng.uniform(-4, 4, number),
            "dec_deg": np.degrees(CENTRE[1]) + rng.uniform(-2, 2, number),
            "flux_jy": 0.02 * (1 - rng.random(number)) ** -1.0,
            "ref_freq_hz": 1.4e9,
            "spectral_index": rng.normal(-0.7, 0.2, number),
            "log_poly": "",
            "major_arcsec": np.where(np.arange(number) < gaussians, 20.0, np.nan),
        }
    )


def cpu_s() -> float:
    return sum(os.times()[:2])


def direct(sources: pd.DataFrame, beam: PrimaryBeam, axes: Axes, rows: np.ndarray) -> np.ndarray:
    """The first time in double precision, (row, channel)."""
    total = np.zeros((rows.size, CHANNELS), complex)
    for s in sources.itertuples():
        ra, dec = np.radians([s.ra_deg, s.dec_deg])
        l_cos, m_cos, n_cos = direction_cosines(ra, dec, *axes.phase_center_rad)
        path = axes.uvw_m[0, rows] @ np.array([l_cos, m_cos, n_cos - 1])
        offset = separation(ra, dec, axes.pointing_rad[0][0], axes.pointing_rad[1][0])
        flux = s.flux_jy * (axes.freq_hz / s.ref_freq_hz) ** s.spectral_index
        flux = flux * beam.power(offset, axes.freq_hz)
        total += flux * np.exp(2j * np.pi * path[:, None] * axes.freq_hz / C_M_S)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=24)
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--gaussians", type=int, default=0)
    options = parser.parse_args()
    beam = PrimaryBeam(InstrumentOptions())
    axes, sources = made_axes(options.times), made_sources(options.sources, options.gaussians)

    start, wall = cpu_s(), time.perf_counter()
    first = None
    for model in predict(sources, beam, axes):
        first = model if first is None else first
    ours, wall = cpu_s() - start, time.perf_counter() - wall

    rng = np.random.default_rng(3)
    a = rng.normal(size=(2, ANTENNAS, options.sources)).astype(np.float32)
    left, right = a[0] + 1j * a[1], (a[0] - 1j * a[1]).T
    start = cpu_s()
    for _ in range(CHANNELS):
        left @ right
    floor = (cpu_s() - start) * options.times

    rows = rng.choice(axes.shape[1], 64, replace=False)
    points = sources[sources["major_arcsec"].isna()]
    start = cpu_s()
    expected = direct(points, beam, axes, rows)
    plain = (cpu_s() - start) * axes.shape[1] / rows.size * options.times
    print(
        f"{ANTENNAS} antennas, {CHANNELS} channels, {options.times} times, "
        f"{options.sources} sources of which {options.gaussians} Gaussian"
    )
    print(f"predictor               {ours:9.1f} CPU s  ({wall:.1f} s of wall time)")
    print(f"matrix products alone   {floor:9.1f} CPU s  predictor / floor = {ours / floor:.2f}")
    print(f"source by source        {plain:9.0f} CPU s  this / predictor = {plain / ours:.0f}")
    if not options.gaussians:
        difference = np.abs(first[rows] - expected).max() / np.abs(expected).max()
        print(f"largest difference from the double-precision sum, of its peak: {difference:.1e}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
