"""The two verbs from the command line, on files."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from contimg.cli import main
from contimg.core.records import write_record
from contimg.variability.columns import CANDIDATES
from contimg.variability.lightcurves import COLUMNS, read_photometry
from variability import known_curves as made


def lightcurves(folder, tables, records, *flags):
    """Run the verb; return its status."""
    words = ["--photometry", *map(str, tables), "--photometry-records", *map(str, records)]
    words += [f"--table={folder}/lc.parquet", f"--epochs={folder}/epochs.csv"]
    words += [f"--record={folder}/lc.json", f"--plot={folder}/lc.png"]
    return main(["lightcurves", *words, *flags])


def variability(folder, *flags):
    """Run the verb; return its status."""
    words = [f"--lightcurves={folder}/lc.parquet", f"--lightcurves-record={folder}/lc.json"]
    words += [f"--sources={folder}/sources.parquet", f"--candidates={folder}/c.csv"]
    words += [f"--candidates-ecsv={folder}/c.ecsv", f"--candidates-vot={folder}/c.vot"]
    words += [f"--plot={folder}/c.png", f"--record={folder}/v.json", "--null-draws=100"]
    words += [f"--completeness={folder}/done.csv", f"--false-alarms={folder}/false.csv"]
    words += [f"--search-plot={folder}/search.png", f"--alerts={folder}/alerts"]
    return main(["variability", *words, *(flags or ["--injections=0"])])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Photometry of 24 sources at 12 epochs, one of them failed, one source behind a lens."""
    folder = tmp_path_factory.mktemp("run")
    change = np.ones((24, 12))
    change[5] = made.lens_dip(np.arange(12.0), 6.0, 5.0, 0.5)
    grid, gains, flux = made.grid(24, 12, 3, change=change, excess=0.01)
    grid.good[10, 4] = False
    tables, records = made.write_photometry(folder / "photometry", grid, failed=("m002",))
    assert lightcurves(folder, tables, records) == 0
    assert variability(folder, "--injections=8") == 0
    return folder, tables, records, gains, flux


def test_light_curves(run):
    folder, _, _, gains, flux = run
    table = pd.read_parquet(folder / "lc.parquet")
    assert list(table.columns) == COLUMNS
    assert len(table) == 24 * 11
    assert table.loc[~table["flag"].eq(""), "source"].tolist() == ["s010"]
    lensed = table[table["source"] == "s005"]
    assert not lensed["is_reference"].any()
    steady = table[table["is_reference"]]
    truth = dict(zip([f"s{k:03d}" for k in range(24)], flux, strict=True))
    scale = np.exp(np.mean(np.log(np.delete(gains, 2))))
    pull = (steady["flux_norm_jy"] - scale * steady["source"].map(truth)) / steady[
        "flux_norm_err_jy"
    ]
    assert np.std(pull[steady["flag"] == ""]) == pytest.approx(1, abs=0.15)


def test_a_source_may_differ_from_strip_to_strip(tmp_path):
    """Two pointings a degree apart, each for six of twelve epochs; the sources are constant."""
    grid, _, _ = made.grid(24, 12, 7, excess=0.0)
    strip = np.arange(12) // 3 % 2
    differ = 1 + 0.03 * np.random.default_rng(1).normal(size=(24, 2))[:, strip]
    grid = replace(grid, flux=grid.flux * differ, strip=strip)
    photometry = made.write_photometry(tmp_path / "photometry", grid)
    assert lightcurves(tmp_path, *photometry, "--strip-offset=0") == 0
    assert json.loads((tmp_path / "lc.json").read_text())["data"]["references_dropped"]
    assert lightcurves(tmp_path, *photometry, "--strip-offset=0.03") == 0
    curves = pd.read_parquet(tmp_path / "lc.parquet")
    assert curves["is_reference"].all()
    # flux densities stay as they were measured
    by_strip = curves.groupby(["source", "pointing_dec_deg"])["flux_norm_jy"].mean().unstack()
    found, true = by_strip[17.0] / by_strip[16.0], differ[:, 3] / differ[:, 0]
    assert np.std(found) == pytest.approx(np.std(true), rel=0.2)
    assert variability(tmp_path, "--injections=0", "--strip-offset=0.03") == 0
    sources = pd.read_parquet(tmp_path / "sources.parquet")
    assert sources["p_constant"].min() > 1e-3
    # the excess scatter errs to be large where there is none
    assert sources["eta"].mean() == pytest.approx(1, abs=0.3)


def test_every_epoch_is_accounted_for(run):
    folder = run[0]
    epochs = pd.read_csv(folder / "epochs.csv", keep_default_na=False)
    assert len(epochs) == 12
    lost = epochs[epochs["status"] == "left_out"]
    assert lost["mosaic"].tolist() == ["m002"]
    assert lost["reason"].tolist() == ["all tiles lost"]
    record = json.loads((folder / "lc.json").read_text())
    assert record["verdict"] == "warn"
    assert "s005" in record["data"]["references_dropped"]


