"""Faults of one of five UVH5 files of a group, and what becomes of the Measurement Set.

An outcome is ``identical`` (the Measurement Set is that of the whole files), ``detected`` (what is
not flagged is as it was, and the record names the file or counts the samples), ``within errors``
(single samples differ: less than one in a thousand, the mean by less than its error), or one of the
bad ones: ``wrong``, ``traceback``, ``hang``.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from contimg.convert.command import ConvertFiles, run
from contimg.convert.options import ConvertOptions
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.groups import read_manifest, write_manifest
from contimg.core.instrument import InstrumentOptions
from contimg.core.isolate import ReaderError, isolated
from contimg.core.ms import open_table
from contimg.core.records import read_record
from contimg.flag.options import FlagOptions
from contimg.simulate.command import simulate_group
from contimg.simulate.schedule import schedule
from truth.observe import CORRUPTED, sky_of

SUBBANDS = 5
# channels of 0.73 MHz; lag and delays turn phases as the telescope's do
INSTRUMENT = InstrumentOptions(subbands=SUBBANDS, band_mhz=(1311.25, 1369.85))
SIMULATE = CORRUPTED.model_copy(
    update={"antenna_step": 5, "n_times": 8, "integration_s": 12.9, "delay_rms_ns": 30.0}
)
INVALID = FlagOptions(steps=["invalid"])  # what is odd is to be seen without flagging, but for
FLAGGED = {"interference"}  # these, which are there to be flagged
_SECONDS = 120.0
Change = Callable[[Path, np.random.Generator], None]


def make_group(folder: Path) -> Path:
    """A group of five subbands: three sources, 4 Jy in all, noise, gains, delays."""
    group = schedule(SIMULATE, INSTRUMENT)[0]
    places = ((0.4, -0.3, 2.0), (-0.2, 0.5, 1.2), (0.1, 0.1, 0.8))
    sky = pd.concat([sky_of(group, *place) for place in places], ignore_index=True)
    sky["name"] = list("ABC")
    (folder / "raw").mkdir(parents=True)
    entries = simulate_group(folder / "raw", group, sky, INSTRUMENT, SIMULATE)
    write_manifest(folder / "manifest.json", group, entries)
    return folder


def copied(group: Path, folder: Path) -> list[dict[str, Any]]:
    """A copy of the raw files with a manifest of its own; its entries."""
    shutil.copytree(group / "raw", folder / "raw")
    head, entries = read_manifest(group / "manifest.json")
    entries = [e | {"path": str(folder / "raw" / Path(e["path"]).name)} for e in entries]
    write_manifest(folder / "manifest.json", head, entries)
    return entries


def convert(folder: Path, flag: FlagOptions = INVALID, **options: Any) -> dict[str, Any]:
    """Convert what lies in `folder`; the record."""
    files = ConvertFiles(
        manifest=folder / "manifest.json", ms=folder / "t.ms", record=folder / "t.json"
    )
    run(files, INSTRUMENT, ConvertOptions(**options), flag)
    return read_record(files.record)


@dataclass(frozen=True)
class Content:
    """What a Measurement Set holds."""

    data: np.ndarray  # (row, channel, corr)
    flags: np.ndarray
    weight: np.ndarray  # (row, corr)
    rest: dict[str, Any]  # times, uvw, frequencies, places

    def same_place(self, other: Content) -> bool:
        """Whether rows, times, frequencies and positions are the same."""
        return all(np.array_equal(self.rest[key], other.rest[key]) for key in self.rest)


def content(ms: Path) -> Content:
    """Read a Measurement Set whole."""
    with open_table(ms) as table:
        data, flags, weight = (table.getcol(c) for c in ("DATA", "FLAG", "WEIGHT"))
        rest = {c: table.getcol(c) for c in ("TIME", "UVW", "ANTENNA1", "ANTENNA2", "EXPOSURE")}
    for name, column in (("FIELD", "PHASE_DIR"), ("ANTENNA", "POSITION"), ("ANTENNA", "NAME")):
        with open_table(f"{ms}/{name}") as table:
            rest[f"{name}.{column}"] = table.getcol(column)
    with open_table(f"{ms}/SPECTRAL_WINDOW") as table:
        rest["freq"] = table.getcell("CHAN_FREQ", 0)
    return Content(data, flags, weight, rest)


def outcome(group: Path, clean: Content, folder: Path, kind: str, seed: int) -> str:
    """What becomes of the group when one of its files is changed; `clean` is that of `flag_for`."""
    rng = np.random.default_rng(seed)
    entries = copied(group, folder)
    victim = Path(entries[int(rng.integers(len(entries)))]["path"])
    KINDS[kind](victim, rng)
    try:
        said, found = isolated(converted, folder, flag_for(kind), timeout_s=_SECONDS)
    except ReaderError as error:
        text = str(error)
        return "hang" if "no answer" in text else f"traceback: {text}"
    if found is None:
        return "detected" if str(folder) in said else f"traceback: without a name: {said}"
    return judge(clean, found, said, victim.name)


def flag_for(kind: str) -> FlagOptions:
    """How a group with a fault of this kind is flagged."""
    return FlagOptions() if kind in FLAGGED else INVALID


def converted(folder: Path, flag: FlagOptions) -> tuple[Any, Content | None]:
    """Record and Measurement Set of what lies in `folder`; what was said when there is none."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            record = convert(folder, flag)
    except (DataQualityError, ContimgError) as error:
        return str(error), None
    except Exception as error:  # noqa: BLE001  (what must not be is what is counted here)
        raise RuntimeError("".join(traceback.format_exception(error))[-1500:]) from None
    return record, content(folder / "t.ms")


