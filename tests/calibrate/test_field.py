"""Flux densities of the field of a transit, against the simulated sky."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contimg.calibrate import solve
from contimg.calibrate.field import fit_field
from contimg.calibrate.options import CalibrateOptions
from contimg.core.casa import casa_session
from contimg.core.catalog import FITTED, flux_density
from contimg.core.ms import read_axes
from contimg.flag.options import FlagOptions
from contimg.simulate.schedule import schedule
from truth.observe import CORRUPTED, INSTRUMENT
from truth.transit import observe_transit, surrounded

LENSED, CONSTANT = "F10", ["F7", "F8", "F9"]


def caustic(middle_ghz: float, peak_jy: float, width_ghz: float) -> str:
    """log_poly of a Gaussian in the logarithm of the frequency."""
    at, steep = np.log10(middle_ghz), np.log10(np.e) / (2 * np.log10(1 + width_ghz) ** 2)
    return f"{np.log10(peak_jy) - steep * at**2} {2 * steep * at} {-steep}"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """(sky, fit, frequencies): one source is behind a lens of which the catalogue knows nothing."""
    directory = tmp_path_factory.mktemp("field")
    group = schedule(CORRUPTED, INSTRUMENT)[0]
    known = surrounded(group)
    sky = known.copy()
    sky.loc[sky["name"] == LENSED, "log_poly"] = caustic(1.36, 1.5, 0.05)
    files = observe_transit(directory, group, sky, CORRUPTED, FlagOptions(steps=[]))
    known.to_csv(files.catalog, index=False)
    axes, beam = read_axes(files.ms), solve.PrimaryBeam(INSTRUMENT)
    sources = solve.sky_model(files, axes, beam, CalibrateOptions())
    with casa_session():
        where = (slice(0, axes.mjd.size), "")
        return sky, fit_field(Path(files.ms), axes, sources, beam, *where), axes.freq_hz


def test_a_spectrum_that_the_catalogue_does_not_know_is_found(fitted):
    sky, found, freq = fitted
    row = found.sources["name"].tolist().index(LENSED)
    true = flux_density(sky[sky["name"] == LENSED], freq)[0]
    assert true.max() > 4 * true.min()
    model = flux_density(found.sources.iloc[[row]], freq)[0]
    assert model == pytest.approx(true, abs=0.04)  # of 1.5 Jy; a block is good to 0.013
    assert model.mean() == pytest.approx(true.mean(), rel=0.01)
    assert found.moved <= 0.1
    listed = {source["name"]: source for source in found.describe()["sources"]}
    assert len(listed[LENSED]["factor"]) == len(found.describe()["block_mhz"])


def test_other_sources_keep_the_spectrum_of_the_catalogue(fitted):
    sky, found, _ = fitted
    table = found.sources.set_index("name")
    assert (table[FITTED] == "").drop(LENSED).all()
    true = sky.set_index("name")["flux_jy"]
    place = {name: k for k, name in enumerate(table.index)}
    for name in CONSTANT:
        k = place[name]
        assert found.fitted_jy[k] == pytest.approx(true[name], abs=4 * found.error_jy[k])