def test_the_lensed_source_is_the_candidate(run):
    folder = run[0]
    table = pd.read_csv(folder / "c.csv")
    assert list(table.columns) == list(CANDIDATES)
    assert table["source"].tolist() == ["s005"]
    assert table["rank"].tolist() == [1]
    row = table.iloc[0]
    assert row["minimum_flux_jy"] == pytest.approx(
        row["baseline_jy"] * (1 - row["depth"]), abs=row["minimum_flux_err_jy"]
    )
    assert (folder / "c.png").stat().st_size > 1000
    assert json.loads((folder / "v.json").read_text())["data"]["candidates"] == 1


def test_the_declared_number_of_false_candidates_is_that_of_the_run(run):
    """Every source gets its share of it; with the whole for each there would be 24 times more."""
    data = json.loads((run[0] / "v.json").read_text())["data"]
    sources = pd.read_parquet(run[0] / "sources.parquet")
    searched = sources["ese_false_alarm_probability"].notna()
    assert searched.sum() == 24
    assert data["false_alarm_threshold"] * 24 == pytest.approx(data["expected_false_candidates"])
    below = sources["ese_false_alarm_probability"] < data["expected_false_candidates"] / 24
    assert (sources["is_candidate"] == below).all()


def test_candidate_formats_agree(run):
    folder = run[0]
    csv = pd.read_csv(folder / "c.csv")
    for name, form in (("c.ecsv", "ascii.ecsv"), ("c.vot", "votable")):
        table = Table.read(folder / name, format=form)
        assert table.colnames == list(csv.columns)
        assert str(table["width_days"].unit) == "d"
        np.testing.assert_allclose(table["log_bayes_factor"], csv["log_bayes_factor"])
        assert list(table["source"]) == list(csv["source"])


def test_table_of_sources(run):
    sources = pd.read_parquet(run[0] / "sources.parquet")
    assert sources["source"].tolist() == sorted(sources["source"])
    assert sources["n_epochs"].tolist() == [11] * 10 + [10] + [11] * 13
    steady = sources[~sources["is_candidate"]]
    assert 0.5 < steady["eta"].median() < 1.5
    assert steady["p_vs_max"].min() > 1e-4
    lensed = sources[sources["is_candidate"]].iloc[0]
    assert lensed["p_constant"] < 1e-10 and abs(lensed["vs_max"]) > 10


