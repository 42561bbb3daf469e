"""Looking at calsets: what was put into a table is what is found in it, by every verb."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from contimg.calibrate import solve
from contimg.calibrate.options import CalibrateOptions
from contimg.calset import judge
from contimg.calset.change import change, common_reference
from contimg.calset.delays import in_visibilities
from contimg.calset.draw_delays import core_of, east_north_m
from contimg.calset.gains import fit_delays
from contimg.calset.measure import delays_ns, measure
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.read import read_calset
from contimg.cli import main
from contimg.convert.command import ConvertFiles
from contimg.convert.command import run as convert
from contimg.convert.options import ConvertOptions
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import open_table
from contimg.core.paths import path
from contimg.core.records import read_record, worst, write_record, write_text
from contimg.core.seals import seal
from contimg.flag.options import FlagOptions
from contimg.simulate import array
from truth.observe import INSTRUMENT, PERFECT, observe

GROUP = "20251005T080000"
CALSET, OTHER = f"{GROUP}_CAL", f"{GROUP}_CAL2"  # the second with another reference antenna
SUBBANDS = 2
LIMITS = CalsetValidationOptions()
CORRUPTED = PERFECT.model_copy(
    update={
        "noise": True,
        "gain_rms": 0.15,
        "gain_phases": True,
        "delay_rms_ns": 8.0,
        "bandpass_rms": 0.1,
        "raw_scale": 0.01,
        "dead_antennas": [9],
    }
)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Results of one observation solved twice, with different reference antennas, and a plan."""
    root = tmp_path_factory.mktemp("calset") / "results"
    root.mkdir()
    _, sky, manifest = observe(
        root.parent, east_deg=0.1, north_deg=-0.2, flux_jy=8.8, simulate=CORRUPTED
    )
    calibrators = root.parent / "calibrators.csv"
    sky.assign(name="CAL").to_csv(calibrators, index=False)
    converted = ConvertFiles(
        manifest=manifest,
        calibrator="CAL",
        calibrators=calibrators,
        ms=root.parent / "cal.ms",
        record=root.parent / "cal.json",
    )
    convert(converted, INSTRUMENT, ConvertOptions(), FlagOptions(steps=[]))
    for name, refant, short in ((CALSET, "45", "100s"), (OTHER, "84", "")):
        tables = {
            flag: Path(path("caltable", str(root), calset=name, table=kind))
            for flag, kind in (("k", "K"), ("b", "B"), ("g", "G"), ("g2", "2G"))
            if kind != "2G" or short
        }
        record = Path(path("solutions", str(root), calset=name))
        record.parent.mkdir(parents=True, exist_ok=True)
        files = solve.SolveFiles(
            ms=converted.ms,
            ms_record=converted.record,
            calibrator="CAL",
            calibrators=calibrators,
            plot=record.with_suffix(".png"),
            record=record,
            **tables,
        )
        options = CalibrateOptions(refant=[refant], short_solint=short, prebandpass=bool(short))
        solve.run(files, INSTRUMENT, options)
    plan = {
        "groups": {GROUP: {}},
        "calsets": {n: {"group": GROUP, "calibrator": n.split("_")[1]} for n in (CALSET, OTHER)},
        "tiles": {GROUP: {"calsets": [CALSET, OTHER]}, "20251005T080509": {"calsets": [CALSET]}},
    }
    write_text(path("plan", str(root), plan="0123456789"), json.dumps(plan))
    served = Path(path("calibrated_record", str(root), group=GROUP))
    served.parent.mkdir(parents=True)
    write_record(served, product=GROUP, stage="apply", data={"calsets": [OTHER, CALSET]})
    return root


def solutions(results: Path, name: str = CALSET) -> Path:
    return Path(path("solutions", str(results), calset=name))


