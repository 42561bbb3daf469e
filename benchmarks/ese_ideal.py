"""What the best search that there can be would find of the light curves of ``ese_truth.py``.

    python benchmarks/ese_ideal.py [--hosts mixed] [--snr 10] [--doubt 0.005] [--seed 1]

It knows how everything was drawn, lenses, hosts, their processes and blocks of bad epochs, and
takes the ratio of the probabilities of a light curve with a dip and without: no other test finds
more at the same false alarms (Neyman & Pearson 1933). Integrals are sums over 24,000 dips, 3,000
blocks and 36 processes of each kind. `--doubt` is the part of the sources without a dip that it
takes to walk by 5 to 20 %, the same to scintillate by 2 to 8 %, and to have a block of bad epochs,
as the rivals of ``ese_truth.py`` do; without doubt a quiet population is known to hold none. How
many of such rivals it announces is printed, too (`--rivals`, so many of each kind). Events are
those that ``ese_truth.py`` makes with the same seed. Nothing here comes from the search.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pandas as pd
from ese_made import (
    BLOCK_DAYS,
    BLOCK_DEPTH,
    BLOCK_START,
    DEPTHS,
    HOST_RATES,
    HOSTS,
    RIVAL_NOISE,
    Made,
    events,
    gain_of,
    kernel,
    lens_drawn,
    middle,
    rival,
    smooth_shape,
)
from scipy.special import log_ndtr

DIPS, BLOCKS, NOISES = 24_000, 3_000, 6
SHOT = 80  # lenses of each kind that are ray-shot
WIDTH_DAYS = (4.0, 95.0)  # even in logarithm; those of the events are within
EXPECTED = 1e-5  # false alarms a source
SMOOTHING, STEP = 4.0, 0.05  # in ln B
LOWEST_MEAN, NEVER = 0.2, -1e9
MIDDLES = (np.arange(NOISES) + 0.5) / NOISES
CONSTANT = ("host", "none")
RIVALS = ("bad_block", "walk", "scintillation")


@dataclass(frozen=True)
class Shapes:
    """Gains against the distance, and how deep and wide they are."""

    curves: list[tuple[np.ndarray, np.ndarray]]  # (distance in half-widths, change, -1 deepest)
    full: np.ndarray  # depth if all of the flux is lensed


@dataclass(frozen=True)
class Evidence:
    """ln of probabilities of one light curve, by kind of host: without and with a dip; a block."""

    nothing: dict[tuple[str, str], float]
    dip: dict[tuple[str, str], float]
    block: float  # of a constant host


def log_sum(values, axis: int | None = None):
    """ln of the sum of exponentials."""
    top = np.max(values, axis=axis, keepdims=True)
    return np.log(np.exp(values - top).sum(axis=axis)) + np.squeeze(top, axis=axis)


def log_between(low, high):
    """ln of the probability of a Gaussian between `low` and `high`."""
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    top, bottom = log_ndtr(high), log_ndtr(low)
    return top + np.log1p(-np.exp(np.minimum(bottom - top, -1e-12)))


def ray_shot(random) -> Shapes:
    """Lines, discs and smooth dips as events have them, ``SHOT`` of each."""
    curves, full = [], []
    for kind in ("line", "disc"):
        for _ in range(SHOT):
            u, gain = gain_of(*lens_drawn(kind, random), random)
            full.append(1 - gain.min())
            low = u[gain < 1 - full[-1] / 2]
            curves.append((2 * u / (low.max() - low.min()), (gain - 1) / full[-1]))
    distance = np.linspace(-4, 4, 2001)
    for _ in range(SHOT):
        curves.append((distance, -smooth_shape(distance, random)))
        full.append(np.inf)
    return Shapes(curves, np.array(full))


def drawn_dips(shapes: Shapes, times, random) -> tuple[np.ndarray, np.ndarray]:
    """Changes (N, ``DIPS``) and the largest depths of each."""
    which = random.integers(len(shapes.full), size=DIPS)
    result = np.empty((len(times), DIPS), np.float32)
    for k, shape in enumerate(which):
        width = np.exp(random.uniform(*np.log(WIDTH_DAYS)))
        since = 2 * (times - times[0] - middle(width, random)) / width
        result[:, k] = np.interp(since, *shapes.curves[shape], left=0, right=0)
    return result, shapes.full[which] / 1.02


def drawn_blocks(times, random) -> tuple[np.ndarray, np.ndarray]:
    """Changes (N, K) of bad blocks that hold an epoch, and the largest depths of each."""
    since = (times - times[0])[:, None]
    start = random.uniform(*BLOCK_START, BLOCKS)
    length = random.uniform(*BLOCK_DAYS, BLOCKS)
    inside = (since > start) & (since < start + length)
    inside = inside[:, inside.any(axis=0)]
    return -inside.astype(np.float32), np.full(inside.shape[1], np.inf)


def processes(mixed: bool, doubt: bool) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    """By kind of host the amplitudes, time scales [days] and probabilities of its processes."""
    found = {CONSTANT: [(0.0, 1.0, 1.0)]}
    for group, kinds in (("host", HOSTS if mixed else {}), ("rival", RIVAL_NOISE if doubt else {})):
        for name, limits in kinds.items():
            sizes, scales = (low + (high - low) * MIDDLES for low, high in limits)
            if (group, name) == ("rival", "walk"):
                scales = np.geomspace(*limits[1], 2 * NOISES + 1)[1::2]
            found[group, name] = [(a, t, NOISES**-2.0) for a in sizes for t in scales]
    return found


def log_factor(root, ones, value, changes, full, edges) -> float:
    """ln of the mean Bayes factor of `changes` (N, K), the depth even within any of `edges`.

    Shapes that cannot be so deep (`full` (K,)) are not drawn for a depth.
    """
    white = root.astype(np.float32) @ changes
    square = np.einsum("nk,nk->k", white, white, dtype=float)
    along, with_ones, total = value @ white, ones @ white, ones @ ones
    mean = ones @ value / total
    s = np.maximum(square - with_ones**2 / total, 1e-9) ** -0.5
    b = (along - with_ones * mean) * s**2
    level = np.maximum(mean - b * with_ones / total, LOWEST_MEAN)
    shares = []
    for low, high in edges:
        allowed = full > low * 1.001
        top = np.where(allowed, np.minimum(high, full), high)
        share = log_between((level * low - b) / s, (level * top - b) / s)
        part = len(edges) * np.mean(np.clip(full, low, high) - low)
        shares.append(np.where(allowed, share - np.log(part), NEVER))
    factors = 0.5 * (b / s) ** 2 + log_sum(np.array(shares), axis=0) + np.log(s / level)
    return float(log_sum(factors) + 0.5 * np.log(2 * np.pi) - np.log(len(b)))


def weigh(number: int, made: list[Made], shapes: Shapes, mixed: bool, doubt: bool) -> Evidence:
    """The probabilities of one light curve."""
    curve, random = made[number], np.random.default_rng([9, number])
    level = np.median(curve.flux)
    flux, variance = curve.flux / level, (curve.error / level) ** 2
    dips, blocks = drawn_dips(shapes, curve.mjd, random), drawn_blocks(curve.mjd, random)
    nothing, dip, block = {}, {}, -np.inf
    for kind, rows in processes(mixed, doubt).items():
        without, with_dip = [], []
        for amplitude, tau, part in rows:
            process = amplitude**2 * kernel(kind[1], curve.mjd, tau)
            white, log_like = whitened(flux, np.diag(variance) + process)
            without.append(np.log(part) + log_like)
            with_dip.append(without[-1] + log_factor(*white, *dips, DEPTHS.values()))
            if kind == CONSTANT:
                block = without[-1] + log_factor(*white, *blocks, (BLOCK_DEPTH,))
        nothing[kind], dip[kind] = (float(log_sum(np.array(v))) for v in (without, with_dip))
    return Evidence(nothing, dip, float(block))


def whitened(flux, covariance) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], float]:
    """The inverse root of the covariance, one and the flux times it, and ln L, any mean."""
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    ones, value = root.sum(axis=1), root @ flux
    left = value @ value - (ones @ value) ** 2 / (ones @ ones)
    log_det = np.log(ones @ ones) - 2 * np.log(np.diag(root)).sum()
    return (root, ones, value), -0.5 * (log_det + left)


def log_factors(found: list[Evidence], mixed: bool, doubt: float) -> np.ndarray:
    """ln B of a dip against everything else."""
    rates = {("host", name): HOST_RATES[name] for name in HOSTS} if mixed else {}
    rates = {kind: rate * (1 - 2 * doubt) for kind, rate in rates.items()}
    rates |= {("rival", name): doubt for name in RIVAL_NOISE if doubt}
    rates[CONSTANT] = 1 - sum(rates.values())
    logs = [(kind, np.log(rate)) for kind, rate in rates.items()]
    values = []
    for e in found:
        rest = [e.nothing[kind] + log for kind, log in logs]
        rest += [e.block + np.log(doubt)] if doubt else []
        dips = [e.dip[kind] + log for kind, log in logs]
        values.append(log_sum(np.array(dips)) - log_sum(np.array(rest)))
    return np.array(values)


def threshold(dips: np.ndarray) -> float:
    """ln B that light curves without a dip reach with probability ``EXPECTED``.

    As B is the ratio of two probabilities, that is the integral of g(u) exp(-u) from there on, g
    the density of ln B (D,) over `dips`.
    """
    value = np.arange(0, 20, STEP)
    near = (np.abs(value[:, None] - dips) < SMOOTHING).sum(axis=1)
    density = np.maximum(near, 0.5) / len(dips) / (2 * SMOOTHING)
    tail = np.cumsum((density * np.exp(-value) * STEP)[::-1])[::-1]
    return float(value[np.flatnonzero(tail >= EXPECTED)[-1]])


def evidence_of(made: list[Made], shapes: Shapes, mixed: bool, doubt: bool) -> list[Evidence]:
    """Of every light curve, in two processes."""
    global _work
    _work = made, shapes, mixed, doubt
    with get_context("fork").Pool(2) as pool:
        return pool.map(_weigh, range(len(made)), chunksize=1)


_work: tuple = ()


def _weigh(number: int) -> Evidence:
    return weigh(number, *_work)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=4, help="events in every cell")
    parser.add_argument("--rivals", type=int, default=0, help="light curves of every kind of rival")
    parser.add_argument("--hosts", choices=("quiet", "mixed"), default="quiet")
    parser.add_argument("--snr", type=float, default=20.0, help="of an epoch")
    parser.add_argument("--doubt", type=float, nargs="+", default=[0.0, 0.0005, 0.002, 0.005])
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Events and rivals, and which of them are announced at each doubt."""
    given, started = parse(), time.perf_counter()
    random, mixed = np.random.default_rng(given.seed), given.hosts == "mixed"
    made, cells = events(given.number, mixed, given.snr, random)
    made += [rival(kind, given.snr, random) for kind in RIVALS for _ in range(given.rivals)]
    rows = pd.DataFrame(cells + [(k, "", "") for k in RIVALS for _ in range(given.rivals)])
    rows.columns = ["depth", "width", "shape"]
    found = evidence_of(made, ray_shot(np.random.default_rng(1)), mixed, max(given.doubt) > 0)
    print(f"{len(made)} light curves: {time.perf_counter() - started:.0f} s")
    for doubt in given.doubt:
        value = log_factors(found, mixed, doubt)
        least = threshold(value[: len(cells)])
        rows["found"] = value > least
        print(f"\ndoubt {doubt:g}: announced above ln B = {least:.2f}")
        table = rows.pivot_table(
            index="depth", columns="width", values="found", aggfunc=["sum", "count"], sort=False
        )
        print(table.to_string())
        print(rows.groupby("depth", sort=False)["found"].agg(["sum", "count"]).to_string())


if __name__ == "__main__":
    main()
