"""Presets of the solution, and what a product of each may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contimg.calibrate.options import CalibrateOptions
from contimg.core.errors import ContimgError

PRESETS: dict[str, dict[str, Any]] = {
    # quick, to see whether anything works: the heart of the transit, coarse channels, phase gains
    "development": {
        "uvrange": "",
        "minblperant": 4,
        "window": 8,
        "delay_solint": "inf",
        "delay_minsnr": 3.0,
        "prebandpass_solint": "30s",
        "prebandpass_minsnr": 3.0,
        "bandpass_solint": "inf,4ch",
        "bandpass_minsnr": 3.0,
        "bandpass_fillgaps": 3,
        "gain_solint": "inf",
        "gain_calmode": "p",
        "gain_minsnr": 3.0,
        "short_solint": "",
        "short_calmode": "p",
        "short_minsnr": 3.0,
    },
    "standard": {
        "uvrange": "",
        "minblperant": 4,
        "delay_solint": "inf",
        "delay_minsnr": 5.0,
        "prebandpass_solint": "60s",
        "prebandpass_minsnr": 3.0,
        "bandpass_solint": "inf",
        "bandpass_minsnr": 3.0,
        "bandpass_fillgaps": 3,
        "gain_solint": "inf",
        "gain_calmode": "ap",
        "gain_minsnr": 3.0,
        "short_solint": "",
        "short_calmode": "ap",
        "short_minsnr": 3.0,
    },
    # nothing that is doubtful, and the gains followed through the transit
    "high_precision": {
        "uvrange": "",
        "minblperant": 6,
        "delay_solint": "inf",
        "delay_minsnr": 5.0,
        "prebandpass_solint": "int",
        "prebandpass_minsnr": 5.0,
        "bandpass_solint": "inf",
        "bandpass_minsnr": 5.0,
        "bandpass_fillgaps": 0,
        "gain_solint": "inf",
        "gain_calmode": "ap",
        "gain_minsnr": 5.0,
        "short_solint": "60s",
        "short_calmode": "ap",
        "short_minsnr": 5.0,
    },
}


def effective(options: CalibrateOptions) -> CalibrateOptions:
    """`options` with what was unset filled in from its preset; what is given wins."""
    unset = {k: v for k, v in PRESETS[options.preset].items() if getattr(options, k) is None}
    settings = options.model_copy(update=unset)
    if settings.gain_combine is None:
        combine = "scan" if settings.gain_solint == "inf" else ""
        settings = settings.model_copy(update={"gain_combine": combine})
    return settings


def tables(options: CalibrateOptions) -> list[str]:
    """Names of the tables that a calset of these options has, in the order of application."""
    names = ["K"] if options.delays else []
    names += ["B", "G"]
    return [*names, "2G"] if effective(options).short_solint else names


def refusal(record: Mapping[str, Any], tier: str) -> str:
    """Why the calset of this record may not serve images of `tier`; empty when it may.

    A calset of the preset `development` serves only images of that tier.
    """
    try:
        preset = record["data"]["tier"]
    except KeyError:
        raise ContimgError(
            f"{record['product']}: its record names no tier; delete it and solve again"
        ) from None
    if preset == "development" and tier != "development":
        return f"solved with the preset development, not fit for images of tier {tier}"
    return ""
