"""Region files, clean masks and what they do; the verbs mask and overlay."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from contimg.cli import main
from contimg.core.beam import PrimaryBeam
from contimg.core.errors import ContimgError
from contimg.core.fits import Beam, read_image
from contimg.image import overlay_command
from contimg.image.grid import Grid
from contimg.image.masks import clean_mask, grid_wcs
from contimg.image.options import ImageOptions
from contimg.image.regions import fill, fill_circles, read_regions, write_circles
from contimg.image.visibilities import read_sampling
from truth.observe import INSTRUMENT
from truth.tiles import image, peak_near, sky, with_sky

GRID = Grid(400, 12.0, (np.radians(150.0), np.radians(55.0)), Beam(0.02, 0.01, 0))
WCS = grid_wcs(GRID, GRID.center_rad)


def drawn(tmp_path, text: str, name: str = "a.reg") -> np.ndarray:
    path = tmp_path / name
    path.write_text(text)
    mask = np.zeros((400, 400), bool)
    fill(mask, read_regions(path), WCS)
    return mask


def at(mask: np.ndarray, east_arcsec: float, north_arcsec: float) -> bool:
    """The mask at an offset from (150, +55)."""
    return bool(mask[200 + round(north_arcsec / 12), 200 - round(east_arcsec / 12)])


DS9 = {
    'circle(150,55,300")': (np.pi * 300**2, [(290, 0), (0, -290)], [(220, 220)]),
    "circle(10:00:00,+55:00:00,5')": (np.pi * 300**2, [(290, 0)], [(310, 0)]),
    'ellipse(150,55,600",120",0)': (np.pi * 600 * 120, [(580, 0)], [(0, 200)]),
    'ellipse(150,55,600",120",90)': (np.pi * 600 * 120, [(0, 580)], [(200, 0)]),
    # counter-clockwise from west: at 45 deg the long axis points north-west
    'ellipse(150,55,600",120",45)': (np.pi * 600 * 120, [(-400, 400)], [(400, 400)]),
    'box(150,55,1206",246",0)': (1206 * 246, [(580, 100)], [(0, 140)]),
    'box(150,55,1200",240",135)': (1200 * 240, [(400, 400)], [(-400, 400)]),
    "polygon(150.2,55,150,55.1,149.8,55)": (
        0.5 * 0.4 * np.cos(np.radians(55)) * 0.1 * 3600**2,
        [(0, 300), (300, 60)],
        [(0, -60), (390, 240)],
    ),
}


@pytest.mark.parametrize(("text", "truth"), DS9.items(), ids=list(DS9))
@pytest.mark.parametrize("frame", ["icrs\n", "fk5;"])
def test_ds9_shapes(tmp_path, text, truth, frame):
    area, inside, outside = truth
    mask = drawn(
        tmp_path, f"# Region file format: DS9\nglobal color=green\n{frame}{text} # text={{x}}"
    )
    assert mask.sum() * 144 == pytest.approx(area, rel=0.05)
    assert all(at(mask, *point) for point in inside)
    assert not any(at(mask, *point) for point in outside)


CRTF = {
    "circle [[10:00:00.0, +55.00.00.0], 300arcsec]": 'circle(150,55,300")',
    "circle [[150deg, 55deg], 5arcmin], coord=ICRS, label='a'": 'circle(150,55,300")',
    "ellipse [[10h, 55d], [600arcsec, 120arcsec], 45deg], coord=J2000": (
        'ellipse(150,55,600",120",135)'
    ),
    "centerbox [[150deg, 55deg], [1200arcsec, 240arcsec]]": 'box(150,55,1200",240",0)',
    "rotbox [[150deg, 55deg], [1200arcsec, 240arcsec], 30deg]": 'box(150,55,1200",240",30)',
    "poly [[150.2deg, 55deg], [150deg, 55.1deg], [149.8deg, 55deg]]": (
        "polygon(150.2,55,150,55.1,149.8,55)"
    ),
}


@pytest.mark.parametrize(("crtf", "ds9"), CRTF.items(), ids=list(CRTF))
def test_crtf_says_the_same(tmp_path, crtf, ds9):
    ours = drawn(tmp_path, f"#CRTFv0 CASA Region Text Format\n{crtf}\n", "a.crtf")
    theirs = drawn(tmp_path, f"icrs\n{ds9}\n")
    assert ours.any() and np.mean(ours != theirs) < 1e-4


@pytest.mark.parametrize(
    "text",
    [
        "icrs\nnonsense(1,2,3,4)\n",
        'icrs\ncircle(1,2,3")\nnonsense(1,2)\n',
        "icrs\npoint(1,2)\n",
        "#CRTFv0\ncircle [[150pix, 55pix], 5pix]\n",
        "#CRTFv0\nnonsense [[1deg, 2deg]]\n",
        'circle(1,2,3")\n',
        'icrs\n-circle(1,2,3")\n',
        "",
        "icrs\ncircle(1,2,5p)\n",
        "image\ncircle(1,2,3)\n",
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, text):
    path = tmp_path / "a.reg"
    path.write_text(text)
    with pytest.raises(ContimgError, match=r"a\.reg"):
        read_regions(path)


@pytest.mark.parametrize("name", ["out.crtf", "out.reg"])
def test_written_regions_are_read_back(tmp_path, name):
    points, radius = np.array([[150.0, 55.0], [150.1, 55.05]]), np.array([0.05, 0.02])
    path = tmp_path / name
    odd = "a\n} # x' \" ; |"  # would end its label, its line or its region
    path.write_text(write_circles(path, [odd, "Müller"], points, radius))
    back = read_regions(path)
    there = [(r.center.icrs.ra.deg, r.center.icrs.dec.deg) for r in back]
    assert np.abs(np.array(there) - points).max() < 1e-7
    assert [r.radius.to_value("deg") for r in back] == pytest.approx(radius)


def test_circles_about_sources_are_those_of_a_region_file(tmp_path):
    points = np.array([[150.0, 55.0], [150.9, 55.3], [149.31, 54.4], [150.2, 80.0], [330.0, -55.0]])
    mine = np.zeros((400, 400), bool)
    fill_circles(mine, points, 0.08, WCS)
    theirs = drawn(tmp_path, write_circles(tmp_path / "a.reg", list("abcde"), points, [0.08] * 5))
    assert mine.any() and np.mean(mine != theirs) < 1e-4


def test_galactic_and_ring_shapes(tmp_path):
    """The same place in another frame; an annulus is the difference of two circles."""
    centre = SkyCoord(150, 55, unit="deg").galactic
    ours = drawn(tmp_path, f'galactic\ncircle({centre.l.deg},{centre.b.deg},300")\n')
    assert np.array_equal(ours, drawn(tmp_path, 'icrs\ncircle(150,55,300")\n'))
    ring = drawn(tmp_path, 'icrs\nannulus(150,55,300",600")\n')
    both = drawn(tmp_path, 'icrs\ncircle(150,55,600")\n')
    assert np.mean((ring | ours) != both) < 1e-4 and not (ring & ours).any()


def test_pixels_of_a_moved_image(tile):
    """The centre of the grid falls on its central pixel, whatever the projection's centre."""
    moved = Grid(401, 12.0, (GRID.center_rad[0] + 0.01, GRID.center_rad[1]), GRID.beam)
    x, y = grid_wcs(moved, GRID.center_rad).all_world2pix(*np.degrees(moved.center_rad), 0)
    assert (float(x), float(y)) == pytest.approx((200, 200), abs=0.01)


