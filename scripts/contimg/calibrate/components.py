"""CASA component lists as tables of sources, so that the moving beam can be applied to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contimg.core.errors import ContimgError


def read_components(path: Path) -> pd.DataFrame:
    """A CASA component list as a source table; inside a CASA session, `path` absolute."""
    from casatools import componentlist

    tool = componentlist()
    try:
        if not tool.open(str(path)):
            raise RuntimeError("it cannot be opened")
        content = tool.torecord()
    except RuntimeError as error:
        raise ContimgError(f"{path}: not a component list ({error})") from None
    finally:
        tool.done()
    names = sorted((k for k in content if k.startswith("component")), key=lambda k: int(k[9:]))
    if not names:
        raise ContimgError(f"{path}: the component list is empty")
    try:
        return pd.DataFrame([_component(n, content[n]) for n in names]).assign(log_poly="")
    except ValueError as error:
        raise ContimgError(f"{path}: {error}") from None


def _component(name: str, content: dict[str, Any]) -> dict[str, Any]:
    """One row of a source table; `ValueError` for what the predictor cannot do."""
    from astropy import units as u
    from astropy.coordinates import FK5, ICRS, SkyCoord

    def quantity(record: dict[str, Any], unit: str) -> float:
        return float(u.Quantity(record["value"], record["unit"]).to_value(unit))

    flux, shape, spectrum = (content[part] for part in ("flux", "shape", "spectrum"))
    if flux["polarisation"].lower() != "stokes" or flux["unit"] != "Jy":
        raise ValueError(f"{name}: flux density not as Stokes parameters in Jy")
    direction = shape["direction"]
    frames = {"J2000": FK5(), "ICRS": ICRS()}
    if direction["refer"] not in frames:
        raise ValueError(f"{name}: direction in {direction['refer']}; J2000 and ICRS are known")
    sky = SkyCoord(
        quantity(direction["m0"], "deg"),
        quantity(direction["m1"], "deg"),
        unit="deg",
        frame=frames[direction["refer"]],
    ).icrs
    row = {
        "name": name,
        "ra_deg": sky.ra.deg,
        "dec_deg": sky.dec.deg,
        "flux_jy": float(np.real(flux["value"][0])),
        "ref_freq_hz": quantity(spectrum["frequency"]["m0"], "Hz"),
    }
    kind = spectrum["type"].lower()
    if kind not in ("constant", "spectral index"):
        raise ValueError(f"{name}: spectrum {kind!r}; constant and spectral index are known")
    row["spectral_index"] = 0.0 if kind == "constant" else float(np.ravel(spectrum["index"])[0])
    if shape["type"].lower() == "gaussian":
        for column, part in (("major", "majoraxis"), ("minor", "minoraxis")):
            row[f"{column}_arcsec"] = quantity(shape[part], "arcsec")
        row["pa_deg"] = quantity(shape["positionangle"], "deg")
    elif shape["type"].lower() != "point":
        raise ValueError(f"{name}: shape {shape['type']!r}; point and Gaussian are known")
    return row
