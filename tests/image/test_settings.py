"""Every option reaches the imager it is for, or is refused; tiers are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from contimg.core.errors import ContimgError
from contimg.core.fits import Beam
from contimg.image import tclean, wsclean
from contimg.image.grid import Grid
from contimg.image.options import ImageOptions
from contimg.image.tiers import KNOWN_BY, OF_IMAGER, PRESETS, effective, explicit
from contimg.image.units import flux_jy

GRID = Grid(512, 3.0, (1.0, 0.5), Beam(0.01, 0.005, 0.0))


def wsclean_words(mask=None, threads=1, shifted=False, grid=GRID, **options) -> list[str]:
    settings = effective(ImageOptions(backend="wsclean", **options), has_catalog=True)
    return wsclean.arguments(grid, settings, mask, threads, shifted)


def tclean_words(mask=None, shifted=False, grid=GRID, **options) -> dict:
    settings = effective(ImageOptions(backend="tclean", **options), has_catalog=True)
    whole = tclean.parameters(grid, settings, shifted)
    return {**whole, **tclean.clean_parameters(settings, mask)}


def flag(words: list[str], name: str, count: int = 1) -> list[str] | None:
    at = words.index(name) if name in words else None
    return None if at is None else words[at + 1 : at + 1 + count]


BOTH = [
    ({"weighting": "natural"}, ("-weight", ["natural"]), ("weighting", "natural")),
    ({"weighting": "uniform"}, ("-weight", ["uniform"]), ("weighting", "uniform")),
    ({"robust": -1.5}, ("-weight", ["briggs", "-1.5"]), ("robust", -1.5)),
    ({"uv_min_lambda": 50}, ("-minuv-l", ["50.0"]), ("uvrange", ">50.0lambda")),
    ({"uv_max_lambda": 900}, ("-maxuv-l", ["900.0"]), ("uvrange", "0.0~900.0lambda")),
    ({"deconvolver": "hogbom"}, ("-no-fast-subminor", []), ("deconvolver", "hogbom")),
    (
        {"deconvolver": "multiscale", "scales": [0, 7, 21]},
        ("-multiscale-scales", ["0,7,21"]),
        ("scales", [0, 7, 21]),
    ),
    (
        {"deconvolver": "multiscale"},
        ("-multiscale-scales", ["0,5,15,45"]),
        ("scales", [0, 5, 15, 45]),
    ),
    ({"nterms": 2}, ("-fit-spectral-pol", ["2"]), ("deconvolver", "mtmfs")),
    ({"niter": 77}, ("-niter", ["77"]), ("niter", 77)),
    ({"major_cycles": 3}, ("-nmiter", ["3"]), ("nmajor", 3)),
    ({"gain": 0.05}, ("-gain", ["0.05"]), ("gain", 0.05)),
    ({"threshold": "0.5mJy"}, ("-threshold", ["0.0005"]), ("threshold", "0.0005Jy")),
    ({"auto_threshold": 7}, ("-auto-threshold", ["7.0"]), ("nsigma", 7.0)),
    ({"auto_mask": 6}, ("-auto-mask", ["6.0"]), ("noisethreshold", 6.0)),
]


@pytest.mark.parametrize(("options", "words", "parameter"), BOTH, ids=lambda v: str(v)[:40])
def test_both_imagers_get_it(options, words, parameter):
    name, values = words
    assert flag(wsclean_words(**options), name, len(values)) == values
    if name != "-weight":
        default = flag(wsclean_words(), name, len(values))
        assert default != values, "the default already says so"
    key, value = parameter
    assert (
        tclean_words(**options)[key] == pytest.approx(value)
        if isinstance(value, float)
        else tclean_words(**options)[key] == value
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels_out": 3}, ("-channels-out", ["3"])),
        ({"mgain": 0.6}, ("-mgain", ["0.6"])),
        ({"gridder": "wgridder", "gridder_accuracy": 1e-5}, ("-wgridder-accuracy", ["1e-05"])),
        ({"baseline_averaging_lambda": 8}, ("-baseline-averaging", ["8.0"])),
        ({"beam_fitting_size": 3}, ("-beam-fitting-size", ["3.0"])),
        ({"memory_gb": 4}, ("-abs-mem", ["4.0"])),
    ],
)
def test_wsclean_gets_it_and_tclean_refuses(options, words):
    assert flag(wsclean_words(**options), words[0]) == words[1]
    with pytest.raises(ContimgError, match=r"works only with wsclean|tclean has"):
        tclean_words(**options)


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        ({"wprojplanes": 32}, "wprojplanes", 32),
        ({"psf_cutoff": 0.4}, "psfcutoff", 0.4),
        ({"gridder": "standard"}, "gridder", "standard"),
    ],
)
def test_tclean_gets_it_and_wsclean_refuses(options, key, value):
    assert tclean_words(**options)[key] == value
    with pytest.raises(ContimgError, match=r"works only with tclean|wsclean has"):
        wsclean_words(**options)


def test_gridders_of_wsclean_differ():
    assert "-use-wgridder" in wsclean_words()
    assert "-use-wgridder" not in wsclean_words(gridder="wstacking")
    with pytest.raises(ContimgError, match="gridder_accuracy"):
        wsclean_words(gridder="wstacking", gridder_accuracy=1e-3)


def test_size_cell_mask_centre_and_threads_reach_the_imagers():
    words = wsclean_words(mask=Path("m.fits"), threads=3, shifted=True)
    assert flag(words, "-size", 2) == ["512", "512"] and flag(words, "-scale") == ["3.0asec"]
    assert flag(words, "-fits-mask") == ["m.fits"] and flag(words, "-j") == ["3"]
    assert flag(words, "-shift", 2) == ["03h49m10.98708s", "+28d38m52.40312s"]
    parameters = tclean_words(mask="m", shifted=True)
    assert parameters["imsize"] == 512 and parameters["cell"] == "3.0arcsec"
    assert parameters["phasecenter"] == "ICRS 1.0rad 0.5rad"
    assert parameters["mask"] == "m" and parameters["usemask"] == "user"


def test_no_option_is_without_a_test_here():
    """An option that neither imager nor we use is a defect: all are named in this file or in QA."""
    text = Path(__file__).read_text() + Path(__file__).with_name("test_image.py").read_text()
    elsewhere = {
        *("outliers", "outlier_min_jy", "mask_min_jy", "mask_radius_beams", "mask_regions"),
        *("max_noise_ratio", "fail_noise_ratio", "max_residual_sigma", "max_beam_ratio"),
        "max_extended_sigma",
        *("max_offset_beams", "max_flux_scale_error", "min_completeness", "min_gridded"),
        *("max_offset_arcsec", "max_turn_arcsec_deg", "max_flux_gradient", "max_dish_error"),
        *("max_subband_error", "max_negative_peaks", "min_reliability"),
        *("pb_limit", "pb_edge", "subtract_sources", "subtract_min_sigma", "apply_flux_scale"),
    }
    missing = [n for n in ImageOptions.model_fields if n not in elsewhere and f"{n}" not in text]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "jy"),
    [("0.1mJy", 1e-4), ("120uJy", 1.2e-4), ("2 Jy", 2.0), ("1e-1mJy/beam", 1e-4), ("5µJy", 5e-6)],
)
def test_thresholds_have_units(text, jy):
    assert flux_jy(text) == pytest.approx(jy)
    assert float(flag(wsclean_words(threshold=text), "-threshold")[0]) == pytest.approx(jy)


@pytest.mark.parametrize("text", ["0.1m", "0.5", "mJy", "-1mJy", "1.2.3Jy", "3 kJy"])
def test_thresholds_without_units_are_refused(text):
    with pytest.raises(ValidationError, match="with its unit"):
        ImageOptions(threshold=text)


def test_a_bare_number_in_yaml_is_refused_too():
    with pytest.raises(ValidationError, match="with its unit"):
        ImageOptions(threshold=0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"uv_min_lambda": 5, "uv_max_lambda": 4},
        {"scales": [0, 3]},
        {"robust": 0, "weighting": "natural"},
        {"nterms": 3, "channels_out": 2},
        {"phase_center": "12h 5d"},
        {"phase_center": "400 10"},
    ],
)
def test_contradictions_are_refused(options):
    with pytest.raises(ValidationError):
        ImageOptions(**options)


@pytest.mark.parametrize("tier", PRESETS)
def test_tiers_are_presets_that_what_is_given_overrides(tier):
    for backend in ("wsclean", "tclean", "residual"):
        settings = effective(ImageOptions(backend=backend, tier=tier), has_catalog=False)
        for key, value in PRESETS[tier].items():
            if key != "mask_catalog":
                known = backend in KNOWN_BY.get(key, (backend,))
                wanted = OF_IMAGER.get(backend, {}).get(key, value)
                assert getattr(settings, key) == (wanted if known else None)
    settings = effective(ImageOptions(backend="wsclean", tier=tier), has_catalog=True)
    assert settings.mask_catalog == PRESETS[tier]["mask_catalog"]
    given = ImageOptions(backend="wsclean", tier=tier, niter=7, auto_mask=9)
    settings = effective(given, has_catalog=True)
    assert (settings.niter, settings.auto_mask) == (7, 9)
    assert settings.mgain == PRESETS[tier]["mgain"]
    assert explicit(given) == ["auto_mask", "niter"]


def test_tiers_differ_on_the_command_line():
    lines = {tuple(wsclean_words(tier=tier)) for tier in PRESETS}
    assert len(lines) == 3


def test_defaults_of_the_imager_are_kept_unless_set():
    """The presets leave no key of the other imager behind."""
    settings = effective(ImageOptions(backend="tclean"), has_catalog=True)
    others = [key for key, imagers in KNOWN_BY.items() if "tclean" not in imagers]
    assert others and all(getattr(settings, key) is None for key in others)


@pytest.mark.parametrize("tier", PRESETS)
def test_a_mask_that_is_asked_for_is_used_in_every_tier(tier):
    """No flux limit has to be set for it, and without a catalogue it is an error."""
    options = ImageOptions(tier=tier, mask_catalog=True)
    assert effective(options, has_catalog=True).mask_catalog
    assert options.mask_min_jy > 0
    with pytest.raises(ContimgError, match="--catalog"):
        effective(options, has_catalog=False)
    off = effective(ImageOptions(tier=tier, mask_catalog=False), has_catalog=True)
    assert off.mask_catalog is False
