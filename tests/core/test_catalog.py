"""Tables of sources and their flux densities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.core.catalog import COLUMNS, flux_density, read_sources
from contimg.core.errors import ContimgError

ROOT = Path(__file__).parents[2]
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


def test_flux_standard_3c286() -> None:
    """Perley & Butler (2017): log S = 1.2481 - 0.4507 x - 0.1798 x^2 + 0.0357 x^3, x = log GHz."""
    sources = read_sources(ROOT / "config" / "calibrators.csv")
    row = sources[sources["name"] == "3C286"]
    assert row["log_poly"].item().split() == ["1.2481", "-0.4507", "-0.1798", "0.0357"]
    flux = flux_density(row, [1.0e9, 1.413e9])[0]
    assert flux[0] == pytest.approx(10**1.2481)
    assert flux[1] == pytest.approx(15.01, abs=0.01)


def test_power_laws_of_the_calibrators_agree_with_their_polynomials() -> None:
    """Both forms of a row must describe one source, or a typing error is in one of them."""
    sources = read_sources(ROOT / "config" / "calibrators.csv")
    sources = sources[sources["log_poly"] != ""]
    power_law = flux_density(sources.assign(log_poly=""), 1.465e9)
    assert np.allclose(flux_density(sources, 1.465e9) / power_law, 1, atol=0.03)


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