def test_order_of_inputs_does_not_matter(run, tmp_path):
    folder, tables, records, _, _ = run
    assert lightcurves(tmp_path, tables[::-1], records[::-1]) == 0
    for name in ("lc.parquet", "epochs.csv", "lc.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_parts_in_the_photometry_give_a_dip_its_colour(run, tmp_path):
    """The same photometry, now in four parts that all show the same dip: no lens does that."""
    folder, tables, records, _, _ = run
    random, hz = np.random.default_rng(6), np.array([1.335e9, 1.382e9, 1.429e9, 1.476e9])
    photometry = tmp_path / "photometry"
    photometry.mkdir()
    for path, record in zip(tables, records, strict=True):
        table = pd.read_parquet(path)
        if len(table):
            error = 2 * table["flux_err_jy"].to_numpy()[:, None] * np.ones(4)
            flux = table["flux_jy"].to_numpy()[:, None] * (hz / 1.4e9) ** -0.7
            flux = flux + error * random.normal(size=error.shape)
            table["part_hz"] = [hz.tolist()] * len(table)
            table["part_flux_jy"], table["part_err_jy"] = flux.tolist(), error.tolist()
        table.to_parquet(photometry / path.name)
        (photometry / record.name).write_bytes(record.read_bytes())
    for name in ("lc.parquet", "lc.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert variability(tmp_path, "--injections=0", f"--photometry={photometry}") == 0
    found = pd.read_parquet(tmp_path / "sources.parquet").set_index("source")
    assert np.isnan(pd.read_parquet(folder / "sources.parquet")["colour"]).all()
    dip = found.loc["s005"]
    assert abs(dip["colour"]) < 3 * dip["colour_err"] < 1
    assert dip["class"] == "achromatic_dip" and dip["list"] == "watch"


def test_no_candidate_gives_valid_files(tmp_path):
    grid, _, _ = made.grid(8, 9, 1)
    assert lightcurves(tmp_path, *made.write_photometry(tmp_path / "p", grid)) == 0
    assert variability(tmp_path) == 0
    assert list(pd.read_csv(tmp_path / "c.csv").columns) == list(CANDIDATES)
    assert len(Table.read(tmp_path / "c.ecsv", format="ascii.ecsv")) == 0
    assert len(Table.read(tmp_path / "c.vot", format="votable")) == 0


def test_few_epochs_are_measured_but_not_searched(tmp_path):
    grid, _, _ = made.grid(8, 3, 1)
    assert lightcurves(tmp_path, *made.write_photometry(tmp_path / "p", grid)) == 0
    assert variability(tmp_path) == 0
    sources = pd.read_parquet(tmp_path / "sources.parquet")
    assert sources["eta"].notna().all() and sources["ese_log_bayes_factor"].isna().all()
    assert json.loads((tmp_path / "v.json").read_text())["verdict"] == "warn"


def test_failed_epochs_only(tmp_path):
    grid, _, _ = made.grid(8, 2, 1)
    files = made.write_photometry(tmp_path / "p", grid, failed=("m000", "m001"))
    assert lightcurves(tmp_path, *files) == 0
    record = json.loads((tmp_path / "lc.json").read_text())
    assert record["verdict"] == "fail" and "all tiles lost" in record["reason"]
    assert variability(tmp_path) == 0
    assert json.loads((tmp_path / "v.json").read_text())["verdict"] == "fail"


@pytest.mark.parametrize("how", ["cut short", "a directory"])
def test_a_damaged_record_costs_its_epoch_alone(tmp_path, how):
    grid, *_ = made.grid(24, 6, 3)
    tables, records = made.write_photometry(tmp_path / "photometry", grid)
    text = records[2].read_text()
    records[2].unlink()
    records[2].mkdir() if how == "a directory" else records[2].write_text(text[:200])
    assert lightcurves(tmp_path, tables, records) == 0
    record = json.loads((tmp_path / "lc.json").read_text())
    assert record["verdict"] == "warn" and record["data"]["epochs_left_out"].keys() == {"m002"}
    assert str(records[2]) in record["data"]["epochs_left_out"]["m002"]
    assert pd.read_parquet(tmp_path / "lc.parquet")["mosaic"].nunique() == 5


def test_epochs_without_references_are_flagged(tmp_path):
    grid, _, _ = made.grid(4, 9, 1)
    assert lightcurves(tmp_path, *made.write_photometry(tmp_path / "p", grid)) == 0
    table = pd.read_parquet(tmp_path / "lc.parquet")
    assert (table["flag"] == "unnormalised").all()
    np.testing.assert_array_equal(table["flux_norm_jy"], table["flux_jy"])
    assert (table["flux_norm_err_jy"] > 0.04 * table["flux_jy"]).all()
    assert json.loads((tmp_path / "lc.json").read_text())["verdict"] == "warn"


def test_a_mistaken_input_is_an_error(tmp_path, capsys):
    grid, _, _ = made.grid(6, 2, 1)
    tables, records = made.write_photometry(tmp_path / "p", grid)
    assert lightcurves(tmp_path, tables, records[:1]) == 1
    assert "records" in capsys.readouterr().err
    assert lightcurves(tmp_path, tables[::-1], records) == 1
    assert "not of m00" in capsys.readouterr().err


def test_a_blank_in_a_table_costs_its_row_alone(tmp_path):
    """Nine rows of an epoch, each with another defect: three of them are harmless."""
    grid, _, _ = made.grid(12, 7, 1)
    tables, records = made.write_photometry(tmp_path / "p", grid)
    table = pd.read_parquet(tables[2]).astype({"source": object, "flag": object, "n_blend": float})
    defects = [("mjd", np.nan), ("source", None), ("flux_jy", np.nan), ("flux_jy", np.inf)]
    defects += [("flux_err_jy", np.nan), ("flux_err_jy", 0.0)]
    defects += [("ra_deg", np.nan), ("n_blend", np.nan), ("flag", None)]
    for row, (column, value) in enumerate(defects):
        table.loc[table.index[row], column] = value
    table.to_parquet(tables[2])
    lost = pd.read_parquet(tables[5]).assign(mjd=np.nan)
    lost.to_parquet(tables[5])
    assert lightcurves(tmp_path, tables, records) == 0
    assert variability(tmp_path) == 0
    curves = pd.read_parquet(tmp_path / "lc.parquet")
    good = curves[curves["flag"] == ""]
    assert len(good) == 12 * 6 - 6 and np.isfinite(good["flux_norm_jy"]).all()
    assert (curves["flag"] == "unmeasured").sum() == 4
    record = json.loads((tmp_path / "lc.json").read_text())
    checks = {c["metric"]: c for c in record["checks"]}
    assert checks["rows_without_source_or_time"]["value"] == 2 + 12
    epochs = pd.read_csv(tmp_path / "epochs.csv").set_index("mosaic")
    assert epochs.loc["m005", "status"] == "left_out"


def test_a_row_that_is_not_of_one_piece_is_no_measurement(tmp_path):
    """A bit of an error, in a table that no record speaks for."""
    rows = 40
    table = pd.DataFrame(
        {
            **{"source": [f"s{k}" for k in range(rows)], "mosaic": "m0", "mjd": 60953.0},
            **{"flux_jy": 1.0, "flux_err_jy": 0.01, "snr": 100.0, "flag": "", "n_blend": 1},
            **{"ra_deg": 10.0 + np.arange(rows), "dec_deg": 20.0},
        }
    )
    table.loc[7, "flux_err_jy"] = 0.0103
    table.to_parquet(tmp_path / "m0.parquet")
    write_record(tmp_path / "m0.json", product="m0", stage="photometry", data={})
    (found, *_) = read_photometry([(tmp_path / "m0.parquet", tmp_path / "m0.json")])
    found = found.set_index("source")
    assert found.loc["s7", "flag"] == "unmeasured" and np.isnan(found.loc["s7", "flux_jy"])
    assert (found.drop("s7")["flag"] == "").all()