@pytest.fixture(scope="module")
def two_sources(tile, tmp_path_factory):
    """An MS of two sources and noise, its catalogue, and images with and without masks."""
    directory = tmp_path_factory.mktemp("masks")
    sources = sky(tile[0], ("A", 0.3, 0.2, 1.0), ("B", -0.3, -0.2, 1.0))
    ms = with_sky(tile[0], directory / "two.ms", sources, 0.5)
    return ms, sources, directory


def cleaned(files, source) -> float:
    """Part of a source that is in the model."""
    model = read_image(files.model)
    x, y = (
        round(float(c)) for c in model.wcs.all_world2pix(source["ra_deg"], source["dec_deg"], 0)
    )
    return float(model.data[y - 4 : y + 5, x - 4 : x + 5].sum()) / source["flux_jy"]


@pytest.mark.parametrize(
    ("backend", "how"), [("wsclean", "catalog"), ("wsclean", "regions"), ("tclean", "both")]
)
def test_a_source_outside_the_mask_is_not_cleaned(two_sources, tmp_path, backend, how):
    ms, sources, _ = two_sources
    options = {"cell_arcsec": 12, "imsize": 256, "niter": 300, "backend": backend}
    options["subtract_sources"] = False
    first = sources.iloc[:1]
    if how != "regions":
        options["mask_catalog"] = True
    if how != "catalog":
        region = tmp_path / "a.reg"
        ra, dec = first[["ra_deg", "dec_deg"]].iloc[0]
        if how == "both":
            dec -= 0.1  # where nothing is
        region.write_text(f'icrs\ncircle({ra},{dec},120")\n')
        options["mask_regions"] = region
    files, record = image(ms, tmp_path / "out", ImageOptions(**options), first)
    assert cleaned(files, sources.iloc[0]) > 0.7
    assert cleaned(files, sources.iloc[1]) == 0
    beam = record["data"]["expected_bmaj_arcsec"]
    radii = {"catalog": [2 * beam], "regions": [120], "both": [2 * beam, 120]}[how]
    area = np.pi * sum(radius**2 for radius in radii) / (12 * 256) ** 2
    assert record["data"]["masked_fraction"] == pytest.approx(area, rel=0.1)
    assert peak_near(files.residual, sources.iloc[1]) > 0.7