def copied(results: Path, target: Path, name: str = CALSET, days: float = 0.0) -> Path:
    """A copy of the first calset under another name, `days` later; its record."""
    old = solutions(results).parent
    new = Path(path("solutions", str(target), calset=name)).parent
    shutil.copytree(old, new)
    record = json.loads((new / "solutions.json").read_text())
    record["product"] = name
    record["data"]["mjd"] += days
    for kind, file in record["data"]["tables"].items():
        record["data"]["tables"][kind] = file.replace(CALSET, name)
        if name != CALSET:
            (new / file).rename(new / file.replace(CALSET, name))
    (new / "solutions.json").write_text(json.dumps(record))
    return new / "solutions.json"


def edit(record: Path, kind: str, column: str, how) -> None:
    """Put how(values, antenna of each row) into a column of a table beside a record."""
    table = record.parent / json.loads(record.read_text())["data"]["tables"][kind]
    with open_table(table, writable=True) as content:
        values, antenna = content.getcol(column), content.getcol("ANTENNA1")
        content.putcol(column, how(values, antenna))


def judged(record: Path):
    calset = read_calset(record)
    seen = measure(calset, SUBBANDS)
    remarks = judge.remark(calset, seen, LIMITS)
    return judge.judge(calset, seen, remarks, LIMITS), remarks, seen


def test_a_good_set_passes(results):
    for name in (CALSET, OTHER):
        checks, remarks, seen = judged(solutions(results, name))
        # there is no catalogue to hold against the sky, and nothing else to say
        (left,) = [c for c in checks if c.verdict != "pass"]
        assert left.verdict == "warn" and left.metric.startswith("verdict of the solution")
        assert all("not checked" in reason for reason in left.reason.split("; "))
        assert remarks == {} and seen.solved.sum() == len(seen.antennas) - 1
        assert seen.subbands_solved().tolist() == [True, True]
    calset = read_calset(solutions(results))
    dead = calset.antennas.index("DSA-9")
    assert calset.why_flagged(dead) == "no unflagged data"
    assert np.isfinite(judged(solutions(results))[2].amplitude_drift).sum() == 2 * 12


def most_flagged(flags, antenna):
    flags[antenna > 2] = True
    return flags


def late(values, antenna):
    """Phases of an 8 ns delay over the band of the simulated instrument, all but one antenna."""
    freq = np.linspace(-93.75e6, 93.75e6, values.shape[1])
    turned = values * np.exp(2e-9j * np.pi * 8 * freq)[:, None]
    return np.where((antenna == antenna.max())[:, None, None], values, turned)


