"""The comparison with the truth: perfect results pass, each kind of defect fails its line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from contimg.cli import main

EPOCHS = 12
BEAM_DEG = 20 / 3600


def results(seed: int = 3) -> dict[str, pd.DataFrame]:
    """Truth and made-up results with Gaussian errors."""
    rng = np.random.default_rng(seed)
    kinds = ["calibrator", "ese", "variable", *["field"] * 20]
    names = [f"S{i}" for i in range(len(kinds))]
    mjd = 60953.6 + np.arange(EPOCHS)
    truth = pd.DataFrame(
        [
            {
                "source": name,
                "kind": kind,
                "mjd": t,
                "ra_deg": 128 + 0.05 * i,
                "dec_deg": 55.5,
                "flux_jy": 0.05 + 0.01 * i + 0.02 * np.sin(t) * (kind in ("ese", "variable")),
            }
            for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
            for t in mjd
        ]
    )
    photometry = truth.drop(columns="kind").assign(
        mjd=truth.mjd + 0.001,
        flux_jy=truth.flux_jy + 1e-4 * rng.standard_normal(len(truth)),
        flux_err_jy=1e-4,
        snr=truth.flux_jy / 1e-4,
        fit_ra_deg=truth.ra_deg + 0.01 * BEAM_DEG * rng.standard_normal(len(truth)),
        fit_dec_deg=truth.dec_deg,
        bmaj_deg=BEAM_DEG,
        bmin_deg=BEAM_DEG,
        flag="",
    )
    curves = photometry[["source", "mjd", "flag"]].assign(
        flux_norm_jy=photometry.flux_jy, flux_norm_err_jy=1e-4
    )
    sources = pd.DataFrame({"source": names, "p_constant": [0.5, 1e-9, 1e-9, *[0.5] * 20]})
    flux = truth[truth["source"] == "S1"]["flux_jy"]
    far = flux.iloc[0] if flux.argmin() > EPOCHS / 2 else flux.iloc[-1]
    candidates = pd.DataFrame(
        {
            "rank": [1, 2],
            "source": ["S1", "S2"],
            "list": "announce",
            "depth": 1 - flux.min() / far + 0.01,
            "depth_err": 0.01,
            "minimum_flux_jy": flux.min(),
            "minimum_flux_err_jy": 1e-4,
            "baseline_jy": far,
            "baseline_err_jy": 1e-4,
            "width_days": 2.0,
            "width_err_days": 0.2,
        }
    )
    return {
        "truth": truth,
        "photometry": photometry,
        "lightcurves": curves,
        "sources": sources,
        "candidates": candidates,
    }


def compare(tmp_path, tables) -> dict:
    """Run the verb; its record."""
    arguments = ["compare-truth"]
    for name, table in tables.items():
        path = tmp_path / f"{name}.{'csv' if name == 'candidates' else 'parquet'}"
        if name == "candidates":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path)
        arguments += [f"--{name}", str(path)]
    record = tmp_path / "record.json"
    arguments += ["--table", str(tmp_path / "table.csv"), "--record", str(record)]
    assert main(arguments) == 0
    return json.loads(record.read_text())


def test_good_results_pass_and_the_table_can_be_shown_again(tmp_path, capsys) -> None:
    record = compare(tmp_path, results())
    assert record["verdict"] == "pass" and len(record["checks"]) == 19
    printed = capsys.readouterr().out
    assert printed.count("PASS") == 19
    assert main(["compare-truth", "--show", str(tmp_path / "table.csv")]) == 0
    assert capsys.readouterr().out == printed


def _shift(tables):
    tables["photometry"]["fit_ra_deg"] += 0.2 * BEAM_DEG / np.cos(np.radians(55.5))


def _scale(tables):
    tables["photometry"]["flux_jy"] *= 0.95


def _dip(tables):
    """The lensed source 13 % low in one epoch."""
    table = tables["photometry"]
    table.loc[table.index[table["source"] == "S1"][5], "flux_jy"] *= 0.87


def _caustic(tables):
    """The lensed source 3 % high in one epoch: within any limit by size, not within its error."""
    table = tables["photometry"]
    table.loc[table.index[table["source"] == "S1"][3], "flux_jy"] *= 1.03


def _uncertain_dip(tables):
    """13 % low, and the errors as large."""
    _dip(tables)
    tables["photometry"].loc[tables["photometry"]["source"] == "S1", "flux_err_jy"] = 0.01


def _flagged_dip(tables):
    table = tables["photometry"]
    table.loc[table.index[table["source"] == "S1"][5], "flag"] = "bad_fit"


def _small_errors(tables):
    tables["lightcurves"]["flux_norm_err_jy"] /= 3


def _wrong_first(tables):
    tables["candidates"]["source"] = ["S2", "S1"]


def _constant_found(tables):
    tables["candidates"]["source"] = ["S1", "S7"]


def _none_found(tables):
    tables["candidates"] = tables["candidates"].iloc[:0]


def _too_shallow(tables):
    tables["candidates"]["depth"] -= 0.06


def _too_wide(tables):
    tables["candidates"]["width_days"] = 6.0


def _low_baseline(tables):
    tables["candidates"]["baseline_jy"] -= 5e-4


def _watched_only(tables):
    tables["candidates"]["list"] = "watch"


def _constant_variable(tables):
    tables["sources"].loc[2, "p_constant"] = 0.3


def _all_flagged(tables):
    tables["photometry"]["flag"] = "bad_fit"


@pytest.mark.parametrize(
    ("spoil", "failures"),
    [
        (_shift, ["position offset of sources SNR > 20, median"]),
        (_scale, [*["measured over true flux of"] * 2, *["largest (measured - true)"] * 2]),
        (
            _dip,
            ["largest (measured - true) / error of the lensed", "largest deviation of the lensed"],
        ),
        (_caustic, ["largest (measured - true) / error of the lensed source"]),
        (_uncertain_dip, ["largest deviation of the lensed source"]),
        (_flagged_dip, ["epochs of the lensed source"]),
        (_small_errors, ["(measured - true) / error"]),
        (_wrong_first, ["rank of the lensed source"]),
        (_constant_found, ["constant sources among candidates"]),
        (_none_found, ["rank of the lensed source"]),
        (_too_shallow, ["(measured - true) / error of the depth"]),
        (_too_wide, ["(measured - true) / error of the width"]),
        (_low_baseline, ["(measured - true) / error of the flux without"]),
        (_watched_only, ["rank of the lensed source"]),
        (_constant_variable, ["probability that the variable source"]),
        (
            _all_flagged,
            [*["position"] * 2, *["measured"] * 2, *["largest", "largest", "epochs"] * 2],
        ),
    ],
)
def test_every_defect_fails_its_line(tmp_path, spoil, failures) -> None:
    tables = results()
    spoil(tables)
    record = compare(tmp_path, tables)
    failed = [c["metric"] for c in record["checks"] if c["verdict"] == "fail"]
    assert record["verdict"] == "fail" and len(failed) == len(failures)
    assert all(m.startswith(f) for m, f in zip(failed, failures, strict=True))


def test_results_that_failed_give_a_failed_record(tmp_path) -> None:
    tables = results()
    tables["lightcurves"] = pd.DataFrame()
    record = compare(tmp_path, tables)
    assert record["verdict"] == "fail" and "lightcurves.parquet" in record["reason"]


def test_missing_arguments_are_named(capsys) -> None:
    assert main(["compare-truth", "--table", "x.csv"]) == 1
    assert "truth" in capsys.readouterr().err
