"""From the tile to the calibrated tile: what is flagged, what is averaged, what is recorded."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from contimg.calibrate import apply, usable
from contimg.calibrate.options import ApplyOptions, CalibrateOptions
from contimg.cli import main
from contimg.core.errors import DataQualityError
from contimg.core.ms import open_table, read_axes
from contimg.core.records import read_record, write_record
from contimg.core.seals import seal
from truth.observe import INSTRUMENT


def flags_of(ms):
    axes = read_axes(ms)
    with open_table(ms) as table:
        return axes, table.getcol("FLAG").reshape(*axes.shape, axes.freq_hz.size, 2)


def test_exactly_what_has_no_solution_is_flagged(days, tmp_path):
    """Solutions taken out of the tables: one feed of G, an antenna of K, channels of B."""
    tile, record = days.tiles[0], days.record
    wounded = tmp_path / "calset"
    shutil.copytree(record.parent, wounded)
    axes, before = flags_of(tile)
    alive = [a for a in np.union1d(axes.ant1, axes.ant2) if axes.antenna_names[a] != "DSA-7"]
    no_k, no_g, no_b, last = alive[1], alive[2], alive[3], alive[4]
    missing = np.zeros(
        (len(axes.antenna_names), axes.freq_hz.size), bool
    )  # alike in both correlations
    missing[[no_k, no_g]] = True
    missing[no_b, 3:5] = True
    missing[no_b, 9] = True
    missing[last, -2:] = True
    for name, wound in (
        ("K", lambda a, f: f.__setitem__((a == no_k,), True)),
        ("G", lambda a, f: f.__setitem__((a == no_g,), True)),
        ("B", lambda a, f: np.logical_or(f, missing[a][..., None], out=f)),
    ):
        with open_table(wounded / f"t.{name}", writable=True) as table:
            antenna, flags = table.getcol("ANTENNA1"), table.getcol("FLAG")
            wound(antenna, flags)
            table.putcol("FLAG", flags)
    files = days.files(0, [wounded / "solutions.json"], tmp_path)
    apply.run(files, INSTRUMENT, ApplyOptions(channel_bin=1))
    _, after = flags_of(files.calibrated)
    expected = before | (missing[axes.ant1] | missing[axes.ant2])[None, :, :, None]
    assert np.array_equal(after, expected)
    data = json.loads(files.record.read_text())["data"]
    assert data["antennas_lost"] == [axes.antenna_names[a] for a in (no_k, no_g)]


def test_coarse_solutions_serve_all_channels(days, tmp_path):
    """A bandpass of four channels in one has no solution of its own for each; none is lost."""
    seen, tile = days.seen[0], days.tiles[0]
    record = seen.solved("coarse", CalibrateOptions(preset="development"))
    files = days.files(0, [record], tmp_path, tier="development")
    apply.run(files, INSTRUMENT, ApplyOptions(channel_bin=1))
    assert np.array_equal(flags_of(files.calibrated)[1], flags_of(tile)[1])


def test_development_serves_no_other_tier(days, tmp_path):
    shutil.copytree(days.record.parent, tmp_path / "calset")
    record = tmp_path / "calset" / "solutions.json"
    record.write_text(record.read_text().replace('"tier": "standard"', '"tier": "development"'))
    files = days.files(0, [record], tmp_path, tier="standard")
    with pytest.raises(DataQualityError, match="not fit for images of tier standard"):
        apply.run(files, INSTRUMENT, ApplyOptions())
    choice = json.loads(files.choice.read_text())
    assert choice["calsets"] == [] and "not fit" in choice["candidates"][0]["refused"]
    assert not files.calibrated.exists()


def test_nothing_is_calibrated_by_a_default(days, tmp_path):
    files = days.files(0, [], tmp_path)
    with pytest.raises(DataQualityError, match="no calset may serve"):
        apply.run(files, INSTRUMENT, ApplyOptions())
    assert json.loads(files.choice.read_text())["used"] == []
    assert not files.calibrated.exists()


def test_a_failed_tile_says_so_in_place_of_the_choice(days, tmp_path):
    failed = tmp_path / "tile.json"
    write_record(failed, product="t", stage="convert", data={}, verdict="fail", reason="wet")
    files = days.files(0, [days.record], tmp_path).model_copy(update={"ms_record": failed})
    with pytest.raises(DataQualityError, match="t failed: wet"):
        apply.run(files, INSTRUMENT, ApplyOptions())
    assert json.loads(files.choice.read_text())["reason"] == "t failed: wet"


def test_what_is_lost_or_wrong_is_named(days, tmp_path):
    """A subband and an antenna flagged after the calibration, an antenna with zeros and NaN."""
    ms = tmp_path / "after.ms"
    shutil.copytree(days.tiles[0], ms)
    axes = read_axes(ms)
    before = usable.tally(days.tiles[0], axes, INSTRUMENT, values=False)
    lost, spoilt = np.unique(axes.ant1)[[3, 5]]
    names = axes.antenna_names
    mine = [np.tile((axes.ant1 == a) | (axes.ant2 == a), axes.mjd.size) for a in (lost, spoilt)]
    with open_table(ms, writable=True) as table:
        flags, data = table.getcol("FLAG"), table.getcol("DATA")
        flags[mine[0]] = True
        flags[:, 8:] = True
        data[mine[1], 3, 0] = 0
        data[mine[1], 4, 1] = np.nan
        table.putcol("FLAG", flags)
        table.putcol("DATA", data)
    after = usable.tally(ms, axes, INSTRUMENT, values=True)
    summary = usable.describe(before, after, axes)
    assert summary["antennas_lost"] == [names[lost]] and summary["subbands_lost"] == [1]
    assert summary["antennas_without_data"] == ["DSA-7"]
    assert summary["bad_by_antenna"][names[spoilt]] == pytest.approx(2 / 16)
    assert set(summary["bad_by_subband"]) == {"0"}
    assert summary["unflagged_by_antenna"][names[lost]] == 0
    assert summary["usable_fraction"] == pytest.approx((~flags).mean() - summary_bad(mine, flags))
    verdicts = {c.metric: c for c in usable.checks(summary, after, ApplyOptions())}
    bad = verdicts["part of the unflagged data zero or not finite"]
    assert bad.verdict == "fail"
    reasons = [c.reason for c in verdicts.values() if c.verdict == "warn"]
    assert f"antennas that lost all data in the calibration: {names[lost]}" in reasons
    assert "subbands that lost all data in the calibration: 1" in reasons


def summary_bad(mine, flags) -> float:
    """Part of all samples that is unflagged and spoilt."""
    spoilt = np.zeros_like(flags)
    spoilt[mine[1], 3, 0] = spoilt[mine[1], 4, 1] = True
    return float((spoilt & ~flags).mean())


def test_paths_may_be_relative(days, tmp_path, monkeypatch):
    """As those of the workflow are; CASA works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(days.record.parent, "calset")
    files = days.files(0, [Path("calset/solutions.json")], Path("."))
    apply.run(files, INSTRUMENT, ApplyOptions())
    assert read_record(files.record)["verdict"] == "pass"
    assert (tmp_path / "calibrated.ms").is_dir()