def one_subband(flags, _):
    flags[:, : flags.shape[1] // 2] = True
    return flags


def jittered(values, _):
    rng = np.random.default_rng(1)
    return values * (1 + 0.5 * rng.standard_normal(values.shape))


@pytest.mark.parametrize(
    ("kind", "column", "how", "verdict", "words"),
    [
        ("G", "FLAG", most_flagged, "fail", "antennas with solutions"),
        ("B", "CPARAM", late, "fail", "residual delay in the phases of B"),
        ("B", "SNR", lambda v, a: v * 0 + 2, "fail", "B signal-to-noise ratio (median) 2 < 3"),
        ("B", "SNR", lambda v, a: v * 0 + 4, "warn", "B signal-to-noise ratio (median) 4 < 5"),
        ("B", "FLAG", one_subband, "warn", "subbands with solutions 0.5 < 0.85"),
        ("B", "CPARAM", jittered, "fail", "noise of the bandpass amplitude from channel"),
        ("G", "CPARAM", lambda v, a: v * 1.3, "warn", "gain amplitude after the bandpass"),
        ("G", "CPARAM", lambda v, a: v * 0, "fail", "zero or not finite"),
        ("K", "FPARAM", lambda v, a: v + 2000, "fail", "delay against the reference antenna"),
        ("K", "FPARAM", lambda v, a: v * 30, "warn", "scatter of the delays"),
        ("2G", "ANTENNA2", lambda v, a: np.arange(v.size) % 2, "warn", "reference antennas"),
    ],
)
def test_a_bad_set_is_told_with_its_reason(results, tmp_path, kind, column, how, verdict, words):
    record = copied(results, tmp_path)
    edit(record, kind, column, how)
    checks, _, _ = judged(record)
    reasons = [c.reason for c in checks if c.verdict == verdict]
    assert worst(checks) == verdict, [(c.verdict, c.reason) for c in checks if c.reason]
    assert any(words in reason for reason in reasons), reasons


def test_odd_antennas_get_a_remark(results, tmp_path):
    record = copied(results, tmp_path)
    names = read_calset(record).antennas
    weak, noisy = names.index("DSA-29"), names.index("DSA-92")

    def weaken(values, antenna):
        values[antenna == weak, :, 0] *= 0.2
        return values

    def shake(values, antenna):
        mine = np.flatnonzero(antenna == noisy)
        values[mine, :, 1] *= np.exp(1j * np.where(np.arange(mine.size) % 2, 1, -1))[:, None]
        return values

    edit(record, "B", "CPARAM", weaken)
    edit(record, "2G", "CPARAM", shake)
    _, remarks, _ = judged(record)
    assert set(remarks) == {"DSA-29", "DSA-92"}
    assert remarks["DSA-29"][0].startswith("XX: gain 0.2")
    # -1, 1, -1 radian: the mean phasor is at -atan(tan(1) / 3), 30 and 85 degrees away
    assert remarks["DSA-92"] == ["YY: phase rms in time 55 deg"]


def test_known_changes_are_found(results, tmp_path):
    """Delays partly in K and partly in B, amplitudes, phases, and a ripple, by antenna."""
    record = copied(results, tmp_path)
    first = read_calset(solutions(results))
    names, freq = first.antennas, first.tables["B"].freq_hz
    rng = np.random.default_rng(2)
    in_k, in_b = (s * rng.uniform(-1, 1, (len(names), 2)) for s in (300, 15))
    size, phase = rng.uniform(0.8, 1.2, (len(names), 2)), rng.uniform(-170, 170, (len(names), 2))
    ripple = 0.2 * np.where(np.arange(freq.size) % 2, 1, -1)
    ripply = names.index("DSA-37")

    def bandpass(values, antenna):
        turn = np.exp(2e-9j * np.pi * in_b[antenna][:, None] * (freq - freq.mean())[:, None])
        wave = 1 + np.where(antenna == ripply, 1, 0)[:, None, None] * ripple[:, None]
        return values * turn * wave

    edit(record, "K", "FPARAM", lambda v, a: v + in_k[a][:, None])
    edit(record, "B", "CPARAM", bandpass)
    turned = size * np.exp(1j * np.radians(phase))
    edit(record, "G", "CPARAM", lambda v, a: v * turned[a][:, None])
    found = change(first, read_calset(record), "DSA-45")
    rows = [names.index(name) for name in found.names]
    one = names.index("DSA-45")
    assert "DSA-9" not in found.names and len(found.names) == 12
    total = in_k + in_b
    assert found.delay_ns == pytest.approx((total - total[one])[rows], abs=1e-3)
    assert found.table_delay_ns == pytest.approx((in_k - in_k[one])[rows], abs=1e-3)
    assert found.amplitude == pytest.approx(size[rows], rel=1e-5)
    off = (found.phase_deg - (phase - phase[one])[rows] + 180) % 360 - 180
    assert np.abs(off).max() < 0.01
    assert found.flux_scale == pytest.approx(np.median(size[rows]) ** -2, rel=1e-5)
    where = found.names.index("DSA-37")
    assert found.bandpass[where] == pytest.approx(0.2, rel=1e-4)
    assert np.delete(found.bandpass, where, axis=0).max() < 1e-4


def test_sets_of_different_reference_antennas_agree(results):
    """CASA solved the same data with two references: nothing may differ but noise."""
    first, second = (read_calset(solutions(results, name)) for name in (CALSET, OTHER))
    assert (first.data["refant"], second.data["refant"]) == ("DSA-45", "DSA-84")
    raw = [c.tables["G"].value[0, :, 0] for c in (first, second)]
    apart = np.degrees(np.abs(np.angle(raw[0] * raw[1].conj())))
    assert np.nanmedian(apart) > 20  # as they stand they cannot be compared
    found = change(first, second, common_reference((first, second)))
    assert found.reference == "DSA-45"
    assert np.abs(found.phase_deg).max() < 0.5
    assert np.abs(found.delay_ns).max() < 0.02
    assert np.abs(found.amplitude - 1).max() < 0.005


def test_the_common_reference_is_one_that_both_have(results, tmp_path):
    record = copied(results, tmp_path)
    names = read_calset(record).antennas
    edit(record, "G", "FLAG", lambda v, a: v | (a == names.index("DSA-45"))[:, None, None])
    pair = read_calset(record), read_calset(solutions(results, OTHER))
    assert common_reference(pair) == "DSA-84"
    assert "DSA-45" in change(*pair, "DSA-84").only_second


def test_bandpasses_of_other_channels_are_compared_by_frequency(results, tmp_path):
    record = copied(results, tmp_path)
    table = record.parent / f"{CALSET}.B"
    with open_table(f"{table}/SPECTRAL_WINDOW", writable=True) as window:
        freq = window.getcell("CHAN_FREQ", 0)
        window.putcell("CHAN_FREQ", 0, freq + 0.5 * (freq[1] - freq[0]))
    edit(record, "B", "CPARAM", lambda v, a: v * 0 + 0.1 * (1 + np.arange(v.shape[1]))[:, None])
    first = copied(results, tmp_path / "first")
    edit(first, "B", "CPARAM", lambda v, a: v * 0 + 0.1 * (0.5 + np.arange(v.shape[1]))[:, None])
    found = change(read_calset(first), read_calset(record), "DSA-45")
    assert found.amplitude == pytest.approx(1, abs=1e-6)
    assert found.bandpass.max() < 1e-6


def test_a_set_without_delays_is_compared_and_shown(results, tmp_path):
    """Where the second has no K, its gains lack just the delays that the first has."""
    record = copied(results, tmp_path)
    content = json.loads(record.read_text())
    for name in ("K", "2G"):
        del content["data"]["tables"][name]
    record.write_text(json.dumps(content))
    first = read_calset(solutions(results))
    found = change(first, read_calset(record), "DSA-45")
    k = delays_ns(first)[[first.antennas.index(name) for name in found.names]]
    assert found.delay_ns == pytest.approx(-k, abs=1e-3) and np.ptp(k) > 10
    assert np.isnan(found.table_delay_ns).all()
    text = inspect(record, tmp_path).read_text()
    assert "scatter of the delays" not in text and "tables B, G;" in text


def test_delays_of_many_turns_are_fitted():
    freq = np.linspace(1.3e9, 1.5e9, 201)
    true = np.array([-480.0, -3.2, 0.0, 0.4, 490.0])
    phase = np.array([20.0, -170.0, 0.0, 90.0, 45.0])
    turns = true[:, None] * 1e-9 * (freq - freq.mean())
    gain = np.exp(1j * (2 * np.pi * turns + np.radians(phase)[:, None]))
    gain[:, 30:60] = np.nan  # flagged
    gain[:, :10] = 1e-3 * np.exp(2j)  # the edge of a bandpass
    found = fit_delays(gain, freq)
    assert found.delay_ns == pytest.approx(true, abs=1e-3)
    assert found.phase_deg == pytest.approx(phase, abs=0.01)
    gain[0] = np.nan
    assert np.isnan(fit_delays(gain, freq).delay_ns[0])


def test_errors_of_delays_are_those_of_the_noise():
    freq, rng = np.linspace(1.3e9, 1.5e9, 96), np.random.default_rng(3)
    gain = np.exp(0.05j * rng.standard_normal((2000, freq.size)))
    found = fit_delays(gain, freq)
    assert np.std(found.delay_ns / found.error_ns) == pytest.approx(1, abs=0.06)
    assert np.median(found.scatter_deg) == pytest.approx(np.degrees(0.05), rel=0.03)


def test_delays_in_visibilities_are_those_of_casa(results):
    ms, calset = results.parent / "cal.ms", read_calset(solutions(results))
    names, slope, _ = in_visibilities(ms, "DATA", None)
    rows = [calset.antennas.index(n) for n in names]
    apart = slope.delay_ns - delays_ns(calset)[rows]
    assert np.nanmax(np.abs(apart - np.nanmedian(apart, axis=0))) < 0.2
    _, slope, _ = in_visibilities(ms, "DATA", calset)
    assert np.nanmedian(np.abs(slope.delay_ns)) < 0.02


def test_the_map_is_the_station_table():
    lat, lon, _ = array.stations().T
    from astropy.coordinates import EarthLocation

    there = EarthLocation.from_geodetic(lon, lat, array.stations()[:, 2])
    place = east_north_m(
        np.stack([there.get_itrs().cartesian.xyz.to_value("m")[k] for k in range(3)], 1)
    )
    metres = np.radians(1) * 6.37e6
    expected = np.stack([lon * metres * np.cos(np.radians(37.2334)), lat * metres], axis=1)
    span = np.ptp(place, axis=0)
    assert span == pytest.approx(np.ptp(expected, axis=0), rel=0.005)
    assert span == pytest.approx([1769, 2220], abs=3)
    distance = np.hypot(*(place - np.median(place, axis=0)).T)
    assert core_of(distance).sum() == 102  # the stations of the two arms


def test_limits_cannot_be_crossed():
    with pytest.raises(ValidationError, match="good side"):
        CalsetValidationOptions(fail_antennas=0.9)


def verb(*words: object) -> int:
    return main(["calset", *map(str, words)])


def inspect(record: Path, folder: Path) -> Path:
    outputs = [
        f"--{name}={folder}/{name}.png" for name in ("bandpass", "gains", "delays", "quality")
    ]
    page = folder / "page.html"
    done = verb(
        *("inspect", "--solutions", record, "--page", page, "--record", folder / "qa.json"),
        *("--subbands", SUBBANDS, *outputs),
    )
    assert done == 0
    return page


def test_inspect_shows_a_set_and_what_is_wrong_with_it(results, tmp_path):
    record = copied(results, tmp_path)
    edit(record, "B", "CPARAM", late)
    text = inspect(record, tmp_path).read_text()
    assert text.count("data:image/png;base64,") == 4
    assert "DSA-9</td><td>no unflagged data" in text
    assert "residual delay in the phases of B (median, absolute) 8" in text
    qa = json.loads((tmp_path / "qa.json").read_text())
    assert qa["verdict"] == "fail"
    antenna = qa["data"]["antennas"]["DSA-45"]
    assert antenna["delay_ns"] == [0, 0] and len(antenna["snr"]) == 4
    assert [s["solved"] for s in qa["data"]["subbands"]] == [True, True]


def test_inspect_of_a_set_without_any_solution(results, tmp_path):
    record = copied(results, tmp_path)
    edit(record, "B", "FLAG", lambda v, a: np.ones_like(v))
    text = inspect(record, tmp_path).read_text()
    assert "DSA-37</td><td>no solutions" in text
    reason = json.loads((tmp_path / "qa.json").read_text())["reason"]
    assert "antennas with solutions 0 < 0.5" in reason and "B solutions flagged 1" in reason


def test_inspect_of_nothing_is_a_named_failure(results, tmp_path):
    record = tmp_path / "solutions.json"
    failed = {"product": CALSET, "stage": "solve", "verdict": "fail", "reason": "no bandpass"}
    write_record(record, data={}, **failed)
    inspect(record, tmp_path)
    qa = json.loads((tmp_path / "qa.json").read_text())
    assert qa["verdict"] == "fail" and "no bandpass" in qa["reason"]


def test_validate_prints_verdicts_and_fails_on_a_bad_set(results, tmp_path, capsys):
    common = ("--results", results, "--subbands", SUBBANDS)
    assert verb("validate", *common, "--calsets", CALSET, solutions(results, OTHER).parent) == 0
    out = capsys.readouterr().out
    assert f"WARN  {CALSET}  12 of 13 antennas, 2 of 2 subbands, reference DSA-45" in out
    assert "DSA-9: no unflagged data" in out
    assert verb("validate", *common) == 0
    assert capsys.readouterr().out == out
    assert verb("validate", "--results", tmp_path) == 1
    bad = copied(results, tmp_path)
    edit(bad, "G", "FLAG", most_flagged)
    record = tmp_path / "verdicts.json"
    assert verb("validate", *common, "--calsets", OTHER, bad, "--record", record) == 1
    printed = capsys.readouterr()
    assert "1 of 2 calsets fail" in printed.err and "antennas with solutions" in printed.err
    content = json.loads(record.read_text())
    assert content["verdict"] == "fail" and set(content["data"]) == {CALSET, OTHER}
    assert verb("validate", *common, "--calsets", "nothing") == 1


@pytest.mark.filterwarnings("error::RuntimeWarning")  # DSA-9 is solved in neither
def test_compare_writes_table_picture_and_record(results, tmp_path, capsys):
    outputs = [f"--{n}={tmp_path}/c.{s}" for n, s in (("table", "csv"), ("plot", "png"))]
    record = tmp_path / "c.json"
    words = ("--calsets", CALSET, OTHER, "--results", results, "--record", record)
    assert verb("compare", *words, *outputs) == 0
    assert f"{OTHER} against {CALSET}; phases against DSA-45" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "c.csv")
    assert len(table) == 24 and table["phase_change_deg"].abs().max() < 0.5
    assert (tmp_path / "c.png").stat().st_size > 10_000
    assert json.loads(record.read_text())["verdict"] == "pass"


