"""Parts of the band joined until a source would be seen in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contimg.cli import main
from contimg.photometry.adaptive import bins, spectra

FREQ_HZ = np.linspace(1.32e9, 1.49e9, 8)
SIGMA_JY = 1e-3  # of a part


def rows(flux_jy: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    """Sources of these flux densities at 1.4 GHz and spectral index -0.7, measured in 8 parts."""
    true = flux_jy[:, None] * (FREQ_HZ / 1.4e9) ** -0.7
    parts = true + SIGMA_JY * random.normal(size=true.shape)
    return pd.DataFrame(
        {
            "source": [f"S{k}" for k in range(flux_jy.size)],
            "mjd": 60000.0,
            "flux_jy": parts.mean(axis=1),
            "part_hz": [FREQ_HZ] * flux_jy.size,
            "part_flux_jy": [*parts],
            "part_err_jy": [np.full(8, SIGMA_JY)] * flux_jy.size,
            "flag": "",
        }
    )


@pytest.mark.parametrize(
    ("snr_of_a_part", "lengths"),
    [(6, [1] * 8), (3.6, [2] * 4), (3.0, [3, 5]), (2.0, [8]), (0.1, [8]), (-3.0, [8])],
)
def test_as_many_bins_as_the_source_is_bright_enough_for(snr_of_a_part, lengths):
    found = bins(np.full(8, SIGMA_JY), snr_of_a_part * SIGMA_JY, 5.0)
    assert [part.stop - part.start for part in found] == lengths
    assert [found[0].start, found[-1].stop] == [0, 8]


def test_bins_are_not_biased_to_what_noise_has_added():
    """Parts of 4.3 sigma: one in four is above 5, and higher than it should be by more than one."""
    table_of = rows(np.full(2000, 4.3 * SIGMA_JY), np.random.default_rng(2))
    table = spectra(table_of, 5.0)
    true = 4.3 * SIGMA_JY * (table["freq_hz"] / 1.4e9) ** -0.7
    pull = (table["flux_jy"] - true) / table["flux_err_jy"]
    assert abs(pull.mean()) < 0.1
    parts = np.concatenate([*table_of["part_flux_jy"]])
    seen = parts / SIGMA_JY > 5
    biased = parts[seen] - np.tile(4.3 * SIGMA_JY * (FREQ_HZ / 1.4e9) ** -0.7, 2000)[seen]
    assert biased.mean() > SIGMA_JY
    assert pull.std() == pytest.approx(1, abs=3 / np.sqrt(2 * len(pull)))


def test_parts_that_were_not_measured_are_left_out():
    table = rows(np.array([0.1]), np.random.default_rng(1))
    table.at[0, "part_flux_jy"] = np.where(np.arange(8) == 3, np.nan, table["part_flux_jy"][0])
    assert FREQ_HZ[3] not in set(spectra(table, 5.0)["freq_hz"])


def test_the_verb_lists_one_source_and_names_one_that_is_not_there(tmp_path, capsys):
    path, out = tmp_path / "f.parquet", tmp_path / "s.csv"
    rows(np.array([0.1, 0.002]), np.random.default_rng(1)).to_parquet(path)
    words = ["photometry", "adaptive", "--fluxes", str(path)]
    assert main([*words, "--source", "S0", "--table", str(out)]) == 0
    table = pd.read_csv(out)
    assert len(table) == 8 and set(table["source"]) == {"S0"}
    assert main([*words, "--source", "S9"]) == 1
    assert "no source S9" in capsys.readouterr().err