def test_the_tile_is_not_touched_and_a_good_one_passes(days, tmp_path):
    before = content(days.tiles[0])
    files = days.files(0, [days.record], tmp_path)
    apply.run(files, INSTRUMENT, ApplyOptions())
    assert content(days.tiles[0]) == before
    record = json.loads(files.record.read_text())
    assert record["verdict"] == "pass", record["reason"]
    assert record["data"]["antennas_without_data"] == ["DSA-7"]
    assert record["data"]["antennas_lost"] == [] and record["data"]["bad_by_antenna"] == {}
    assert record["data"]["refinement"]["done"] == "none"


def content(directory) -> str:
    """Hash of all files below a directory."""
    digest = hashlib.sha256()
    for file in sorted(p for p in directory.rglob("*") if p.is_file() and p.name != "table.lock"):
        digest.update(str(file.relative_to(directory)).encode() + file.read_bytes())
    return digest.hexdigest()


def test_a_damaged_tile_fails_with_all_its_products(tmp_path):
    """What is wrong is found before the job begins; the choice of the calset is there as well."""
    ms = tmp_path / "ms" / "2025-10-05" / "20251005T034512.ms"
    ms.mkdir(parents=True)
    (ms / "table.dat").write_bytes(b"data")
    write_record(ms.with_suffix(".json"), product=ms.name, stage="convert", data={})
    seal(ms.with_suffix(".json"), [ms])
    (ms / "table.dat").write_bytes(b"dato")
    names = {"calibrated": "a.ms", "choice": "a.calset.json", "record": "a.json"}
    outputs = [word for flag, name in names.items() for word in (f"--{flag}", str(tmp_path / name))]
    inputs = ["--ms", str(ms), "--ms-record", str(ms.with_suffix(".json"))]
    assert main(["apply", *inputs, *outputs]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"ms", *names.values()}
    record = read_record(tmp_path / "a.json")
    assert record["verdict"] == "fail" and f"{ms}: damaged" in record["reason"]
    assert set(record["seal"]["products"]) == {"a.ms", "a.calset.json"}


@pytest.mark.parametrize("value", [1e37, np.inf])
def test_one_impossible_sample_costs_itself(days, tmp_path, value):
    ms = tmp_path / "tile.ms"
    shutil.copytree(days.tiles[0], ms)
    shutil.copy(days.tiles[0].with_suffix(".json"), ms.with_suffix(".json"))
    _, before = flags_of(ms)
    with open_table(ms, writable=True) as table:
        data = table.getcol("DATA")
        row, channel, corr = np.argwhere(~before.reshape(data.shape))[777]
        data[row, channel, corr] = value
        table.putcol("DATA", data)
    files = days.files(0, [days.record], tmp_path).model_copy(
        update={"ms": ms, "ms_record": ms.with_suffix(".json")}
    )
    apply.run(files, INSTRUMENT, ApplyOptions(channel_bin=1))
    record = read_record(files.record)
    assert record["data"]["impossible_samples"] == 1 and record["verdict"] != "fail"
    _, after = flags_of(files.calibrated)
    lost = after.reshape(data.shape) & ~before.reshape(data.shape)
    assert lost[row, channel, corr]
