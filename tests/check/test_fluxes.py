"""Known flux densities and positions against measured ones, and against none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from contimg.cli import main
from contimg.core.failure import write_failed
from contimg.core.records import read_record, write_record

EXPECTED = """source,ra_deg,dec_deg,flux_jy,flux_tolerance,position_tolerance_arcsec
A,10.0,20.0,2.0,0.1,3
B,11.0,20.0,1.0,0.1,3
"""


def row(source: str, **changes) -> dict:
    return {
        "source": source,
        "flux_jy": 2.0,
        "flux_err_jy": 0.01,
        "flag": "",
        "snr": 200.0,
        "fit_ra_deg": 10.0,
        "fit_dec_deg": 20.0,
        "fit_err_arcsec": 0.1,
    } | changes


def compare(directory: Path, rows: list[dict] | None) -> tuple[dict, pd.DataFrame]:
    """(record, comparison) of what the command makes of these measurements; None: they failed."""
    expected, table = directory / "expected.csv", directory / "m.parquet"
    expected.write_text(EXPECTED)
    if rows is None:
        write_failed(table, "no mosaic")
    else:
        pd.DataFrame(rows).to_parquet(table)
    write_record(
        directory / "m.json",
        product="m",
        stage="photometry",
        data={},
        reason="no mosaic" if rows is None else "",
        verdict="fail" if rows is None else None,
    )
    words = f"--expected {expected} --photometry {table} --photometry-records {directory}/m.json"
    words += f" --table {directory}/c.csv --record {directory}/c.json"
    assert main(["check-fluxes", *words.split()]) == 0
    return read_record(directory / "c.json"), pd.read_csv(directory / "c.csv")


def test_two_measurements_are_weighted_and_the_position_is_that_of_the_best(tmp_path):
    near = {"flux_jy": 1.9, "flux_err_jy": 0.02, "snr": 95.0, "fit_dec_deg": 21.0}
    record, lines = compare(tmp_path, [row("A"), row("A", **near), row("B", flux_jy=1.0)])
    flux = lines[(lines["source"] == "A") & (lines["quantity"] == "flux density")]
    assert flux["measured"].item() == pytest.approx((2.0 * 4 + 1.9) / 5)
    assert flux["error"].item() == pytest.approx((1e4 + 2500) ** -0.5)
    # B is where A is: 1 deg x cos 20 deg off
    assert lines["result"].tolist() == ["PASS", "PASS", "PASS", "FAIL"]
    assert lines["measured"].iloc[3] == pytest.approx(3600 * 0.93969, rel=1e-3)
    assert record["verdict"] == "fail" and "B: position offset" in record["reason"]


@pytest.mark.parametrize("rows", [None, [], [row("C")], [row("A", flux_jy=float("nan"))]])
def test_nothing_measured_is_a_failure_in_words(tmp_path, capsys, rows):
    if rows == []:
        rows = [row("A", flag="blended"), row("B", flag="blended")]
    record, lines = compare(tmp_path, rows)
    assert record["verdict"] == "fail"
    assert "A: flux density not measured, expected 1.800 .. 2.200 Jy" in record["reason"]
    assert "B: flux density not measured" in record["reason"]
    assert [check["value"] for check in record["checks"]] == [None, None]
    assert lines["result"].tolist() == ["FAIL", "FAIL"]
    assert main(["check-fluxes", "--show", str(tmp_path / "c.csv")]) == 1
    assert "2 of 2 comparisons failed" in capsys.readouterr().err


def test_doubts_about_tiles_are_what_the_comparison_settles(tmp_path):
    rows = [row("A", flag="calibration;extended"), row("B", flag="calibration;bad_fit")]
    _, lines = compare(tmp_path, rows)
    assert lines.set_index("source")["result"].groupby(level=0).first().to_dict() == {
        "A": "PASS",
        "B": "FAIL",
    }


def test_a_source_that_is_no_point_has_no_position_to_compare(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "EXPECTED", EXPECTED.replace("1.0,0.1,3", "1.0,0.1,"))
    rows = [row("A"), row("B", flux_jy=1.0, fit_ra_deg=float("nan"), fit_dec_deg=float("nan"))]
    record, lines = compare(tmp_path, rows)
    assert lines["quantity"].tolist() == ["flux density", "position offset", "flux density"]
    assert record["verdict"] == "pass"
    monkeypatch.setitem(globals(), "EXPECTED", EXPECTED.replace("1.0,0.1,", "1.0,0.1,far"))
    with pytest.raises(AssertionError):  # words are no empty cell
        compare(tmp_path, rows)