def test_the_catalogue_mask_is_of_apparent_flux_densities(tile, tmp_path):
    """Of equal sources the one that the beam dims below the limit is left out."""
    catalog = tmp_path / "c.csv"
    sources = sky(tile[0], ("A", 0.0, 0.0, 0.1), ("B", 0.62, -0.62, 0.1))
    sources.to_csv(catalog, index=False)
    sampling, beam = read_sampling(tile[0]), PrimaryBeam(INSTRUMENT)
    grid = Grid(480, 12.0, sampling.axes.phase_center_rad, Beam(0.02, 0.01, 0))
    wcs = grid_wcs(grid, grid.center_rad)
    x, y = wcs.all_world2pix(sources[["ra_deg", "dec_deg"]].to_numpy(), 0).T.round().astype(int)
    for limit, second in ((0.07, True), (0.09, False)):  # it appears with 0.08 Jy
        options = ImageOptions(mask_catalog=True, mask_min_jy=limit)
        mask = clean_mask(grid, wcs, options, catalog, beam, sampling)
        assert list(mask[y, x]) == [True, second]


def test_without_a_mask_both_are_cleaned(two_sources, tmp_path, monkeypatch):
    ms, sources, _ = two_sources
    plain = {"mask_catalog": False, "subtract_sources": False}
    options = ImageOptions(backend="auto", cell_arcsec=12, imsize=256, **plain)
    files, record = image(ms, tmp_path / "out", options, sources.iloc[:1])
    assert min(cleaned(files, source) for _, source in sources.iterrows()) > 0.7
    assert record["data"]["masked_fraction"] is None

    # the verbs, on this image
    catalog, mask, marks = (tmp_path / n for n in ("c.csv", "mask.fits", "m.crtf"))
    sources.assign(flux_jy=[1.0, 0.001]).to_csv(catalog, index=False)
    common = ["--image", str(files.image), "--pb", str(files.pb), "--catalog", str(catalog)]
    assert main(["mask", *common, "--mask", str(mask), "--radius-beams", "1.5"]) == 0
    drawn = fits.getdata(mask)[0, 0]
    radius = 1.5 * read_image(files.image).beam.major_deg * 3600 / 12
    assert drawn.sum() == pytest.approx(np.pi * radius**2, rel=0.1)  # one of the two
    circles = []
    drawing = overlay_command.draw
    monkeypatch.setattr(
        overlay_command, "draw", lambda *a, **k: circles.append(k["circles"]) or drawing(*a, **k)
    )
    assert main(["overlay", *common, "--plot", str(tmp_path / "o.png"), "--marks", str(marks)]) == 0
    ((x, y, _, names),) = circles
    where = sources.iloc[[0]][["ra_deg", "dec_deg"]].to_numpy(dtype=float)
    assert names == ["A"]
    assert (x[0], y[0]) == pytest.approx(read_image(files.image).wcs.all_world2pix(where, 0)[0])
    assert abs(x[0] - y[0]) > 5, "the source must not lie on the diagonal"
    assert len(read_regions(marks)) == 1 and "label='A'" in marks.read_text()
    assert (tmp_path / "o.png").stat().st_size > 10_000
    assert main(["mask", "--image", str(files.image), "--mask", str(mask)]) == 1