def test_delays_are_corrected_or_not(results, tmp_path, capsys):
    ms, record = results.parent / "cal.ms", tmp_path / "delays.json"
    common = ("--results", results, "--subbands", SUBBANDS)
    assert verb("delays", *common, "--calset", CALSET, "--record", record) == 0
    assert capsys.readouterr().out.strip().endswith(": corrected")
    assert len(json.loads(record.read_text())["data"]["antennas"]) == 26
    assert verb("delays", *common, "--calset", CALSET, "--ms", ms) == 0
    assert verb("delays", *common, "--ms", ms, "--delay-needed-ns", 3) == 1
    assert "K must be solved" in capsys.readouterr().out
    assert verb("delays", *common) == 1


def test_completeness_finds_a_removed_table(results, tmp_path, capsys):
    root = tmp_path / "results"
    shutil.copytree(results, root)
    assert verb("completeness", "--results", root, "--subbands", SUBBANDS) == 0
    out = capsys.readouterr().out
    (line,) = [text for text in out.splitlines() if text.startswith(f"{CALSET} ")]
    assert line.split()[:10] == [CALSET, "complete", "K", "B", "G", "2G", "12/13", "2/2", "2,", "1"]
    shutil.rmtree(path("caltable", str(root), calset=OTHER, table="B"))
    table, record = tmp_path / "c.csv", tmp_path / "c.json"
    outputs = ("--table", table, "--record", record)
    assert verb("completeness", "--results", root, "--subbands", SUBBANDS, *outputs) == 1
    assert f"{OTHER}: missing: B" in capsys.readouterr().err
    rows = pd.read_csv(table).set_index("calset")
    assert rows.loc[OTHER, "state"] == "incomplete" and rows.loc[CALSET, "state"] == "complete"
    assert json.loads(record.read_text())["data"][OTHER]["missing"] == ["B"]
    shutil.rmtree(solutions(root, OTHER).parent)
    assert verb("completeness", "--results", root, "--subbands", SUBBANDS) == 0
    assert "1 complete, 1 pending" in capsys.readouterr().out


