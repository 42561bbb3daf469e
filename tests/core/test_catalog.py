"""Tables of sources and their flux densities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.core.catalog import COLUMNS, flux_density, read_sources, with_flux
from contimg.core.errors import ContimgError
from contimg.core.standards import STANDARDS

ROW = {
    "name": "3C286",
    "ra_deg": 202.78,
    "dec_deg": 30.51,
    "flux_jy": 14.65,
    "ref_freq_hz": 1.465e9,
    "spectral_index": -0.47,
}


def table(tmp_path: Path, *rows: dict) -> Path:
    path = tmp_path / "sources.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_flux_standard_3c286(tmp_path: Path) -> None:
    """Perley & Butler (2017): log S = 1.2481 - 0.4507 x - 0.1798 x^2 + 0.0357 x^3, x = log GHz."""
    bare = {"flux_jy": None, "ref_freq_hz": None, "spectral_index": None}
    row = read_sources(table(tmp_path, ROW | bare | {"standard": "Perley-Butler 2017"}))
    flux = flux_density(row, [1.0e9, 1.413e9])[0]
    assert flux[0] == pytest.approx(10**1.2481)
    assert flux[1] == pytest.approx(15.01, abs=0.01)
    power_law = flux_density(row.assign(log_poly=""), [1.31e9, 1.405e9, 1.5e9])
    assert np.allclose(flux_density(row, [1.31e9, 1.405e9, 1.5e9]) / power_law, 1, atol=2e-3)
    row.to_parquet(tmp_path / "again.parquet")
    pd.testing.assert_frame_equal(read_sources(tmp_path / "again.parquet"), row)


def test_standards_are_those_of_casa() -> None:
    """The coefficients of CASA's data, the last epoch of the variable sources."""
    import casadata

    from contimg.core.ms import open_table

    with open_table(f"{casadata.datapath}/nrao/VLA/standards/PerleyButler2017Coeffs") as content:
        last = int(np.argmax(content.getcol("Epoch")))
        for name, ours in STANDARDS["Perley-Butler 2017"].items():
            theirs = content.getcell(f"{name}_coeffs", last)
            assert np.allclose(theirs, ours, atol=1e-6), name


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"standard": "Baars 1977"}, "unknown standard"),
        ({"standard": "Perley-Butler 2017", "name": "3C84"}, "no source of"),
        ({"standard": "Perley-Butler 2017", "log_poly": "1.2 -0.4"}, "keep one"),
        ({"log_poly": "1.2, -0.4"}, r"\(3C286\), column log_poly"),
        ({"flux_jy": "bright"}, r"line 2, column flux_jy: 'bright' is not a number"),
        ({"dec_deg": 1825.0}, "not a position in degrees"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: dict, words: str) -> None:
    with pytest.raises(ContimgError, match=words):
        read_sources(table(tmp_path, ROW | row))


@settings(deadline=None)
@given(st.floats(0.01, 100), st.floats(-2, 2), st.floats(1.2e9, 1.6e9))
def test_power_law(flux: float, index: float, freq: float) -> None:
    sources = pd.DataFrame([ROW | {"flux_jy": flux, "spectral_index": index, "log_poly": ""}])
    expected = flux * (freq / 1.465e9) ** index
    assert flux_density(sources, freq)[0, 0] == pytest.approx(expected)


def test_without_a_spectrum_there_is_no_flux(tmp_path: Path) -> None:
    sources = read_sources(table(tmp_path, ROW | {"flux_jy": None}, ROW | {"name": "b"}))
    flux = flux_density(sources, [1.4e9, 1.5e9])
    assert flux.shape == (2, 2)
    assert np.isnan(flux[0]).all()
    assert np.isfinite(flux[1]).all()


def test_csv_and_parquet_are_alike(tmp_path: Path) -> None:
    path = table(tmp_path, ROW, ROW | {"name": "0834+555"})
    frame = read_sources(path)
    frame.to_parquet(tmp_path / "sources.parquet")
    pd.testing.assert_frame_equal(read_sources(tmp_path / "sources.parquet"), frame)


@pytest.mark.parametrize("name", ["s.ecsv", "s.vot", "s.xml", "s.fits"])
def test_other_formats_are_read_alike(tmp_path: Path, name: str) -> None:
    from astropy.table import MaskedColumn, Table

    rows = [ROW, ROW | {"name": "0834+555"}]
    content = Table(rows=rows)
    content["flux_jy"] = MaskedColumn(content["flux_jy"], mask=[False, True])
    content.write(tmp_path / name, **({"format": "votable"} if name[-3:] in ("vot", "xml") else {}))
    found = read_sources(tmp_path / name)
    expected = read_sources(table(tmp_path, ROW, ROW | {"name": "0834+555", "flux_jy": None}))
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("name", ["s.csv", "s.parquet", "s.vot", "s.fits"])
def test_files_that_are_no_tables_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\xff no table" * 400)
    with pytest.raises(ContimgError, match=name):
        read_sources(tmp_path / name)


def test_rows_without_flux_are_counted(tmp_path: Path) -> None:
    sources = read_sources(
        table(
            tmp_path,
            ROW,
            ROW | {"name": "b", "flux_jy": None},
            ROW | {"name": "c", "spectral_index": None},
        )
    )
    known, without = with_flux(sources, [1.4e9, 1.5e9])
    assert list(known["name"]) == ["3C286"]
    assert without == 2


def test_names_of_digits_stay_names(tmp_path: Path) -> None:
    assert list(read_sources(table(tmp_path, ROW | {"name": 834}))["name"]) == ["834"]


@pytest.mark.parametrize("column", COLUMNS)
def test_missing_column_is_named(tmp_path: Path, column: str) -> None:
    row = {name: value for name, value in ROW.items() if name != column}
    with pytest.raises(ContimgError, match=column):
        read_sources(table(tmp_path, row))


@pytest.mark.parametrize(
    ("rows", "words"),
    [((ROW, ROW), "more than one source"), ((ROW | {"dec_deg": None},), "no position")],
)
def test_ambiguous_tables_are_refused(tmp_path: Path, rows: tuple[dict, ...], words: str) -> None:
    with pytest.raises(ContimgError, match=words):
        read_sources(table(tmp_path, *rows))


def test_missing_table_says_where(tmp_path: Path) -> None:
    with pytest.raises(ContimgError, match=r"nowhere\.csv"):
        read_sources(tmp_path / "nowhere.csv")
