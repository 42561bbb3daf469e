"""Flagging strategies against known interference in a full-size group.

    python benchmarks/flag.py --manifest MANIFEST --config CONFIG --work DIR [--strategies ...]

Converts a simulated group without flagging, adds interference of known strength to the
Measurement Set, and flags it with every strategy, each in a process of its own. Prints, for each:

- recall: flagged fraction of the samples whose interference exceeds 5 times the noise of a sample
  (real or imaginary part), all and by kind;
- false: flagged fraction of the samples with less than 0.1 times the noise, broken inputs apart;
- CPU seconds of flagging (those of programs include their reading and writing) and peak memory.

`--config`: the configuration that simulated the group, which knows its own interference.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from contimg.config import read_config
from contimg.core.constants import C_M_S
from contimg.core.groups import read_manifest
from contimg.core.ms import open_table, read_axes
from contimg.flag.measurement_set import context_of, flag_measurement_set
from contimg.flag.options import FlagOptions, split_steps
from contimg.flag.plot import draw
from contimg.flag.stream import run_steps
from contimg.flag.summary import summarise, tally_of
from contimg.simulate.instrument import interference_jy

SUBBAND = 48
STRATEGIES = ("default", "fast", "aoflagger", "casa")
KINDS = ("satellite", "steady line", "intermittent line", "antenna", "baseline", "simulator")
# indices of antennas, and of a baseline
NOISY, SWAPPED, VICTIM, BASELINE = 30, 50, 10, 1000
SATELLITE = slice(5, 8)


@dataclasses.dataclass
class Truth:
    """What is in one subband (time, baseline, channel, corr), over the noise of a sample."""

    added: np.ndarray  # complex, in units of the data
    strength: np.ndarray
    kind: np.ndarray  # index into KINDS of the strongest


def phases(rng, shape) -> np.ndarray:
    """Unit numbers of random phase."""
    return np.exp(2j * np.pi * rng.random(shape, dtype=np.float32)).astype(np.complex64)


def noise_of(data: np.ndarray) -> np.ndarray:
    """Noise of a sample (baseline, corr), real or imaginary part, from neighbouring channels."""
    step = np.abs(data[:, :, 1::4] - data[:, :, ::4][:, :, : data[:, :, 1::4].shape[2]]) ** 2
    # a difference has twice the variance in each part; the median of an exponential is mean ln 2
    return np.sqrt(np.median(step, axis=(0, 2)) / np.log(2) / 4)


def lines(rng, n_channels: int) -> list[tuple[int, slice, float, int]]:
    """Channel, times, strength and kind of the lines of the whole band."""
    chosen = rng.choice(n_channels, 16, replace=False)
    steady = [
        (c, slice(None), s, 1) for c, s in zip(chosen[:8], np.geomspace(5.5, 30, 8), strict=True)
    ]
    starts, lengths = rng.integers(0, 17, 8), rng.integers(2, 8, 8)
    coming = [
        (c, slice(a, a + n), s, 2)
        for c, a, n, s in zip(chosen[8:], starts, lengths, np.geomspace(5.5, 20, 8), strict=True)
    ]
    weak = [(c, slice(None), 3.0, 1) for c in rng.choice(n_channels, 4)]
    return [(int(c), t, float(s), k) for c, t, s, k in [*steady, *coming, *weak]]


def truth_of(axes, first: int, noise: np.ndarray, own: np.ndarray, block: int) -> Truth:
    """Interference of one subband; the same whenever it is asked for.

    `own` (time, channel): what the simulator put in, over the noise.
    """
    n_time, n_base = axes.shape
    shape = (n_time, n_base, SUBBAND, 2)
    rng = np.random.default_rng([7, block])
    value = np.zeros(shape, np.complex64)
    strength, kind = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)

    def add(where, what, number) -> None:
        value[where] += what
        size = np.abs(what)
        stronger = size > strength[where]
        kind[where] = np.where(stronger, number, kind[where])
        strength[where] = np.maximum(strength[where], size)

    if 3 <= block < 12:  # fringes wash it out on long baselines
        length = np.sqrt((axes.uvw_m**2).sum(axis=-1)).mean(axis=0)
        freq = axes.freq_hz[first : first + SUBBAND]
        fringes = length[:, None] * np.radians(0.3) * freq / C_M_S * axes.integration_s
        peak = (1000 / np.sqrt(1 + (np.pi * fringes) ** 2)).astype(np.float32)
        size = (SATELLITE.stop - SATELLITE.start, n_base, SUBBAND, 2)
        add((SATELLITE,), peak[None, :, :, None] * phases(rng, size), 0)
    for channel, times, size, number in lines(np.random.default_rng(7), axes.freq_hz.size):
        if first <= channel < first + SUBBAND:
            count = len(range(*times.indices(n_time)))
            line = np.float32(size) * phases(rng, (count, n_base, 2))
            add((times, slice(None), channel - first), line, number)
    mine = np.flatnonzero((axes.ant1 == VICTIM) | (axes.ant2 == VICTIM))
    for times, channels in ((slice(15, 18), slice(0, 48)), (slice(2, 10), slice(20, 24))):
        size = (times.stop - times.start, mine.size, channels.stop - channels.start, 2)
        parts = rng.standard_normal((*size, 2), dtype=np.float32) * np.float32(6)
        add((times, mine, channels), parts.view(np.complex64)[..., 0], 3)
    add((slice(None), BASELINE, slice(30, 32)), 8 * phases(rng, (n_time, 2, 2)), 4)
    add((slice(11, 13), BASELINE), 7 * phases(rng, (2, SUBBAND, 2)), 4)
    added = value * noise[:, None, :].astype(np.float32)
    theirs = np.broadcast_to(own[:, None, :, None], shape)
    kind = np.where(theirs > strength, 5, kind)
    return Truth(added, np.maximum(strength, theirs.astype(np.float32)), kind)


def own_interference(manifest: Path, config: Path, n_channels: int) -> np.ndarray:
    """What the simulator put in (time, channel) over the noise, channels ascending."""
    group, _ = read_manifest(manifest)
    settings = read_config(yaml.safe_load(config.read_text()))
    flux = interference_jy(settings.simulate, group, n_channels).max(axis=-1)[:, ::-1]
    width = (group.freq_max_hz - group.freq_min_hz) / n_channels
    noise = settings.instrument.sefd_jy / np.sqrt(2 * width * group.integration_s)
    return flux / noise


def broken(axes) -> np.ndarray:
    """(baseline, corr) with a broken input."""
    bad = np.zeros((len(axes.antenna_names), 2), bool)
    bad[NOISY, 1] = bad[SWAPPED] = True
    return bad[axes.ant1] | bad[axes.ant2]


def break_inputs(rng, axes, data: np.ndarray, noise: np.ndarray) -> None:
    """One polarisation with three times the noise; one antenna with its cables exchanged."""
    for antenna, corr, factor in ((NOISY, 1, 3.0), (SWAPPED, 0, 1.0), (SWAPPED, 1, 1.0)):
        mine = np.flatnonzero((axes.ant1 == antenna) | (axes.ant2 == antenna))
        parts = rng.standard_normal((data.shape[0], mine.size, SUBBAND, 2), dtype=np.float32)
        random = parts.view(np.complex64)[..., 0] * noise[mine, None, corr]
        view = data[..., corr]
        if antenna == SWAPPED:
            view[:, mine] = np.where(view[:, mine] == 0, 0, random)
        else:
            view[:, mine] += random * np.float32(np.sqrt(factor**2 - 1))


def slices(table, name: str, axes, first: int) -> np.ndarray:
    """One subband of a column (time, baseline, channel, corr)."""
    values = table.getcolslice(name, [first, 0], [first + SUBBAND - 1, 1])
    return values.reshape(*axes.shape, SUBBAND, 2)


def prepare(manifest: Path, config: Path, work: Path) -> Path:
    """The MS with interference, unflagged but for what is invalid; keeps FLAG and noise beside."""
    ms = work / "group.ms"
    words = ["--manifest", manifest, "--ms", ms, "--record", work / "group.json"]
    words += ["--strategy", "none", "--usable-fail", "0", "--plot", work / "raw.png"]
    subprocess.run(["contimg", "convert", *map(str, words)], check=True, stderr=subprocess.DEVNULL)
    axes = read_axes(ms)
    own = own_interference(manifest, config, axes.freq_hz.size)
    noises = []
    with open_table(ms, writable=True) as table:
        for block, first in enumerate(range(0, axes.freq_hz.size, SUBBAND)):
            data, flags = slices(table, "DATA", axes, first), slices(table, "FLAG", axes, first)
            noise = noise_of(data)
            here = own[:, first : first + SUBBAND]
            break_inputs(np.random.default_rng([8, block]), axes, data, noise)
            data += np.where(flags, 0, truth_of(axes, first, noise, here, block).added)
            last = [first + SUBBAND - 1, 1]
            table.putcolslice("DATA", data.reshape(-1, SUBBAND, 2), [first, 0], last)
            noises.append(noise)
        np.save(work / "flags.npy", np.packbits(table.getcol("FLAG")))
    np.savez(work / "truth.npz", own=own, noise=np.array(noises))
    return ms


class Score:
    """Sums over the subbands."""

    def __init__(self) -> None:
        self.hit = np.zeros((len(KINDS), 2))
        self.clean, self.bad = np.zeros(2), np.zeros(2)

    def add(self, flags, before, truth: Truth, bad) -> None:
        """Count one subband; samples that were invalid from the start do not."""
        sound = ~before & ~bad[None, :, None]
        loud = (truth.strength >= 5) & sound
        for number in range(len(KINDS)):
            chosen = flags[loud & (truth.kind == number)]
            self.hit[number] += chosen.sum(), chosen.size
        chosen = flags[(truth.strength < 0.1) & sound]
        self.clean += chosen.sum(), chosen.size
        chosen = flags[~before & bad[None, :, None]]
        self.bad += chosen.sum(), chosen.size

    def result(self) -> dict:
        """Fractions."""
        return {
            "recall": self.hit[:, 0].sum() / self.hit[:, 1].sum(),
            **{k: h / max(n, 1) for k, (h, n) in zip(KINDS, self.hit, strict=True)},
            "broken inputs": self.bad[0] / self.bad[1],
            "false": self.clean[0] / self.clean[1],
        }


def cpu_s() -> float:
    """CPU seconds of this process and of programs it ran."""
    return sum(os.times()[:4])


def measure(strategy: str, work: Path) -> dict:
    """Flag the MS with one strategy; needs :func:`prepare`."""
    options = FlagOptions(strategy=strategy)
    stream, _ = split_steps(options)
    ms = work / "group.ms"
    axes = read_axes(ms)
    with np.load(work / "truth.npz") as saved:
        own, noises = saved["own"], saved["noise"]
    spent, score, bad = 0.0, Score(), broken(axes)
    with open_table(ms, writable=True) as table:
        shape = (table.nrows(), axes.freq_hz.size, 2)
        start = np.unpackbits(np.load(work / "flags.npy"), count=np.prod(shape)).reshape(shape)
        start = start.astype(bool)
        for first in range(0, axes.freq_hz.size, SUBBAND):
            data = slices(table, "DATA", axes, first)
            flags = start[:, first : first + SUBBAND].reshape(data.shape).copy()
            context = context_of(ms, axes, first, first + SUBBAND - 1)
            if first == 0:  # compile, or fetch from the cache, what the steps need
                run_steps(stream, data.copy(), flags.copy(), None, context, options)
            begin = time.process_time()
            run_steps(stream, data, flags, None, context, options)
            spent += time.process_time() - begin
            last = [first + SUBBAND - 1, 1]
            table.putcolslice("FLAG", flags.reshape(-1, SUBBAND, 2), [first, 0], last)
    begin = cpu_s()
    flag_measurement_set(ms, options)
    spent += cpu_s() - begin
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    memory = max(u.ru_maxrss for u in usage) / 1e6
    with open_table(ms) as table:
        for block, first in enumerate(range(0, axes.freq_hz.size, SUBBAND)):
            truth = truth_of(axes, first, noises[block], own[:, first : first + SUBBAND], block)
            before = start[:, first : first + SUBBAND].reshape(truth.kind.shape)
            score.add(slices(table, "FLAG", axes, first), before, truth, bad)
    draw(summarise(tally_of(ms)), work / f"{strategy}.png", f"strategy {strategy}")
    return {"strategy": strategy, **score.result(), "cpu_s": spent, "memory_gb": memory}


def show(rows: list[dict]) -> None:
    """Print the table (Markdown)."""
    columns = ["strategy", "recall", *KINDS, "broken inputs", "false", "cpu_s", "memory_gb"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        cells = [row["strategy"]]
        cells += [f"{row[name]:.3f}" for name in columns[1 : 3 + len(KINDS)]]
        cells += [f"{row['false']:.4f}", f"{row['cpu_s']:.1f}", f"{row['memory_gb']:.1f}"]
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    """Run all strategies, one process each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--strategies", nargs="*", default=STRATEGIES)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.work)))
        return
    if not (given.work / "truth.npz").exists():
        shutil.rmtree(given.work, ignore_errors=True)
        given.work.mkdir(parents=True)
        prepare(given.manifest, given.config, given.work)
    rows = []
    for strategy in given.strategies:
        words = [sys.executable, __file__, "--work", str(given.work), "--one", strategy]
        result = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(result.stdout.splitlines()[-1]))
        print(rows[-1], file=sys.stderr, flush=True)
    show(rows)


if __name__ == "__main__":
    main()