def test_drift_follows_what_was_put_in(results, tmp_path):
    """Four days: a delay that grows, an amplitude that falls, a set that failed, one without
    the reference antenna of the others."""
    names = read_calset(solutions(results)).antennas
    moving = names.index("DSA-37")
    records = []
    for day in range(4):
        name = f"2025100{5 + day}T080000_CAL"
        record = copied(results, tmp_path, name, days=day)
        records.append(record)

        def delayed(values, antenna, day=day):
            values[antenna == moving] += 1.5 * day
            return values

        edit(record, "K", "FPARAM", delayed)
        edit(record, "G", "CPARAM", lambda v, a, day=day: v * 0.9**day)
    lost = names.index("DSA-45")
    edit(records[1], "G", "FLAG", lambda v, a: v | (a == lost)[:, None, None])
    failed = json.loads(records[2].read_text()) | {"verdict": "fail", "reason": "rain"}
    records[2].write_text(json.dumps(failed))
    outputs = {n: tmp_path / f"drift.{s}" for n, s in (("table", "csv"), ("plot", "png"))}
    outputs |= {n: tmp_path / f"drift.{s}" for n, s in (("page", "html"), ("record", "json"))}
    flags = [word for name, target in outputs.items() for word in (f"--{name}", target)]
    assert verb("drift", "--solutions", *records, *flags) == 0
    record = json.loads(outputs["record"].read_text())
    assert record["data"]["reference"] not in {"DSA-45", "DSA-9"}
    assert record["data"]["left_out"] == {"20251007T080000_CAL": "failed: rain"}
    (odd,) = [r for r in record["data"]["beyond"] if r["quantity"] == "delay_change_ns"]
    assert (odd["antenna"], odd["calset"]) == ("DSA-37", "20251008T080000_CAL")
    assert odd["largest"] == pytest.approx(4.5, abs=1e-3)
    table = pd.read_csv(outputs["table"])
    mine = table[table["antenna"] == "DSA-37"].groupby("calset")["delay_change_ns"].mean()
    assert mine.to_numpy() == pytest.approx([0, 1.5, 4.5], abs=1e-3)
    rest = table[table["antenna"] != "DSA-37"]
    assert rest["delay_change_ns"].abs().max() < 1e-3
    ratio = table.groupby("calset")["amplitude_ratio"].median()
    assert ratio.to_numpy() == pytest.approx([1, 0.9, 0.9**3], rel=1e-4)
    assert (
        record["verdict"] == "warn"
        and "change of the gain amplitudes" in record["checks"][1]["reason"]
    )
    page = outputs["page"].read_text()
    assert "2025-10-08/20251008T080000_CAL/20251008T080000_CAL.html" in page and "rain" in page


def test_solutions_of_several_spectral_windows_are_refused(results, tmp_path):
    """They would be read as so many times of the first."""
    record = copied(results, tmp_path)
    edit(record, "B", "SPECTRAL_WINDOW_ID", lambda ids, _: np.arange(ids.size) % 16)
    with pytest.raises(ContimgError, match="several spectral windows"):
        read_calset(record)


def test_a_damaged_table_is_named(results, tmp_path):
    record = copied(results, tmp_path)
    tables = [record.parent / name for name in read_record(record)["data"]["tables"].values()]
    seal(record, tables)
    read_calset(record)
    data = tables[1] / "table.f0"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(DataQualityError, match=rf"{tables[1]}: damaged"):
        read_calset(record)
