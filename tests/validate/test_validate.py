"""contimg validate: good data pass, every defect is found and named, nothing makes it crash."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from casacore import tables
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.cli import main
from contimg.core.groups import read_manifest, write_manifest
from contimg.core.isolate import ReaderError, isolated
from contimg.core.records import Check
from contimg.core.tables.antennas import read_positions
from contimg.simulate import array
from contimg.validate.file import check_file
from contimg.validate.ms import check_ms
from contimg.validate.verdicts import Settings, Subject
from truth.observe import INSTRUMENT, PERFECT, converted, observe

SETTINGS = Settings(
    quick=False,
    n_times=None,
    telescope="OVRO_MMA",
    subbands=INSTRUMENT.subbands,
    band_hz=(1311.25e6, 1498.75e6),
    max_clock_offset_s=600,
    uvw_tolerance_m=0.5,
    min_usable=0.1,
    warn_usable=0.3,
    positions=None,
)
FLAGS = ["--subbands", "2", "--band-mhz", "1311.25", "1498.75"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A noisy group of the full header, its manifest and its MS."""
    directory = tmp_path_factory.mktemp("validate")
    noisy = PERFECT.model_copy(update={"noise": True})
    group, _, manifest = observe(directory, simulate=noisy)
    return directory, group, manifest, converted(directory, manifest)


@pytest.fixture
def raw(data, tmp_path) -> list[Path]:
    """A copy of the group's files that a test may spoil, sb00 (highest frequency) first."""
    copies = shutil.copytree(data[0] / "raw", tmp_path / "raw")
    return sorted(Path(copies).iterdir(), key=lambda p: p.name.split("_sb")[1])


@pytest.fixture
def ms(data, tmp_path) -> Path:
    return Path(shutil.copytree(data[3], tmp_path / "copy.ms"))


def found(subject: Subject) -> dict[str, Check]:
    """What did not pass."""
    return {c.metric: c for c in subject.checks if c.verdict != "pass"}


def spoilt(path: Path, change, **options) -> dict[str, Check]:
    with h5py.File(path, "r+") as file:
        change(file)
    return found(check_file(str(path), Settings(**{**SETTINGS.__dict__, **options})))


def validate(*words) -> int:
    return main(["validate", *map(str, words), *FLAGS])


def put(name, value):
    """Replace a dataset."""

    def change(file):
        del file[name]
        file[name] = value

    return change


def edit(name, function):
    """Change the values of a dataset in place."""

    def change(file):
        values = file[name][()]
        values = function(values) if function(values) is not None else values
        file[name][...] = values

    return change


# ---------------------------------------------------------------- good data


def test_good_data_pass(data, tmp_path, capsys):
    directory, _, manifest, ms = data
    record = tmp_path / "validation.json"
    assert validate("--manifest", manifest, "--ms", ms, "--record", record) == 0
    content = json.loads(record.read_text())
    assert content["verdict"] == "pass" and len(content["checks"]) > 100
    assert {d["kind"] for d in content["data"].values()} == {"file", "group", "ms"}
    assert "4 pass" in capsys.readouterr().out
    assert validate("--directory", directory / "raw") == 0


def test_values_are_those_of_the_file(raw):
    """Counts against a count of our own."""
    with h5py.File(raw[0], "r+") as file:
        values = file["Data/visdata"][()]
        cross = file["Header/ant_1_array"][()] != file["Header/ant_2_array"][()]
        rows = np.flatnonzero(cross)
        values[rows[:7], 0, 2, 0] = np.nan
        values[rows[:5], 0, 3, 1] = np.inf
        values[rows[:3], 0, 4, 0] = 1e20
        values[rows[:20], 0, 5] = 0
        file["Data/visdata"][...] = values
        n_cross = rows.size * values.shape[2] * 2
        level = np.median(np.abs(values[rows[50:]]))
    subject = check_file(str(raw[0]), SETTINGS)
    counted = subject.data["values"]
    assert counted["samples"] == n_cross
    assert [counted[k] for k in ("nan", "inf", "absurd", "zero")] == [7, 5, 3, 40]
    assert counted["usable"] == n_cross - 55
    assert counted["median_amplitude"] == pytest.approx(level, rel=0.05)
    assert set(found(subject)) == {"NaN", "infinite", "amplitude beyond 1e15"}
    assert subject.verdict == "warn"


