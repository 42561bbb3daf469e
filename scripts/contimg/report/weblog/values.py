"""The numbers of an item's page in words, with units and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contimg.report.weblog.site import number, utc_text, with_error

# what a fact is, where its name does not say it; of some the error
WORDS: dict[str, tuple[str, str]] = {
    "noise_ratio": ("rms over thermal noise", ""),
    "imsize": ("image size [pixels]", ""),
    "cell_arcsec": ("pixel [arcsec]", ""),
    "integration_s": ("integration time [s]", ""),
    "unflagged_fraction": ("part of the data in use", ""),
    "matched": ("sources found of the catalogue", ""),
    "flux_ratio": ("flux density over that of the catalogue", "flux_ratio_err"),
    "offset_east_arcsec": ("positions off to the east [arcsec]", "offset_east_err_arcsec"),
    "offset_north_arcsec": ("positions off to the north [arcsec]", "offset_north_err_arcsec"),
    "flux_scale_factor": ("factor on the flux density of the table", "flux_scale_error"),
    "gain_amplitude_scatter": ("scatter of gain amplitudes", ""),
    "snr_bandpass": ("median SNR of bandpass solutions", ""),
    "snr_gains": ("median SNR of gain solutions", ""),
    "flagged_bandpass": ("flagged part of the bandpass", ""),
    "rms_jy_beam": ("rms [Jy/beam]", ""),
    "rms_median_jy_beam": ("rms, median [Jy/beam]", ""),
    "rms_min_jy_beam": ("rms, least [Jy/beam]", ""),
    "n_sources": ("sources measured", ""),
    "n_detected": ("sources detected", ""),
}
# ending of a name -> unit
UNITS = {
    **{"_jy_beam": "Jy/beam", "_arcsec": "arcsec", "_deg2": "deg²", "_deg": "deg"},
    **{"_jy": "Jy", "_s": "s"},
}
_ERRORS = {error for _, error in WORDS.values() if error}


def in_words(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Name and value of every fact that is one number or word."""
    rest = {k: v for k, v in values.items() if v is not None and not isinstance(v, (list, dict))}
    rows: list[tuple[str, Any]] = []
    if (mjd := rest.pop("mjd", None)) is not None:
        rows.append(("middle (UTC)", f"{utc_text(mjd)}, MJD {mjd:.6f}"))
    if (hz := rest.pop("freq_hz", None)) is not None:
        rows.append(("frequency [MHz]", f"{hz / 1e6:.3f}"))
    for unit in ("arcsec", "deg"):
        if f"bmaj_{unit}" in rest and f"bmin_{unit}" in rest:
            rows.append(_beam(*(rest.pop(f"{k}_{unit}") for k in ("bmaj", "bmin")), unit, rest))
    return rows + [_in_words(name, rest) for name in rest if name not in _ERRORS]


def _beam(major: float, minor: float, unit: str, rest: dict[str, Any]) -> tuple[str, str]:
    """Both axes in arcsec, and the angle where it is known."""
    scale = {"arcsec": 1.0, "deg": 3600.0}[unit]
    angle = rest.pop("bpa_deg", None)
    end = "" if angle is None else f" at {angle:.1f}° (north through east)"
    return "beam, FWHM [arcsec]", f"{number(scale * major)} × {number(scale * minor)}{end}"


def _in_words(name: str, values: Mapping[str, Any]) -> tuple[str, Any]:
    words, error = WORDS.get(name, ("", ""))
    if not words:
        ending = next((end for end in UNITS if name.endswith(end)), "")
        words = name.removesuffix(ending).replace("_", " ")
        words += f" [{UNITS[ending]}]" if ending else ""
    return words, with_error(values[name], values[error]) if error in values else values[name]
