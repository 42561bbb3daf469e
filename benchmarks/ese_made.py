"""Light curves of known kind for ``ese_truth.py``; nothing here comes from the search.

Lenses are ray-shot: rays that cross a Gaussian sheet of plasma evenly are counted where they
arrive, with a source of Gaussian brightness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

RAYS = 400_000
SPAN_DAYS, LOST = 100, 0.15
BAND_HZ = (1.311e9, 1.499e9)
DEPTHS = {"10-20 %": (0.1, 0.2), "20-40 %": (0.2, 0.4), "> 40 %": (0.4, 0.9)}
WIDTHS = (5, 15, 40, 80)  # days
SHAPES = ("line", "disc", "smooth")
# amplitudes and time scales [days] of processes, even between limits
HOSTS = {"s": ((0.01, 0.04), (5, 20)), "walk": ((0.02, 0.1), (20, 300))}
HOST_RATES = {"s": 0.3, "walk": 0.2}  # of mixed hosts; the others are constant
RIVAL_NOISE = {"s": ((0.02, 0.08), (4, 20)), "walk": ((0.05, 0.2), (10, 200))}  # walk: tau in log
BLOCK_START, BLOCK_DAYS, BLOCK_DEPTH = (10, 90), (3, 6), (0.1, 0.3)


@dataclass
class Made:
    """One light curve and the truth about it."""

    kind: str
    mjd: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    truth: dict
    freq: np.ndarray | None = None  # of each measurement [Hz], if there are several parts
    bad: np.ndarray | None = None  # which epochs are bad data


def strengths(parts: int) -> np.ndarray:
    """Of a lens in each part of the band over that in the middle: as wavelength squared."""
    edges = np.linspace(*BAND_HZ, parts + 1)
    return (np.mean(BAND_HZ) / ((edges[1:] + edges[:-1]) / 2)) ** 2


def line_lens(alpha: float, size: float, random: np.random.Generator):
    """(u, gain) of a one-dimensional lens for a source of FWHM `size`, by counting rays."""
    reach = 12 + alpha
    ray = np.linspace(-reach, reach, 4 * RAYS)
    edges = np.linspace(-reach / 2, reach / 2, 4001)
    count, _ = np.histogram(ray * (1 + alpha * np.exp(-(ray**2))), edges)
    step = edges[1] - edges[0]
    gain = count / (len(ray) * step / (2 * reach))
    source = np.exp(-0.5 * (np.arange(-1000, 1001) * step / (size / 2.3548)) ** 2)
    gain = np.convolve(np.pad(gain, 1000, constant_values=1.0), source / source.sum(), "valid")
    return (edges[1:] + edges[:-1]) / 2, gain


def disc_lens(alpha: float, size: float, impact: float, random: np.random.Generator):
    """The same for an axisymmetric lens passed at `impact`: rays counted in rings."""
    reach, number = 12.0, 8 * RAYS
    radius = reach * np.sqrt((np.arange(number) + 0.5) / number)
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(number)  # evenly, as seeds of a sunflower
    radius = radius * (1 + alpha * np.exp(-(radius**2)))
    x = radius * np.cos(angle) + random.normal(0, size / 2.3548, number)
    y = radius * np.sin(angle) + random.normal(0, size / 2.3548, number)
    edges = np.linspace(0, reach - 4, 161)
    count, _ = np.histogram(np.hypot(x, y), edges)
    gain = count / (number * np.diff(edges**2) / reach**2)
    middle = (edges[1:] + edges[:-1]) / 2
    u = np.linspace(4 - reach, reach - 4, 801)
    return u, np.interp(np.hypot(u, impact), middle, gain, right=1.0)


def lensed(kind: str, depth: float, width: float, t0: float, times, random, parts: int = 1):
    """(relative flux by part, truth): a lens of `kind`, so much of the flux lensed that it has
    `depth` in the middle of the band."""
    while True:
        alpha, size, impact = lens_drawn(kind, random)
        u, gain = gain_of(alpha, size, impact, random)
        full = 1 - gain.min()
        if full > depth * 1.02:
            break
    low = u[gain < 1 - full / 2]
    scale = width / (low.max() - low.min())
    fraction = depth / full
    since = (times - t0) / scale
    gains = [(u, gain)] if parts == 1 else []
    gains += [gain_of(alpha * r, size, impact, random) for r in strengths(parts) if parts > 1]
    relative = [1 + fraction * (np.interp(since, *g, left=1, right=1) - 1) for g in gains]
    return np.array(relative), {"alpha": alpha, "flux_fraction": fraction}


def lens_drawn(kind: str, random) -> tuple[float, float, float | None]:
    """Strength, size of the source and impact parameter of a ``line`` or ``disc``."""
    alpha, size = np.exp(random.uniform(np.log(0.4), np.log(25))), 0.05 * 20 ** random.uniform()
    alpha = alpha if kind == "line" else min(alpha, 8)
    return alpha, size, None if kind == "line" else random.uniform(0, 0.8)


def gain_of(alpha: float, size: float, impact: float | None, random: np.random.Generator):
    """(u, gain) of a lens, a line without `impact`."""
    if impact is None:
        return line_lens(alpha, size, random)
    return disc_lens(alpha, size, impact, random)


def smooth(depth: float, width: float, t0: float, times, random, parts: int = 1):
    """A dip without caustics or shoulders that is as deep as a lens is strong."""
    shape = smooth_shape(2 * (times - t0) / width, random)
    return 1 - depth * strengths(parts)[:, None] * shape, {}


def smooth_shape(distance, random) -> np.ndarray:
    """A smooth dip, one in the middle, at distances in half-widths."""
    return np.exp(-np.log(2) * np.abs(distance) ** random.uniform(1.8, 4))


def epochs(random, span: int = SPAN_DAYS, lost: float = LOST) -> np.ndarray:
    """Daily epochs less those lost [days]."""
    days = np.flatnonzero(random.uniform(size=span) > lost)
    return 60000.0 + days + random.uniform(-0.02, 0.02, len(days))


def process(times, amplitude: float, tau: float, kind: str, random) -> np.ndarray:
    """A Gaussian process about zero: ``walk``, or smooth as scintillation is."""
    root = np.linalg.cholesky(kernel(kind, times, tau) + 1e-9 * np.eye(len(times)))
    return amplitude * root @ random.normal(size=len(times))


def kernel(kind: str, times, tau: float) -> np.ndarray:
    """Correlations (N, N) of a process: ``walk``, or smooth as scintillation is."""
    lag = np.abs(times[:, None] - times) / tau
    return np.exp(-lag) if kind == "walk" else np.exp(-0.5 * lag**2)


def host(mixed: bool, times, random) -> np.ndarray:
    """Relative flux of a source without an event."""
    return hosted(mixed, times, random)[0]


def hosted(mixed: bool, times, random) -> tuple[np.ndarray, np.ndarray]:
    """The same, and the covariance of what it does."""
    kind = random.uniform() if mixed else 0.0
    if kind < 0.5:
        return np.ones(len(times)), np.zeros((len(times), len(times)))
    name = "s" if kind < 0.5 + HOST_RATES["s"] else "walk"
    amplitude, tau = (random.uniform(*limits) for limits in HOSTS[name])
    covariance = amplitude**2 * kernel(name, times, tau)
    return 1 + process(times, amplitude, tau, name, random), covariance


def known_filter(dip, covariance, snr: float, blocks: bool = False) -> float:
    """Sigma at which a dip is seen by a filter that knows it and the noise, not the mean.

    With `blocks` what is left of it where the best three to six epochs in a row are too low by
    the same: no search that doubts such blocks sees more.
    """
    root = np.linalg.cholesky(np.linalg.inv(covariance + np.eye(len(dip)) / snr**2)).T
    shape, ones = root @ (dip - 1), root.sum(axis=1)
    shape = shape - ones * (ones @ shape) / (ones @ ones)
    left = shape @ shape
    if blocks:
        for length in range(3, 7):
            block = np.stack(
                [root[:, k : k + length].sum(axis=1) for k in range(len(dip) - length)]
            )
            block -= np.outer(block @ ones / (ones @ ones), ones)
            left = min(left, shape @ shape - ((block @ shape) ** 2 / (block**2).sum(axis=1)).max())
    return float(np.sqrt(max(left, 0.0)))


def observe(kind: str, relative, times, snr: float, random, truth=None, parts: int = 1) -> Made:
    """With noise of 1 / `snr` of the mean in the mean of all parts, and a flux density of its own;
    `relative` (N,), or (parts, N)."""
    level = 10 ** random.uniform(-2, 0)
    error = np.full(len(times), level / snr) * random.uniform(0.9, 1.1, len(times))
    whole = {"baseline_jy": level, **(truth or {})}
    relative, random_part = np.atleast_2d(relative), random.normal(size=(parts, len(times)))
    # of a spectral index of -0.7
    fluxes = level * strengths(parts)[:, None] ** 0.35
    error = np.broadcast_to(error * np.sqrt(parts), (parts, len(times)))
    flux = fluxes * relative + error * random_part
    if parts == 1:
        return Made(kind, times, flux[0], error[0], whole)
    freq = np.mean(BAND_HZ) / strengths(parts) ** 0.5
    columns = np.tile(times, parts), flux.ravel(), error.ravel()
    return Made(kind, *columns, whole, np.repeat(freq, len(times)))


def event(
    kind: str, depth: float, width: float, mixed: bool, snr: float, random, parts: int = 1
) -> Made:
    """A lens (``line``, ``disc``) or a ``smooth`` dip on a host; at least half of it inside."""
    times = epochs(random)
    t0 = times[0] + middle(width, random)
    make = smooth if kind == "smooth" else lambda *a: lensed(kind, *a)
    dip, truth = make(depth, width, t0, times, random, parts)
    truth |= {"depth": depth, "width_days": width, "t0_mjd": t0}
    relative, covariance = hosted(mixed, times, random)
    whole = dip.mean(axis=0)
    truth["bound_sigma"] = known_filter(whole, covariance, snr)
    truth["block_sigma"] = known_filter(whole, covariance, snr, blocks=True)
    return observe("ese", relative * dip, times, snr, random, truth, parts)


def events(number: int, mixed: bool, snr: float, random, parts: int = 1):
    """`number` events of every depth, width and shape, and these three of each."""
    made, cells = [], []
    for depth, (low, high) in DEPTHS.items():
        for width in WIDTHS:
            for kind in SHAPES:
                for _ in range(number):
                    deep = random.uniform(low, high)
                    made.append(event(kind, deep, width, mixed, snr, random, parts))
                    cells.append((depth, f"{width} d", kind))
    return made, cells


def middle(width: float, random) -> float:
    """Where the middle of a dip of `width` is, days after the first epoch."""
    margin = min(15.0, (SPAN_DAYS - width) / 2) if width < SPAN_DAYS else 0.0
    margin = max(margin, width / 2) if width < 60 else 40.0
    return random.uniform(margin, SPAN_DAYS - margin)


def rival(kind: str, snr: float, random, parts: int = 1) -> Made:
    """One light curve that varies for another reason."""
    times = epochs(random)
    since = times - times[0]
    at = random.uniform(*BLOCK_START)
    bad = None
    if kind == "flare":
        after = np.exp(-(since - at).clip(0) / random.uniform(5, 30))
        rise = np.exp(np.minimum(since - at, 0) / random.uniform(0.2, 3))
        relative = 1 + random.uniform(0.3, 2) * after * rise
    elif kind == "step":
        relative = 1 + random.choice([-1, 1]) * random.uniform(0.1, 0.4) * (since > at)
    elif kind == "bad_block":
        inside = (since > at) & (since < at + random.uniform(*BLOCK_DAYS))
        relative, bad = 1 - random.uniform(*BLOCK_DEPTH) * inside, inside
    elif kind == "coloured_block":
        inside = (since > at) & (since < at + random.uniform(*BLOCK_DAYS))
        relative = 1 - random.uniform(0, 0.4, parts)[:, None] * inside
    elif kind == "sine":
        angle = 2 * np.pi * since / random.uniform(4, 50) + random.uniform(0, 6)
        relative = 1 + random.uniform(0.08, 0.4) * np.sin(angle)
    elif kind == "walk":
        amplitude, tau = random.uniform(*RIVAL_NOISE["walk"][0]), 10 ** random.uniform(1, 2.3)
        relative = 1 + process(times, amplitude, tau, "walk", random)
    elif kind == "scintillation":
        amplitude, tau = (random.uniform(*limits) for limits in RIVAL_NOISE["s"])
        relative = 1 + process(times, amplitude, tau, "s", random)
    elif kind == "gradient":
        slow = np.sin(2 * np.pi * since / random.uniform(60, 200) + random.uniform(0, 6))
        relative = 1 + 0.02 * random.uniform(-1, 1) * slow
    else:
        relative = np.ones(len(times))
    return replace(observe(kind, relative, times, snr, random, None, parts), bad=bad)


def warnings(made: Made, seen: float, random, false: float = 0.03) -> np.ndarray:
    """Epochs that quality assurance warns of: a part `seen` of the blocks of bad data, and any
    epoch with probability `false`."""
    warned = random.uniform(size=len(made.mjd)) < false
    if made.bad is not None and random.uniform() < seen:
        warned |= made.bad
    return warned
