"""Tiles combined: against generalised least squares, and how their agreement is judged."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from contimg.cli import main
from contimg.core.records import write_record
from contimg.core.rowflags import usable
from contimg.photometry.table import write_table
from contimg.photometry.tile.columns import TILE_SCHEMA
from contimg.photometry.tile.combine import combine

BEAM = {"major_arcsec": 40.0, "minor_arcsec": 30.0, "pa_deg": 10.0}


def tile(group, names, flux, covariance, **columns):
    """A table of one tile; sources with a covariance are neighbours."""
    n = len(names)
    error = np.sqrt(np.diag(covariance))
    close = [[k for k in range(n) if k != i and covariance[i, k]] for i in range(n)]
    table = pd.DataFrame(
        {
            "source": names, "role": "target", "ra_deg": 10.0 + np.arange(n), "dec_deg": 50.0,
            "group": group, "mjd": 60000.0, "freq_hz": 1.4e9, "freq_eff_hz": 1.4e9,
            "flux_jy": flux, "flux_err_jy": error, "flux_err_formal_jy": error,
            "snr": flux / error, "part_hz": [[1.3e9, 1.5e9]] * n,
            "part_flux_jy": [[f, f] for f in flux],
            "part_err_jy": [[e * np.sqrt(2)] * 2 for e in error],
            "beam": 0.8, "residual_snr": 1.0, "fit_ra_deg": np.nan, "fit_dec_deg": np.nan,
            "fit_err_arcsec": np.nan,
            "size_major_arcsec": np.nan, "size_minor_arcsec": np.nan, "size_pa_deg": np.nan,
            "neighbours": [[names[k] for k in c] for c in close],
            "neighbour_cov_jy2": [[covariance[i, k] for k in c] for i, c in enumerate(close)],
            "n_blend": [1 + len(c) for c in close], "flag": "",
            "scale_factor": 1.0, "scale_factor_err": 0.0,
        }
    )  # fmt: skip
    return table.assign(**columns)


def test_blends_are_combined_by_generalised_least_squares():
    rng = np.random.default_rng(1)
    names, truth, tiles, design, blocks = ["a", "b", "c"], np.array([1.0, 0.5, 0.2]), [], [], []
    for group in "xyz":
        factor = rng.normal(size=(2, 2))
        covariance = np.zeros((3, 3))
        covariance[:2, :2] = factor @ factor.T * 1e-4 + np.eye(2) * 1e-5
        covariance[2, 2] = rng.uniform(1, 4) * 1e-4
        flux = rng.multivariate_normal(truth, covariance)
        tiles.append(tile(group, names, flux, covariance))
        design.append(flux)
        blocks.append(np.linalg.inv(covariance))
    table = combine(tiles).set_index("source")
    expected = np.linalg.inv(sum(blocks))
    flux = expected @ sum(b @ f for b, f in zip(blocks, design, strict=True))
    assert table["flux_jy"].to_numpy() == pytest.approx(flux)
    assert table["flux_err_jy"].to_numpy() == pytest.approx(np.sqrt(np.diag(expected)))
    assert (table["tiles"] == 3).all()
    part = np.array(table["part_err_jy"].loc["c"])
    assert part == pytest.approx(np.sqrt(2) * table["flux_err_jy"].loc["c"] * np.ones(2))


def test_chi2_of_tiles_that_agree_and_of_one_that_does_not():
    rng = np.random.default_rng(2)
    names = [f"s{k:03d}" for k in range(400)]
    truth = rng.uniform(0.1, 1, 400)
    error = rng.uniform(0.5, 2, (3, 400)) * 1e-3
    tiles = [
        tile(g, names, truth + e * rng.normal(size=400), np.diag(e**2))
        for g, e in zip("xyz", error, strict=True)
    ]
    tiles[1].loc[7, "flux_jy"] += 0.05
    table = combine(tiles)
    assert table.loc[7, "flag"] == "tiles_disagree"
    assert (table["flag"] == "").sum() == 399
    mean = table["chi2_reduced"].drop(7).mean()
    assert mean == pytest.approx(1, abs=4 / np.sqrt(400))
    pull = (table["flux_jy"] - truth) / table["flux_err_jy"]
    assert pull.drop(7).std() == pytest.approx(1, abs=4 / np.sqrt(800))


def test_new_sources_of_two_tiles_are_one():
    one = tile("x", ["a", "new_J1"], np.array([1.0, 0.02]), np.eye(2) * 1e-6)
    two = tile("y", ["a", "new_J2"], np.array([1.0, 0.03]), np.eye(2) * 1e-6)
    two.loc[1, "dec_deg"] += 3 / 3600
    for table in (one, two):
        table.loc[1, "role"] = "new"
    table = combine([one, two])
    assert table["source"].tolist() == ["a", "new_J2"]
    assert table["flux_jy"].iloc[1] == pytest.approx(0.025)


def test_the_command(tmp_path, capsys):
    """A tile that failed is left out and named; without any there is no product."""
    good = tile("x", ["a"], np.array([1.0]), np.eye(1) * 1e-6)
    write_table(tmp_path / "x.parquet", good, TILE_SCHEMA)
    data = {"residual_beam": BEAM}
    write_record(tmp_path / "x.json", product="x", stage="photometry tile", data=data)
    write_record(
        tmp_path / "y.json", product="y", stage="photometry tile", data={}, verdict="fail",
        reason="all flagged",
    )  # fmt: skip
    out = ["--mosaic", "m", "--table", str(tmp_path / "m.parquet"), "--record"]
    out += [str(tmp_path / "m.json")]
    tables = ["--tables", str(tmp_path / "x.parquet"), str(tmp_path / "y.parquet")]
    records = ["--records", str(tmp_path / "x.json"), str(tmp_path / "y.json")]
    assert main(["photometry", "combine", *tables, *records, *out]) == 0
    record = json.loads((tmp_path / "m.json").read_text())
    assert record["verdict"] == "warn" and record["data"]["tiles_left_out"] == {"y": "all flagged"}
    table = pd.read_parquet(tmp_path / "m.parquet")
    assert table["mosaic"].tolist() == ["m"] and table["flux_jy"].tolist() == [1.0]
    assert np.isnan(table["chi2_reduced"].iloc[0])
    only = ["--tables", str(tmp_path / "y.parquet"), "--records", str(tmp_path / "y.json")]
    assert main(["photometry", "combine", *only, *out]) == 0
    record = json.loads((tmp_path / "m.json").read_text())
    assert record["verdict"] == "fail" and "y: all flagged" in record["reason"]


def test_rows_have_the_flags_of_their_tiles_image(tmp_path):
    """A tile whose flux scale is off, one that could not be checked, one whose image failed."""
    images = {
        "off": {"data": {"row_flags": ["flux_scale"]}, "verdict": "warn", "reason": "scale 1.1"},
        "scaled": {"data": {"flux_scale_applied": {"factor": 1.25, "error": 0.01}}},
        "unchecked": {"data": {"row_flags": ["unverified"]}, "verdict": "warn", "reason": "few"},
        "bad": {"data": {}, "verdict": "fail", "reason": "another sky"},
    }
    words = {"tables": [], "records": [], "images": []}
    for k, (name, judged) in enumerate(images.items()):
        names = [f"{name}1", "both"]
        table = tile(name, names, np.array([1.0, 2.0 + k]), np.diag([1e-4, 1.0]))
        write_table(tmp_path / f"{name}.parquet", table, TILE_SCHEMA)
        data = {"residual_beam": BEAM}
        write_record(tmp_path / f"{name}.json", product=name, stage="photometry tile", data=data)
        write_record(tmp_path / f"{name}-image.json", product=name, stage="image", **judged)
        words["tables"].append(str(tmp_path / f"{name}.parquet"))
        words["records"].append(str(tmp_path / f"{name}.json"))
        words["images"].append(str(tmp_path / f"{name}-image.json"))
    flags = [word for key, files in words.items() for word in (f"--{key}", *files)]
    out = ["--mosaic=m", f"--table={tmp_path / 'm.parquet'}", f"--record={tmp_path / 'm.json'}"]
    assert main(["photometry", "combine", *flags, *out]) == 0
    rows = pd.read_parquet(tmp_path / "m.parquet").set_index("source")
    names = {"off1", "scaled1", "unchecked1", "both"}
    assert set(rows.index) == names and rows.loc["both", "tiles"] == 3
    assert rows["flag"].to_dict() == {
        "off1": "flux_scale", "scaled1": "", "unchecked1": "unverified",
        "both": "flux_scale;unverified",
    }  # fmt: skip
    assert usable(rows["flag"]).to_dict() == {
        "off1": False, "scaled1": True, "unchecked1": True, "both": False,
    }  # fmt: skip
    one = rows.loc["scaled1"]
    assert (one["flux_jy"], one["flux_err_jy"]) == pytest.approx((1 / 1.25, 0.01 / 1.25))
    assert (one["scale_factor"], one["scale_factor_err"]) == (1.25, 0.01)
    assert one["part_flux_jy"] == pytest.approx([0.8, 0.8])
    assert rows.loc["both", "scale_factor"] == pytest.approx((1 + 1.25 + 1) / 3)
    record = json.loads((tmp_path / "m.json").read_text())
    assert record["data"]["tiles_left_out"] == {"bad": "its image: another sky"}
    assert record["verdict"] == "warn"
    assert {"off (image): scale 1.1", "unchecked (image): few"} < set(record["reason"].split("; "))
