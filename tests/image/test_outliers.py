"""A bright source outside the image does not spoil it, whatever its catalogued flux density."""

from __future__ import annotations

import numpy as np
import pytest

from contimg.core.fits import read_image
from contimg.core.ms import open_table
from contimg.core.robust import robust_rms
from contimg.image.options import ImageOptions
from truth.tiles import image, peak_near, sky, with_sky

OPTIONS = ImageOptions(backend="auto", cell_arcsec=12, imsize=400)  # 0.67 deg to the edge
FIELD = [("A", 0.3, 0.2, 3.0), ("B", -0.3, -0.1, 0.3), ("C", 0.1, -0.4, 0.2)]
BRIGHT = ("O", 1.75, 0.6, 5.0)
NEAR = ("N", 0.72, 0.05, 1.0)  # just beyond the edge


def rms(files) -> float:
    return robust_rms(read_image(files.residual).data)


@pytest.fixture(scope="module")
def without(tile, tmp_path_factory):
    directory = tmp_path_factory.mktemp("without")
    sources = sky(tile[0], *FIELD)
    ms = with_sky(tile[0], directory / "a.ms", sources, 1.0)
    return image(ms, directory / "out", OPTIONS, sources)


@pytest.mark.parametrize("steady", [True, False])
def test_noise_is_that_without_it(tile, tmp_path, without, steady):
    """5 Jy at 1.85 deg and 1 Jy at the edge, catalogued 30 % wrong, drifting or steadied.

    So is the brightest source inside, whose sidelobes must not be taken for theirs.
    """
    sources = sky(tile[0], *FIELD, BRIGHT, NEAR)
    ms = with_sky(tile[0], tmp_path / "a.ms", sources, 1.0, steady=True)
    if not steady:  # only the outliers drift
        far = with_sky(tile[0], tmp_path / "far.ms", sources.iloc[3:], 0.0, steady=False)
        near = with_sky(tile[0], tmp_path / "near.ms", sources.iloc[:3], 1.0)
        with open_table(far) as table:
            extra = table.getcol("DATA")
        with open_table(near, writable=True) as table:
            table.putcol("DATA", table.getcol("DATA") + extra)
        ms = near
    with open_table(ms) as table:
        before = table.getcol("DATA")
    wrong = sources.assign(flux_jy=sources["flux_jy"] * [0.3, 1, 1, 0.7, 1.3])
    files, record = image(ms, tmp_path / "on", OPTIONS, wrong)
    off, _ = image(ms, tmp_path / "off", OPTIONS.model_copy(update={"outliers": False}), wrong)
    assert rms(files) < 1.2 * rms(without[0])
    assert rms(off) > 2 * rms(without[0]), "the test's source does no harm"
    subtracted = {o["name"]: o for o in record["data"]["outliers_subtracted"]}
    assert set(subtracted) == {"O", "N"}
    for name, error in (("O", 0.7), ("N", 1.3)):
        found = subtracted[name]["subtracted_jy"]
        assert found == pytest.approx(subtracted[name]["apparent_jy"] / error, rel=0.03)
    for k in range(3):
        expected = peak_near(without[0].image, sources.iloc[k])
        assert peak_near(files.image, sources.iloc[k]) == pytest.approx(expected, rel=0.05)
    with open_table(ms) as table:
        assert np.array_equal(before, table.getcol("DATA")), "the input was changed"


def test_without_outliers_the_input_itself_is_imaged(without):
    assert without[1]["data"]["outliers_subtracted"] == []
