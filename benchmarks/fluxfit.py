"""CPU time of the fit of flux densities to a full-size tile, against its matrix products alone.

    python benchmarks/fluxfit.py [--sources 233] [--nulls 100] [--gaussians 0] [--parts 4]

96 antennas, 192 channels, 24 integrations, a twentieth of the visibilities flagged at random, two
antennas dead. Prints CPU seconds of the whole fit, of the floor (one product of the model and one
of the projection a pass, one of the normal matrix), passes, and pulls of the result.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import time

import numpy as np
import pandas as pd
from predict import ANTENNAS, CENTRE, cpu_s, made_axes, made_sources

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.fluxfit.design import Design, design
from contimg.core.fluxfit.normal import normal
from contimg.core.fluxfit.solve import _stride, fit
from contimg.core.fluxfit.sweep import Arrays, parts_of, sweep
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import Axes
from contimg.core.predict import predict

CHANNELS, NOISE_JY = 192, 1.0


def tile_axes(times: int) -> Axes:
    """Four channels of the predictor's benchmark made one."""
    axes = made_axes(times)
    freq = axes.freq_hz.reshape(CHANNELS, -1).mean(axis=1)
    # next to no averaging: the predictor that makes the data knows none
    return dataclasses.replace(axes, freq_hz=freq, width_hz=1.0, integration_s=1e-3)


def sky(sources: int, nulls: int, gaussians: int) -> pd.DataFrame:
    """Sources, and empty places with a flux density of zero."""
    real = made_sources(sources, gaussians)
    rng = np.random.default_rng(4)
    empty = made_sources(nulls, 0).assign(
        name=[f"null{k}" for k in range(nulls)],
        ra_deg=np.degrees(CENTRE[0]) + rng.uniform(-2, 2, nulls),
        dec_deg=np.degrees(CENTRE[1]) + rng.uniform(-1.2, 1.2, nulls),
        flux_jy=0.0,
    )
    return pd.concat([real, empty], ignore_index=True)


def observed(axes: Axes, sources: pd.DataFrame, beam: PrimaryBeam) -> Arrays:
    """Data of the sky with noise and flags."""
    rng = np.random.default_rng(5)
    dead = np.isin(axes.ant1, [3, 90]) | np.isin(axes.ant2, [3, 90])
    data, weights = [], []
    for model in predict(sources[sources["flux_jy"] > 0], beam, axes):
        noise = rng.normal(size=(2, *model.shape)).astype(np.float32)
        good = (rng.random(model.shape) > 0.05) & ~dead[:, None]
        data.append((model + NOISE_JY * (noise[0] + 1j * noise[1])).astype(np.complex64))
        weights.append((good / NOISE_JY**2).astype(np.float32))
    return Arrays(np.stack(data), np.stack(weights))


def floor_s(model: Design, passes: float) -> float:
    """CPU seconds of the matrix products of `passes` passes and one normal matrix."""
    from scipy.linalg.blas import cherk, ctrmm

    rng = np.random.default_rng(6)
    n = model.owner.size
    columns = rng.normal(size=(n, 2 * ANTENNAS)).astype(np.float32).view(np.complex64)
    right = np.asfortranarray(np.triu(columns[:ANTENNAS]))
    start = cpu_s()
    for _ in range(100):
        cherk(1.0, columns.T)
        ctrmm(1.0, right, columns.T)
    once = cpu_s() - start
    start = cpu_s()
    for _ in range(100):
        cherk(1.0, columns.T, trans=2)
    matrix = cpu_s() - start
    return (once * passes + matrix / _stride(model)) / 100 * model.axes.mjd.size * CHANNELS


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=24)
    parser.add_argument("--sources", type=int, default=233)
    parser.add_argument("--nulls", type=int, default=100)
    parser.add_argument("--gaussians", type=int, default=0)
    parser.add_argument("--parts", type=int, default=4)
    options = parser.parse_args()
    beam = PrimaryBeam(InstrumentOptions())
    axes = tile_axes(options.times)
    sources = sky(options.sources, options.nulls, options.gaussians)
    blocks = observed(axes, sources, beam)
    sources["flux_jy"] *= np.random.default_rng(7).choice([0.5, 2.0], len(sources))
    model = design(sources, beam, axes)

    start, wall = cpu_s(), time.perf_counter()
    solution = fit(model, blocks, parts=options.parts)
    cpu, wall = cpu_s() - start, time.perf_counter() - wall
    part = parts_of(CHANNELS, options.parts)
    start = cpu_s()
    normal(model, blocks, part, _stride(model))
    matrix = cpu_s() - start
    start = cpu_s()
    sweep(model, blocks, part, np.zeros((options.parts, len(sources))))
    one = cpu_s() - start
    floor = floor_s(model, solution.iterations + 1)
    truth = sky(options.sources, options.nulls, options.gaussians)
    pull = (solution.flux_jy - flux_density(truth, model.unit_hz)[:, 0]) / solution.error_jy
    real = truth["flux_jy"].to_numpy() > 0
    print(
        f"{len(sources)} sources, {axes.shape[1]} baselines, {CHANNELS} channels, "
        f"{options.times} times, {os.environ.get('OPENBLAS_NUM_THREADS', 'all')} BLAS threads"
    )
    print(
        f"fit in {options.parts} parts  {cpu:7.1f} CPU s  ({wall:.1f} s of wall time), "
        f"{solution.iterations} passes after the first, last step {solution.last_step:.4f} sigma"
    )
    print(f"  of which a pass  {one:.1f}, the normal matrix {matrix:.1f} CPU s")
    print(f"matrix products    {floor:7.1f} CPU s  fit / floor = {cpu / floor:.2f}")
    print(
        f"pulls: sources {np.nanstd(pull[real]):.3f}, empty places {np.nanstd(pull[~real]):.3f}; "
        f"noise {solution.noise:.4f} of 1"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