# ---------------------------------------------------------------- defects of a file

DEFECTS = {
    "clock not set": (
        edit("Header/time_array", lambda t: t - t[0] + 2455000.5),
        "date",
        "MJD 55000",
    ),
    "clock off": (
        edit("Header/time_array", lambda t: t + 0.02),
        "time in the data against that in the name",
        "> 600 s",
    ),
    "times not an integration apart": (
        edit("Header/integration_time", lambda t: t * 0.97),
        "largest gap or overlap between integrations",
        "0.03",
    ),
    "irregular channels": (
        edit("Header/freq_array", lambda f: f + 4e5 * (np.arange(8) == 3)),
        "channel spacing against channel width",
        "",
    ),
    "another band": (
        edit("Header/freq_array", lambda f: f + 3e7),
        "place in the band",
        "none of the 2 subbands",
    ),
    "another longitude": (
        edit("Header/longitude", lambda d: d - 1.0),
        "sidereal times against times and longitude",
        "240",
    ),
    "uvw zero": (edit("Header/uvw_array", lambda u: u * 0), "uvw present", "all uvw are zero"),
    "uvw of the other sign": (edit("Header/uvw_array", lambda u: -u), "sense of uvw", "sign"),
    "uvw of another declination": (
        edit("Header/uvw_array", lambda u: u[:, [0, 2, 1]]),
        "largest uvw difference",
        "",
    ),
    "uvw beyond the Earth": (edit("Header/uvw_array", lambda u: u * 1e4), "longest baseline", ""),
    "no samples": (edit("Data/nsamples", lambda n: n * 0), "usable fraction", ""),
    "all flagged": (edit("Data/flags", lambda f: ~f), "flagged", "1 > 0.5"),
    "stuck correlator": (
        edit("Data/visdata", lambda v: np.tile(v[: len(v) // 6], (6, 1, 1, 1))),
        "integrations equal to the one before",
        "5 > 2",
    ),
    "one value": (edit("Data/visdata", lambda v: v * 0 + 3), "constant blocks", ""),
    "another telescope": (put("Header/telescope_name", b"VLA"), "telescope", "'VLA'"),
    "cross-correlations only": (
        put("Header/polarization_array", np.array([-7, -8])),
        "polarisations",
        "no pair",
    ),
    "fewer rows of data": (
        lambda f: put("Data/visdata", f["Data/visdata"][:-3])(f),
        "shape of visdata",
        "the header has",
    ),
    "real visibilities": (
        lambda f: put("Data/visdata", f["Data/visdata"][()].real)(f),
        "type of visdata",
        "not complex",
    ),
    "impossible pointing": (
        edit("Header/extra_keywords/phase_center_dec", lambda d: d + 3),
        "pointing declination",
        "impossible",
    ),
    "antenna not in the table": (
        edit("Header/ant_1_array", lambda a: np.where(a == a[0], 900, a)),
        "antennas of the rows",
        "900",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_is_found(raw, defect):
    change, metric, text = DEFECTS[defect]
    problems = spoilt(raw[0], change)
    assert metric in problems, problems
    reason = problems[metric].reason
    assert raw[0].name in reason and text in reason


def test_missing_keys_are_named(raw):
    def remove(file):
        del file["Header/uvw_array"], file["Header/Nbls"]

    assert "Nbls, uvw_array" in spoilt(raw[0], remove)["header keys"].reason


def test_short_file_and_missing_autos(raw):
    assert (
        "6 times, 24 expected"
        in spoilt(raw[0], lambda f: None, n_times=24)["number of times"].reason
    )
    with h5py.File(raw[1], "r+") as file:
        cross = file["Header/ant_1_array"][()] != file["Header/ant_2_array"][()]
        rows = ("ant_1_array", "ant_2_array", "time_array", "integration_time", "uvw_array")
        for name in (*rows, "lst_array"):
            put(f"Header/{name}", file[f"Header/{name}"][()][cross])(file)
        for name in ("visdata", "flags", "nsamples"):
            put(f"Data/{name}", file[f"Data/{name}"][()][cross])(file)
        file["Header/Nblts"][()] = int(cross.sum())
    assert list(found(check_file(str(raw[1]), SETTINGS))) == ["autocorrelations"]


def test_positions_against_a_reference(raw, tmp_path):
    """A moved antenna and a shifted array are told apart; prefixes of names do not matter."""
    here = [float(x.to_value("m")) for x in array.location().geocentric]
    itrf = array.itrf_offsets() + here
    reference = {f"pad {n + 1:03d}": row.copy() for n, row in enumerate(itrf)}

    def against(rows):
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["x_m", "y_m", "z_m"])
        table.rename_axis("name").to_csv(tmp_path / "p.csv")
        return Settings(**{**SETTINGS.__dict__, "positions": read_positions(tmp_path / "p.csv")})

    good = check_file(str(raw[0]), against(reference))
    assert not found(good)
    moved = {k: np.add(v, [0, 0, 20.0]) for k, v in reference.items()}
    moved["pad 001"] = np.add(moved["pad 001"], [0.3, 0, 0])
    problems = found(check_file(str(raw[0]), against(moved)))
    assert problems["shift of the whole array"].value == pytest.approx(20, abs=1e-6)
    assert problems["largest position difference"].value == pytest.approx(0.3, abs=1e-6)
    assert set(problems) == {"shift of the whole array", "largest position difference"}


def test_positions_table_of_the_command(raw, tmp_path, capsys):
    table = tmp_path / "positions.csv"
    place = "-2409150,-4478600,3838600"
    table.write_text(f"name,x_m,y_m,z_m\nDSA-001,{place}\n")
    assert validate("--files", raw[0], "--positions", table) == 1
    out = capsys.readouterr().out
    assert "are not in it" in out and "shift of the whole array" in out
    table.write_text(f"name,x_m,y_m,z_m\nDSA-001,{place}\nDSA-900,{place}\n")
    assert validate("--files", raw[0], "--positions", table) == 1
    assert "1 rows are no antenna of the file: DSA-900" in capsys.readouterr().out
    table.write_text("name,x_m\nDSA-001,1\n")
    assert validate("--files", raw[0], "--positions", table) == 1
    assert "lacks the columns y_m, z_m" in capsys.readouterr().err


def test_quick_reads_the_ends_only(raw):
    """The defect of the second integration is missed, that of the last one is not."""
    with h5py.File(raw[0], "r+") as file:
        rows = file["Data/visdata"].shape[0] // 6
        file["Data/visdata"][rows : 2 * rows] = np.nan
    quick = Settings(**{**SETTINGS.__dict__, "quick": True})
    assert "NaN" in found(check_file(str(raw[0]), SETTINGS))
    assert not found(check_file(str(raw[0]), quick))
    with h5py.File(raw[0], "r+") as file:
        file["Data/visdata"][-5:] = np.nan
    assert "NaN" in found(check_file(str(raw[0]), quick))


# ---------------------------------------------------------------- groups


def test_missing_and_double_subbands(raw, capsys):
    extra = raw[0].with_name(raw[0].name.replace("_sb00", "_sb07"))
    shutil.copy(raw[0], extra)
    assert validate("--files", raw[0], extra) == 1
    out = capsys.readouterr().out
    assert "duplicate subbands" in out and "1 of 2 subbands: 1311.25-1405.00 MHz" in out
    extra.unlink()
    other = raw[1].rename(raw[1].with_name("2025-10-05T15:00:00_sb01.hdf5"))
    assert validate("--directory", raw[0].parent, "--max-clock-offset-s", 9000) == 0  # by the data
    with h5py.File(other, "r+") as file:
        file["Header/time_array"][...] += 3 / 86400
    assert validate("--directory", raw[0].parent, "--max-clock-offset-s", 9000) == 1
    assert "times of the subbands" in capsys.readouterr().out


def test_fewer_subbands_may_be_enough(raw, data, tmp_path, capsys):
    """Of a manifest, the group is known: one lost file of two is a warning or a failure."""
    group, files = read_manifest(data[2])
    manifest = tmp_path / "manifest.json"
    write_manifest(manifest, group, files[:1])
    assert validate("--manifest", manifest, "--min-subbands", 1) == 0
    assert "WARN  group" in capsys.readouterr().out
    assert validate("--manifest", manifest) == 1


def test_quiet_subband_and_other_antennas(raw, capsys):
    with h5py.File(raw[1], "r+") as file:
        file["Data/visdata"][...] *= 0.01
        file["Header/antenna_positions"][3] += 1
    assert validate("--files", *raw) == 1
    out = capsys.readouterr().out
    assert "levels of the subbands" in out and "antenna positions equal" in out


def test_window_of_a_directory(raw, capsys):
    later = raw[0].with_name("2025-10-07T15:00:00_sb00.hdf5")
    later.write_bytes(b"nothing")
    folder = raw[0].parent
    assert validate("--directory", folder, "--until", "2025-10-06") == 0
    assert validate("--directory", folder, "--since", "2025-10-06") == 1
    assert later.name in capsys.readouterr().out
    assert validate("--directory", folder, "--since", "2026-10-06") == 1
    assert "none of 3 files" in capsys.readouterr().err


def test_calibrator_in_the_group(raw, data, tmp_path, capsys):
    """The simulated group is centred on the apparent transit of 0834+555, 0.1 deg off."""
    words = ["--files", *raw, "--calibrator", "0834+555", "--verbose"]
    assert validate(*words) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "0834+555" in line]
    transit, dec, pb = (next(x for x in lines if word in x) for word in ("transit", "decl", "beam"))
    assert abs(float(transit.split("0834+555")[1].split()[0])) < 0.2
    offset = PERFECT.pointing_offset_deg
    assert float(dec.split("0834+555")[1].split()[0]) == pytest.approx(offset, abs=1e-3)
    assert float(pb.split("0834+555")[1].split()[0]) > 0.99
    assert validate(*words, "--dec-tolerance-deg", 0.05) == 1
    assert validate(*words, "--min-pb", 0.9999) == 1
    capsys.readouterr()
    # 2.2 min earlier by its J2000 coordinates; another one is hours away
    assert validate("--files", *raw, "--calibrator", "3C147") == 1
    assert "nearest transit is" in capsys.readouterr().out
    assert validate("--files", *raw, "--calibrator", "3C999") == 1
    assert "no calibrator named 3C999" in capsys.readouterr().err


def test_single_file_is_no_group(raw, capsys):
    assert validate("--files", raw[0]) == 0
    assert "group" not in capsys.readouterr().out
    assert validate() == 1
    assert "nothing to check" in capsys.readouterr().err


# ---------------------------------------------------------------- Measurement Sets


def change(name, function):
    """Change a column of a subtable (``SUB/COLUMN``) or of the main table (``COLUMN``)."""

    def spoil(ms):
        where, column = (ms / name).parent, name.split("/")[-1]
        with tables.table(str(where), readonly=False, ack=False) as table:
            table.putcol(column, function(table.getcol(column)))

    return spoil


def double(name):
    def spoil(ms):
        with tables.table(f"{ms}/{name}", readonly=False, ack=False) as table:
            table.copyrows(table)

    return spoil


def of_lines(values):
    values[...] = np.nan
    return values


MS_DEFECTS = {
    "two fields": (double("FIELD"), "one field", "2 fields"),
    "two windows": (double("SPECTRAL_WINDOW"), "one spectral window", "2 spectral"),
    "no field": (lambda ms: shutil.rmtree(ms / "FIELD"), "subtables", "FIELD"),
    "descending": (
        change("SPECTRAL_WINDOW/CHAN_FREQ", lambda f: f[:, ::-1].copy()),
        "channels ascend",
        "",
    ),
    "width": (change("SPECTRAL_WINDOW/CHAN_WIDTH", lambda w: w * 2), "CHAN_WIDTH", "spacing"),
    "resolution": (change("SPECTRAL_WINDOW/RESOLUTION", lambda w: w * 0), "RESOLUTION", ""),
    "phase centre": (change("FIELD/PHASE_DIR", of_lines), "phase centre", "nan"),
    "moved phase centre": (
        change("FIELD/PHASE_DIR", lambda d: d + np.radians([0, 0.3])),
        "largest uvw difference",
        "",
    ),
    "uvw of the other sign": (change("UVW", lambda u: -u), "sense of uvw", "opposite sign"),
    "time range": (change("OBSERVATION/TIME_RANGE", lambda t: t * 0), "TIME_RANGE", "MJD"),
    "numbers for names": (
        change("ANTENNA/NAME", lambda n: [x.removeprefix("DSA-") for x in n]),
        "antenna names are no numbers",
        "row numbers",
    ),
    "weights": (change("WEIGHT", lambda w: w * 0), "weights", "no weight"),
    "NaN not flagged": (change("DATA", of_lines), "usable fraction", "0 <"),
    "some zeros not flagged": (
        change("DATA", lambda d: d * (np.arange(d.shape[1]) != 3)[None, :, None]),
        "zero or not finite, and not flagged",
        "",
    ),
    "pointing of another day": (
        change("POINTING/TIME", lambda t: t + 86400),
        "POINTING covers the data",
        "",
    ),
    "rows out of order": (
        change("ANTENNA1", lambda a: a + (np.arange(a.size) == 0)),
        "rows are times by baselines",
        "",
    ),
    "truncated data": (
        lambda ms: os.truncate(next(ms.glob("table.f*_TSM*")), 100),
        "data",
        "",
    ),
    "no main table": (lambda ms: (ms / "table.dat").unlink(), "readable", "not a readable table"),
}


@pytest.mark.parametrize("defect", MS_DEFECTS)
def test_defect_of_an_ms_is_found(ms, defect):
    spoil, metric, text = MS_DEFECTS[defect]
    spoil(ms)
    problems = found(isolated(check_ms, str(ms), SETTINGS, timeout_s=60))
    assert metric in problems, problems
    assert ms.name in problems[metric].reason and text in problems[metric].reason


def test_flags_hide_bad_values(ms):
    """Bad values under flags are no defect; the flagged fraction says what is lost."""
    with tables.table(str(ms), readonly=False, ack=False) as table:
        values, flags = table.getcol("DATA"), table.getcol("FLAG")
        values[:, :3], flags[:, :3] = np.nan, True
        table.putcol("DATA", values)
        table.putcol("FLAG", flags)
    subject = check_ms(str(ms), SETTINGS)
    assert set(found(subject)) == {"NaN"} and subject.verdict == "warn"
    assert subject.data["values"]["flagged"] / subject.data["values"]["samples"] == 3 / 16


def test_placeholder_of_a_failed_job(tmp_path, capsys):
    failed = tmp_path / "bad.ms"
    failed.mkdir()
    (failed / "FAILED.txt").write_text("all flagged\n")
    assert validate("--ms", failed, tmp_path / "none.ms") == 1
    out = capsys.readouterr().out
    assert "placeholder of a failed job: all flagged" in out and "no such directory" in out


# ---------------------------------------------------------------- what would crash


def test_reader_that_dies_or_hangs():
    with pytest.raises(ReaderError, match="SIGSEGV"):
        isolated(_die, timeout_s=20)
    with pytest.raises(ReaderError, match="no answer from the reader"):
        isolated(time.sleep, 60, timeout_s=0.2)
    with pytest.raises(ReaderError, match="ZeroDivisionError"):
        isolated(divmod, 1, 0, timeout_s=20)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.fixture(scope="module")
def small_file(data) -> bytes:
    return sorted((data[0] / "raw").iterdir())[0].read_bytes()


def verdict_of(content: bytes, folder: Path) -> Subject:
    """As the command does it: a verdict whatever the file holds."""
    path = folder / "2025-10-05T15:29:14_sb00.hdf5"
    path.write_bytes(content)
    try:
        return isolated(check_file, str(path), SETTINGS, timeout_s=60)
    except ReaderError as error:
        subject = Subject(path.name, "file", str(path))
        subject.hold("readable", False, str(error))
        return subject


@pytest.mark.parametrize("kept", [0, 1, 100, 2048, 0.3, 0.9, 0.9999])
def test_truncated_files_fail(small_file, tmp_path, kept):
    length = int(kept * len(small_file)) if isinstance(kept, float) else kept
    subject = verdict_of(small_file[:length], tmp_path)
    assert subject.verdict == "fail" and found(subject)["readable"].reason


@settings(max_examples=40, deadline=None)
@given(
    start=st.one_of(st.integers(0, 20000), st.integers(0, 10**7)),
    size=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_overwritten_bytes_never_crash(small_file, tmp_path_factory, start, size, seed):
    content = bytearray(small_file)
    start %= len(content)
    noise = np.random.default_rng(seed).bytes(min(size, len(content) - start))
    content[start : start + len(noise)] = noise
    subject = verdict_of(bytes(content), tmp_path_factory.mktemp("fuzz"))
    assert subject.verdict in {"pass", "warn", "fail"} and subject.checks


@pytest.mark.parametrize("part", ["", "ANTENNA", "FIELD", "SPECTRAL_WINDOW", "POINTING"])
def test_spoilt_tables_never_crash(ms, part):
    """Every file of a table cut in two or overwritten, one after the other."""
    for file in sorted((ms / part).glob("table.*")):
        content = file.read_bytes()
        noise = np.random.default_rng(len(content)).bytes(min(200, len(content)))
        for spoilt_content in (content[: len(content) // 2], noise + content[len(noise) :]):
            file.write_bytes(spoilt_content)
            try:
                checks = isolated(check_ms, str(ms), SETTINGS, timeout_s=60).checks
            except ReaderError as error:
                checks = [str(error)]
            assert checks
        file.write_bytes(content)
    assert not found(check_ms(str(ms), SETTINGS))


KEYS = ["Header", "Data", "Data/visdata", "Data/flags", "Header/extra_keywords"]
KEYS += [f"Header/{k}" for k in ("time_array", "freq_array", "ant_1_array", "antenna_names")]
KEYS += [f"Header/{k}" for k in ("channel_width", "integration_time", "latitude", "Nblts")]
KEYS += ["Header/antenna_positions", "Header/polarization_array", "Header/telescope_name"]
VALUES = {
    "gone": None,
    "text": b"text",
    "empty": np.zeros(0),
    "scalar": 300,
    "NaN": np.full(4, np.nan),
    "cube": np.zeros((2, 2, 2)),
    "strings": np.array([b"a", b"b"]),
}


@pytest.mark.parametrize("key", KEYS)
def test_wrong_keys_always_give_a_failed_check(small_file, tmp_path, key):
    path = tmp_path / "2025-10-05T15:29:14_sb00.hdf5"
    for value in VALUES.values():
        path.write_bytes(small_file)
        with h5py.File(path, "r+") as file:
            del file[key]
            if value is not None:
                file[key] = value
        subject = check_file(str(path), SETTINGS)
        assert found(subject), f"{key} = {value!r} was not noticed"


def test_the_command_survives_and_says_fail(small_file, tmp_path, capsys):
    path = tmp_path / "2025-10-05T15:29:14_sb00.hdf5"
    path.write_bytes(small_file[: len(small_file) // 2])
    record = tmp_path / "validation.json"
    words = ("--files", path, tmp_path / "none.hdf5", "--record", record, "--calibrator", "3C48")
    assert validate(*words) == 1
    captured = capsys.readouterr()
    assert "truncated" in captured.out and "none.hdf5" in captured.out
    assert "Traceback" not in captured.err + captured.out
    content = json.loads(record.read_text())
    assert content["verdict"] == "fail" and path.name in content["reason"]


def test_more_subbands_than_there_are_is_said_so(raw, capsys):
    """Not as a number of missing ones below zero."""
    assert main(["validate", "--directory", str(raw[0].parent), "--subbands", "1"]) == 1
    said = capsys.readouterr().out
    assert "subbands more than there are" in said and "instrument.subbands is 1" in said
    assert not [line for line in said.splitlines() if "missing subbands" in line and "-1" in line]
