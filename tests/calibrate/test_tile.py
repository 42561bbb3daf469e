"""A tile in one pass from its raw files, against conversion and CASA's application."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from contimg.calibrate import apply
from contimg.calibrate.options import ApplyOptions, CalibrateOptions
from contimg.cli import main
from contimg.convert import command as convert
from contimg.convert.command import ConvertFiles
from contimg.convert.options import ConvertOptions
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.groups import read_manifest, write_manifest
from contimg.core.ms import open_table, read_axes
from contimg.core.records import read_record
from contimg.flag.options import FlagOptions
from contimg.tile import command as tile
from truth.calsets import apply_files
from truth.observe import INSTRUMENT

PLAIN = FlagOptions(steps=[])  # as the tiles of the fixture were converted
COLUMNS = ("DATA", "FLAG", "WEIGHT", "WEIGHT_SPECTRUM")


def one_pass(days, out: Path, solutions: list[Path], flag=PLAIN, options=None, **more):
    """The files of a tile made in one pass."""
    out.mkdir(parents=True, exist_ok=True)
    paths = {
        "manifest": days.seen[0].directory / "manifest.json",
        "ms_record": out / "conversion.json",
        "plot": out / "flags.png",
        "calibrated": out / "calibrated.ms",
        "choice": out / "calset.json",
        "record": out / "calibrated.json",
    }
    files = tile.TileFiles(solutions=solutions, **paths | more)
    tile.run(files, INSTRUMENT, ConvertOptions(), flag, options or ApplyOptions())
    return files


def columns(ms: Path) -> tuple:
    axes = read_axes(ms)
    with open_table(ms) as table:
        return axes, {name: table.getcol(name) for name in COLUMNS}


def same_tile(mine: Path, theirs: Path) -> None:
    """Data and weights to 1e-5 of what their row has, the very same flags, axes and names."""
    axes, here = columns(mine)
    expected, there = columns(theirs)
    assert np.array_equal(here["FLAG"], there["FLAG"])
    good = ~there["FLAG"]
    assert good.any()
    size = np.where(good, np.abs(there["DATA"]), 0).max(axis=(1, 2), keepdims=True)
    assert (np.abs(here["DATA"] - there["DATA"]) <= 1e-5 * size)[good].all()
    some = good.any(axis=1)
    assert np.allclose(here["WEIGHT"][some], there["WEIGHT"][some], rtol=1e-5)
    spectrum = "WEIGHT_SPECTRUM"
    assert np.allclose(here[spectrum][good], there[spectrum][good], rtol=1e-5)
    for name in ("mjd", "ant1", "ant2", "antenna_positions_m", "uvw_m", "freq_hz", "width_hz"):
        assert np.allclose(getattr(axes, name), getattr(expected, name), rtol=1e-12), name
    assert np.allclose(axes.pointing_rad, expected.pointing_rad, atol=1e-12)
    assert axes.phase_center_rad == expected.phase_center_rad
    assert axes.antenna_names == expected.antenna_names


def same_record(mine: Path, theirs: Path, but: tuple[str, ...] = ()) -> None:
    """What two records say of the data, but for figures that rounding moves."""
    here, there = read_record(mine), read_record(theirs)
    assert here["stage"] == there["stage"] and here["verdict"] == there["verdict"]
    assert [c["metric"] for c in here["checks"]] == [c["metric"] for c in there["checks"]]
    for one, other in zip(here["checks"], there["checks"], strict=True):
        value = other["value"]  # none where something could not be measured
        expected = value if value is None else pytest.approx(value, rel=1e-5)
        assert one == {**other, "value": expected}, one
    assert here["data"].keys() == there["data"].keys()
    for key in here["data"].keys() - set(but):
        assert here["data"][key] == there["data"][key], key


def rewritten(calset: Path, target: Path, mjd, flagged: float, without: int | None = None) -> Path:
    """A calset of random solutions: G of several times, part of all of it flagged."""
    rng = np.random.default_rng(7)
    shutil.copytree(calset.parent, target)
    times = {"K": mjd[[0]] - 0.01, "B": mjd[[0, -1]] + 1e-4, "G": mjd[::3] + 5e-5}
    for name, when in times.items():
        with open_table(target / f"t.{name}", writable=True) as table:
            first = np.unique(table.getcol("ANTENNA1"), return_index=True)[1]
            table.removerows(np.setdiff1d(np.arange(table.nrows()), first))
            for _ in when[1:]:
                table.selectrows(range(first.size)).copyrows(table)
            table.putcol("TIME", np.repeat(when, first.size) * 86400)
            column = "FPARAM" if name == "K" else "CPARAM"
            shape = table.getcol(column).shape
            gains = rng.uniform(0.5, 2, shape) * np.exp(1j * rng.uniform(-3, 3, shape))
            delays = rng.normal(0, 5, shape)
            gains[2], gains[3] = 0, np.nan  # no solutions, though they are not flagged
            values = delays.astype("f4") if name == "K" else gains.astype("c8")
            table.putcol(column, values)
            table.putcol("FLAG", rng.random(shape) < flagged)
            if name == "B" and without is not None:
                table.removerows(np.flatnonzero(table.getcol("ANTENNA1") == without))
    return target / "solutions.json"


@pytest.mark.parametrize(
    ("flagged", "channel_bin", "calwt"),
    [(0.0, None, True), (0.1, 1, True), (0.2, 4, True), (0.2, 5, False)],
)
def test_any_solutions_are_applied_as_casa_applies_them(
    days, tmp_path, flagged, channel_bin, calwt
):
    mjd = read_axes(days.tiles[0]).mjd
    record = rewritten(
        days.record, tmp_path / "calset", mjd, flagged, without=1 if flagged else None
    )
    options = ApplyOptions(channel_bin=channel_bin, calwt=calwt)
    theirs = days.files(0, [record], tmp_path / "casa")
    apply.run(theirs, INSTRUMENT, options)
    mine = one_pass(days, tmp_path / "own", [record], options=options)
    same_tile(mine.calibrated, theirs.calibrated)


def test_records_are_those_of_the_two_verbs(days, tmp_path):
    catalog = days.seen[0].catalog
    theirs = days.files(0, [days.record], tmp_path / "casa", catalog=catalog)
    apply.run(theirs, INSTRUMENT, ApplyOptions())
    mine = one_pass(days, tmp_path / "own", [days.record], catalog=catalog)
    same_tile(mine.calibrated, theirs.calibrated)
    same_record(mine.ms_record, days.tiles[0].with_suffix(".json"))
    same_record(mine.record, theirs.record, but=("sources_steadied",))
    assert json.loads(mine.choice.read_text()) == json.loads(theirs.choice.read_text())
    steady = [read_record(f.record)["data"]["sources_steadied"] for f in (mine, theirs)]
    assert len(steady[0]) == len(steady[1]) > 0
    for one, other in zip(*steady, strict=True):
        assert one == {"name": other["name"], "flux_jy": pytest.approx(other["flux_jy"], rel=1e-4)}


def test_between_two_calsets(days, tmp_path):
    """Days are a sidereal day apart; the tile is told to lie between them."""
    records = []
    for number, shift in enumerate((-0.3, 0.4)):
        folder = tmp_path / f"calset{number}"
        shutil.copytree(days.record.parent, folder)
        records.append(folder / "solutions.json")
        content = json.loads(records[-1].read_text())
        content["data"]["mjd"] += shift
        records[-1].write_text(json.dumps(content))
        with open_table(folder / "t.G", writable=True) as table:
            turn = np.exp(0.3j * number * table.getcol("ANTENNA1") / 100)
            table.putcol("CPARAM", table.getcol("CPARAM") * turn[:, None, None])
    options = ApplyOptions(interpolate="linear")
    theirs = days.files(0, records, tmp_path / "casa")
    apply.run(theirs, INSTRUMENT, options)
    mine = one_pass(days, tmp_path / "own", records, options=options)
    assert read_record(mine.record)["data"]["calset_mode"] == "linear"
    same_tile(mine.calibrated, theirs.calibrated)
    same_record(mine.record, theirs.record)


def test_coarse_solutions(days, tmp_path):
    """A bandpass of four channels in one is interpolated, and not beside what is flagged."""
    coarse = CalibrateOptions(preset="development")
    record = days.seen[0].solved("coarse_for_a_tile", coarse)
    with open_table(record.parent / "t.B", writable=True) as table:
        flags = table.getcol("FLAG")
        flags[1, 0] = flags[2, 1:3, 0] = flags[4, -1] = flags[5, :, 1] = True
        table.putcol("FLAG", flags)
    theirs = days.files(0, [record], tmp_path / "casa", tier="development")
    apply.run(theirs, INSTRUMENT, ApplyOptions(channel_bin=2))
    options = ApplyOptions(channel_bin=2)
    mine = one_pass(days, tmp_path / "own", [record], options=options, tier="development")
    same_tile(mine.calibrated, theirs.calibrated)


@pytest.mark.parametrize("spoilt", ["missing", "torn"])
def test_a_subband_that_is_not_there(days, tmp_path, spoilt):
    raw = days.seen[0].directory / "manifest.json"
    group, entries = read_manifest(raw)
    if spoilt == "torn":
        torn = tmp_path / Path(entries[1]["path"]).name
        torn.write_bytes(Path(entries[1]["path"]).read_bytes()[:5000])
        entries[1]["path"] = str(torn)
    manifest = tmp_path / "manifest.json"
    write_manifest(manifest, group, entries if spoilt == "torn" else entries[:1])
    whole = ConvertFiles(
        manifest=manifest,
        ms=tmp_path / f"{group.group}.ms",
        record=tmp_path / f"{group.group}.json",
    )
    convert.run(whole, INSTRUMENT, ConvertOptions(max_broken_subbands=1), PLAIN)
    theirs = apply_files(whole.ms, [days.record], tmp_path / "casa")
    apply.run(theirs, INSTRUMENT, ApplyOptions())
    mine = one_pass(days, tmp_path / "own", [days.record], manifest=manifest)
    same_tile(mine.calibrated, theirs.calibrated)
    same_record(mine.ms_record, whole.record)
    same_record(mine.record, theirs.record)


def test_flags_that_ask_for_finer_averages(days, tmp_path):
    """Without its short baselines a tile smears more than was thought: it is read again."""
    longest = float(np.linalg.norm(read_axes(days.tiles[0]).uvw_m, axis=-1).max())
    far = FlagOptions(steps=["uvrange"], uv_min_m=0.5 * longest)
    options = ApplyOptions(smearing_limit=0.85)
    widths = []
    for flag in (PLAIN, far):
        ms = tmp_path / f"{len(widths)}.ms"
        whole = ConvertFiles(
            manifest=days.seen[0].directory / "manifest.json",
            ms=ms,
            record=ms.with_suffix(".json"),
        )
        convert.run(whole, INSTRUMENT, ConvertOptions(), flag)
        theirs = apply_files(ms, [days.record], tmp_path / f"casa{len(widths)}")
        apply.run(theirs, INSTRUMENT, options)
        mine = one_pass(days, tmp_path / f"own{len(widths)}", [days.record], flag, options)
        same_tile(mine.calibrated, theirs.calibrated)
        same_record(mine.ms_record, whole.record)
        widths.append(read_record(mine.record)["data"]["channel_bin"])
    assert widths[1] < widths[0] // 2


def test_no_calset_may_serve(days, tmp_path):
    with pytest.raises(DataQualityError, match="no calset may serve"):
        one_pass(days, tmp_path, [])
    same_record(tmp_path / "conversion.json", days.tiles[0].with_suffix(".json"))
    assert (tmp_path / "flags.png").exists() and not (tmp_path / "calibrated.ms").exists()
    assert json.loads((tmp_path / "calset.json").read_text())["used"] == []


def test_other_antennas_are_refused(days, tmp_path):
    shutil.copytree(days.record.parent, tmp_path / "calset")
    with open_table(tmp_path / "calset/t.B/ANTENNA", writable=True) as table:
        table.putcell("NAME", 0, "DSA-999")
    with pytest.raises(DataQualityError, match="is of other antennas than the tile"):
        one_pass(days, tmp_path, [tmp_path / "calset/solutions.json"])


@pytest.mark.parametrize("bad", ["flags", "files"])
def test_data_that_can_not_be_converted(days, tmp_path, bad):
    """The conversion's record says why, and so do the choice and the tile's."""
    manifest = days.seen[0].directory / "manifest.json"
    if bad == "files":
        group, entries = read_manifest(manifest)
        manifest = tmp_path / "manifest.json"
        gone = [{**e, "path": str(tmp_path / f"{k}.hdf5")} for k, e in enumerate(entries)]
        for entry in gone:
            Path(entry["path"]).write_bytes(b"no HDF5")
        write_manifest(manifest, group, gone)
    words = ["--manifest", str(manifest), "--solutions", str(days.record), "--subbands", "2"]
    words += ["--band-mhz", "1311.25", "1498.75", "--usable-warn", "0.999"]
    words += ["--ms-record", str(tmp_path / "ms.json"), "--plot", str(tmp_path / "flags.png")]
    words += ["--calibrated", str(tmp_path / "c.ms"), "--choice", str(tmp_path / "c.calset.json")]
    words += ["--record", str(tmp_path / "c.json"), "--steps", "--usable-fail", "0.999"]
    assert main(["calibrate", "tile", *words]) == 0
    converted, tile_record = read_record(tmp_path / "ms.json"), read_record(tmp_path / "c.json")
    assert converted["verdict"] == tile_record["verdict"] == "fail"
    assert converted["stage"] == "convert" and tile_record["stage"] == "apply"
    assert tile_record["reason"] == f"ms failed: {converted['reason']}"
    assert ("usable" in converted["reason"]) == (bad == "flags")
    choice = json.loads((tmp_path / "c.calset.json").read_text())
    assert choice["reason"] == tile_record["reason"] and choice["calsets"] == []
    assert converted["seal"]["products"].keys() == {"flags.png"}
    assert (tmp_path / "c.ms/FAILED.txt").exists()


def test_steps_on_the_whole_measurement_set_are_refused(days, tmp_path):
    with pytest.raises(ContimgError, match="tfcrop need the Measurement Set"):
        one_pass(days, tmp_path, [days.record], FlagOptions(steps=["tfcrop"]))


def test_nothing_left_is_a_reason(days, tmp_path):
    shutil.copytree(days.record.parent, tmp_path / "calset")
    with open_table(tmp_path / "calset/t.B", writable=True) as table:
        table.putcol("FLAG", np.ones_like(table.getcol("FLAG")))
    with pytest.raises(DataQualityError, match="everything flagged"):
        one_pass(days, tmp_path, [tmp_path / "calset/solutions.json"])