def judge(clean: Content, found: Content, record: dict[str, Any], victim: str) -> str:
    """The outcome of a conversion that came to an end."""
    if record["verdict"] == "fail":
        return "detected"
    if not found.same_place(clean):
        return "wrong"
    both = ~clean.flags & ~found.flags
    differ = both & (clean.data != found.data)
    if not differ.any():
        same = np.array_equal(clean.flags, found.flags) and np.allclose(clean.weight, found.weight)
        named = victim in str(record["data"]["broken_subbands"])
        counted = record["data"]["empty_subbands"] or any(
            record["data"]["invalid_samples"].values()
        )
        noticed = named or counted or record["data"]["flagged_by_step"].get("in the file")
        noticed = noticed or found.flags.sum() > clean.flags.sum()  # by a step
        return "identical" if same else "detected" if noticed else "wrong"
    noise = np.std((clean.data[both]).real)
    few = differ.sum() < 1e-3 * both.sum()
    shift = abs((found.data - clean.data)[both].mean())
    return "within errors" if few and shift < noise / np.sqrt(both.sum()) else "wrong"


def dataset(name: str, function: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Change:
    """A change of the values of one dataset."""

    def change(file: Path, rng: np.random.Generator) -> None:
        with h5py.File(file, "r+") as uvh5:
            uvh5[name][()] = function(uvh5[name][()], rng)

    return change


def flip(file: Path, rng: np.random.Generator, start: float = 0.0) -> None:
    """One bit, after the part `start` of the file."""
    with file.open("r+b") as stream:
        size = file.stat().st_size
        at = int(rng.integers(int(start * size), size))
        stream.seek(at)
        byte = stream.read(1)[0] ^ (1 << int(rng.integers(8)))
        stream.seek(at)
        stream.write(bytes([byte]))


def head_flip(file: Path, rng: np.random.Generator) -> None:
    """One bit of a value of the header."""
    with h5py.File(file, "r+") as uvh5:
        names = [n for n, d in uvh5["Header"].items() if isinstance(d, h5py.Dataset)]
        name = names[int(rng.integers(len(names)))]
        value = np.atleast_1d(uvh5["Header"][name][()])
        if value.dtype.kind not in "if":
            return
        raw = bytearray(value.tobytes())
        raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
        changed = np.frombuffer(bytes(raw), value.dtype).reshape(value.shape)
        uvh5["Header"][name][()] = changed.reshape(uvh5["Header"][name].shape)


def block(fill: Callable[[np.random.Generator, int], bytes]) -> Change:
    """A block of up to 64 kB is another one."""

    def change(file: Path, rng: np.random.Generator) -> None:
        size = int(rng.integers(512, 65536))
        with file.open("r+b") as stream:
            stream.seek(int(rng.integers(max(1, file.stat().st_size - size))))
            stream.write(fill(rng, size))

    return change


def cut(file: Path, rng: np.random.Generator) -> None:
    """The file ends somewhere."""
    with file.open("r+b") as stream:
        stream.truncate(int(rng.integers(file.stat().st_size)))


def some(value: complex) -> Change:
    """A number of samples are of one value."""

    def change(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        at = rng.random(values.shape) < 10 ** rng.uniform(-4, -0.5)
        values[at] = value
        return values

    return dataset("Data/visdata", change)


def rolled(rows: int | None) -> Change:
    """Data by some rows, or by one integration, late."""

    def change(file: Path, rng: np.random.Generator) -> None:
        with h5py.File(file, "r+") as uvh5:
            times = uvh5["Header/time_array"][()]
            shift = rows or int(np.count_nonzero(times == times[0]))
            uvh5["Data/visdata"][()] = np.roll(uvh5["Data/visdata"][()], shift, axis=0)

    return change


def of_antenna(factor: float) -> Change:
    """All data of one antenna times a factor; its autocorrelation too."""

    def change(file: Path, rng: np.random.Generator) -> None:
        with h5py.File(file, "r+") as uvh5:
            first, second = (uvh5[f"Header/ant_{n}_array"][()] for n in (1, 2))
            antenna = rng.choice(np.unique(first))
            values = uvh5["Data/visdata"][()]
            values[(first == antenna) | (second == antenna)] *= factor
            values[(first == antenna) & (second == antenna)] *= factor
            uvh5["Data/visdata"][()] = values

    return change


def interference(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A transmitter in a channel, all the time or half of it, up to 1000 times the data."""
    channel, late = int(rng.integers(values.shape[-2])), int(rng.integers(2)) * len(values) // 2
    strength = 10 ** rng.uniform(1, 3) * np.std(values)
    values[late:, ..., channel, :] += strength * np.exp(2j * np.pi * rng.random())
    return values


def jumped(file: Path, rng: np.random.Generator) -> None:
    """The clock jumps in the middle of the file."""
    with h5py.File(file, "r+") as uvh5:
        times = uvh5["Header/time_array"][()]
        late = np.unique(times)[int(rng.integers(1, 7)) :]
        times[np.isin(times, late)] += rng.choice([-1, 1]) * rng.uniform(2, 100) / 86400
        uvh5["Header/time_array"][()] = times


def repeated(file: Path, rng: np.random.Generator) -> None:
    """From some integration on the data are those of the one before: the correlator stood still."""
    with h5py.File(file, "r+") as uvh5:
        times = uvh5["Header/time_array"][()]
        rows, values = int(np.count_nonzero(times == times[0])), uvh5["Data/visdata"][()]
        at = int(rng.integers(1, 7))
        values[at * rows :] = np.tile(values[(at - 1) * rows : at * rows], (8 - at, 1, 1, 1))
        uvh5["Data/visdata"][()] = values


def of_neighbour(header: bool) -> Change:
    """The file, or its data alone, are those of another subband."""

    def change(file: Path, rng: np.random.Generator) -> None:
        other = rng.choice([p for p in sorted(file.parent.glob("*.hdf5")) if p != file])
        if header:
            shutil.copy(other, file)
            return
        with h5py.File(other) as source, h5py.File(file, "r+") as uvh5:
            uvh5["Data/visdata"][()] = source["Data/visdata"][()]

    return change


def exchanged(one: str, two: str) -> Change:
    """Two datasets of one shape in each other's place."""

    def change(file: Path, rng: np.random.Generator) -> None:
        with h5py.File(file, "r+") as uvh5:
            uvh5.move(one, "Header/apart")
            uvh5.move(two, one)
            uvh5.move("Header/apart", two)

    return change


def lost(file: Path, rng: np.random.Generator) -> None:
    """A dataset is gone."""
    with h5py.File(file, "r+") as uvh5:
        names = [f"{g}/{n}" for g in ("Header", "Data") for n in uvh5[g]]
        del uvh5[names[int(rng.integers(len(names)))]]


KINDS: dict[str, Change] = {
    "a bit anywhere": flip,
    "a bit of the header": head_flip,
    "a block of zeros": block(lambda rng, size: bytes(size)),
    "a block of noise": block(lambda rng, size: rng.bytes(size)),
    "cut short": cut,
    "samples NaN": some(complex(np.nan)),
    "samples 1e30": some(1e30),
    "samples 1e37": some(1e37),
    "samples zero": some(0),
    "conjugated": dataset("Data/visdata", lambda v, _: v.conj()),
    "channels reversed": dataset("Data/visdata", lambda v, _: np.flip(v, axis=-2)),
    "rows late by one": rolled(1),
    "rows late by an integration": rolled(None),
    "ten times too strong": dataset("Data/visdata", lambda v, _: 10 * v),
    "frequencies reversed": dataset("Header/freq_array", lambda v, _: v[..., ::-1]),
    "frequencies rolled": dataset("Header/freq_array", lambda v, _: np.roll(v, 1)),
    "antennas permuted": dataset("Header/antenna_numbers", lambda v, rng: rng.permutation(v)),
    "rows' antennas permuted": dataset("Header/ant_1_array", lambda v, rng: rng.permutation(v)),
    "latitude": dataset("Header/latitude", lambda v, rng: v + rng.choice([-1, 1])),
    "altitude": dataset("Header/altitude", lambda v, rng: v + rng.choice([-1000, 1000])),
    "clock": dataset("Header/time_array", lambda v, rng: v + rng.uniform(2, 500) / 86400),
    "integration time": dataset("Header/integration_time", lambda v, rng: v * rng.uniform(1.2, 5)),
    "samples of 1e10": dataset("Data/nsamples", lambda v, _: v * 0 + 1e10),
    "no samples": dataset("Data/nsamples", lambda v, rng: v * rng.choice([0, -1])),
    "all flagged": dataset("Data/flags", lambda v, _: np.ones_like(v)),
    "correlations swapped": dataset("Data/visdata", lambda v, _: v[..., ::-1]),
    "correlations renamed": dataset("Header/polarization_array", lambda v, _: v[::-1]),
    "declination": dataset(
        "Header/phase_center_app_dec", lambda v, rng: v + rng.choice([-1, 1]) * rng.uniform(0.01, 1)
    ),
    "clock jumps": jumped,
    "data stand still": repeated,
    "dead antenna": of_antenna(0.0),
    "hot antenna": of_antenna(30.0),
    "interference": dataset("Data/visdata", interference),
    "another subband's file": of_neighbour(header=True),
    "another subband's data": of_neighbour(header=False),
    "antennas of rows exchanged": exchanged("Header/ant_1_array", "Header/ant_2_array"),
    "times and integrations exchanged": exchanged("Header/time_array", "Header/integration_time"),
    "dataset lost": lost,
}
