"""Quality tiers: presets of the options; and what is left unset after them.

Figures behind the presets (a full tile of 96 antennas, docs/imaging.md): six and eight pixels a
beam give the same flux densities and noise, six in two thirds of the time; a gridding accuracy of
1e-3 changes neither and saves a fifth of the time of 1e-4. The psf is a core on a halo: a beam
fitted within one beam of the longest baseline is that of the core, while WSClean's own fit takes in
the halo and is 60 % wider than the noise is correlated, so that errors of flux densities come out
20 % too small.
"""

from __future__ import annotations

from typing import Any

from contimg.core.errors import ContimgError
from contimg.image.options import ImageOptions, resolve_backend

PRESETS: dict[str, dict[str, Any]] = {
    # is anything there? shallow, coarse, only where the catalogue says there is something
    "development": {
        "pixels_per_beam": 3.0,
        "beam_fitting_size": 1.0,
        "psf_cutoff": 0.7,
        "weighting": "briggs",
        "robust": 0.5,
        "deconvolver": "clark",
        "niter": 2000,
        "mgain": 0.9,
        "auto_mask": 5.0,
        "auto_threshold": 3.0,
        "mask_catalog": True,
        "gridder_accuracy": 1e-3,
    },
    "standard": {
        "pixels_per_beam": 6.0,
        "beam_fitting_size": 1.0,
        "psf_cutoff": 0.7,
        "weighting": "briggs",
        "robust": 0.5,
        "deconvolver": "clark",
        "niter": 50_000,
        "mgain": 0.8,
        "auto_mask": 4.0,
        "auto_threshold": 1.0,
        "mask_catalog": False,
        "gridder_accuracy": 1e-3,
    },
    "high_precision": {
        "pixels_per_beam": 10.0,
        "beam_fitting_size": 1.0,
        "psf_cutoff": 0.7,
        "weighting": "briggs",
        "robust": 0.5,
        "deconvolver": "clark",
        "niter": 200_000,
        "mgain": 0.7,
        "auto_mask": 3.5,
        "auto_threshold": 0.7,
        "mask_catalog": False,
        "gridder_accuracy": 1e-5,
    },
}

# of an imager, over those of any tier. Where sources are subtracted first, what is above 4 sigma is
# noise: some two hundred peaks of a full tile, whose cleaning makes the residual 3 % quieter than
# the noise is, and detections above 5 sigma twice as many. Above 5 sigma there are three.
OF_IMAGER: dict[str, dict[str, Any]] = {"residual": {"auto_mask": 5.0}}

# keys that not all of the imagers know, and which do
KNOWN_BY: dict[str, tuple[str, ...]] = {
    "channels_out": ("wsclean",),
    "mgain": ("wsclean", "residual"),
    "gridder_accuracy": ("wsclean", "residual"),
    "beam_fitting_size": ("wsclean",),
    "baseline_averaging_lambda": ("wsclean",),
    "memory_gb": ("wsclean",),
    "wprojplanes": ("tclean",),
    "psf_cutoff": ("tclean",),
}
GRIDDERS = {
    "wsclean": ("wgridder", "wstacking"),
    "tclean": ("wproject", "standard"),
    "residual": ("wgridder",),
}
_SCALES = [0, 5, 15, 45]


def effective(options: ImageOptions, *, has_catalog: bool) -> ImageOptions:
    """`options` with all that was unset filled in from the tier, for the imager to be used.

    What is given wins over the preset. :class:`ContimgError` names an option that the imager
    cannot honour.
    """
    backend = resolve_backend(options.backend)
    unknown = [key for key, imagers in KNOWN_BY.items() if backend not in imagers]
    for key in unknown:
        if getattr(options, key) is not None:
            names = " and ".join(KNOWN_BY[key])
            raise ContimgError(
                f"image.{key} works only with {names}, and the imager is {backend} (image.backend)"
            )
    if options.gridder is not None and options.gridder not in GRIDDERS[backend]:
        names = " or ".join(GRIDDERS[backend])
        raise ContimgError(f"image.gridder {options.gridder}: {backend} has {names}")
    if backend != "tclean" and options.imsize is not None and options.imsize % 2:
        near = f"{options.imsize - 1} or {options.imsize + 1}"
        name = "WSClean" if backend == "wsclean" else "the imager"
        raise ContimgError(f"image.imsize {options.imsize}: {name} makes even sizes only; {near}?")
    if backend == "residual" and (options.deconvolver == "multiscale" or options.nterms > 1):
        raise ContimgError(
            "image.backend residual cleans points of flat spectra: no multiscale, no nterms;"
            " image.backend wsclean has them"
        )
    preset = {k: v for k, v in PRESETS[options.tier].items() if k not in unknown}
    preset |= OF_IMAGER.get(backend, {})
    values = {**options.model_dump(), "backend": backend}
    values |= {key: value for key, value in preset.items() if values[key] is None}
    values["gridder"] = values["gridder"] or GRIDDERS[backend][0]
    if values["gridder"] != "wgridder":
        if options.gridder_accuracy is not None:
            raise ContimgError("image.gridder_accuracy works only with image.gridder wgridder")
        values["gridder_accuracy"] = None
    if values["weighting"] != "briggs":
        values["robust"] = None
    if values["deconvolver"] == "multiscale":
        values["scales"] = values["scales"] or _SCALES
    if backend == "wsclean":
        values["channels_out"] = values["channels_out"] or (4 if values["nterms"] > 1 else 1)
    if values["mask_catalog"] and not has_catalog:
        if options.mask_catalog:
            raise ContimgError("image.mask_catalog needs a catalogue: give --catalog")
        values["mask_catalog"] = False
    masked = values["mask_catalog"] or values["mask_regions"] is not None
    if backend == "tclean" and masked:
        if options.auto_mask is not None:
            raise ContimgError("tclean cannot use image.auto_mask together with another mask")
        values["auto_mask"] = None
    return ImageOptions(**values)


def explicit(options: ImageOptions) -> list[str]:
    """Names of the preset's keys that were given, not taken from the tier."""
    return sorted(key for key in PRESETS[options.tier] if getattr(options, key) is not None)
