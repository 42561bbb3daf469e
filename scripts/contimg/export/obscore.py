"""The ObsCore table of all images and mosaics (IVOA ObsCore 1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from contimg.core.constants import C_M_S
from contimg.core.paths import path
from contimg.report.weblog.facts import Fact

# name: (unit, UCD, description), the mandatory columns of the standard in its order
COLUMNS: dict[str, tuple[str, str, str]] = {
    "dataproduct_type": ("", "meta.code.class", "kind of the product"),
    "calib_level": ("", "meta.code;obs.calib", "2 calibrated, 3 combined"),
    "obs_collection": ("", "meta.id", "name of the collection"),
    "obs_id": ("", "meta.id", "name of the tile or mosaic"),
    "obs_publisher_did": ("", "meta.ref.ivoid", "identifier given by the publisher"),
    "access_url": ("", "meta.ref.url", "where the file is"),
    "access_format": ("", "meta.code.mime", "kind of the file"),
    "access_estsize": ("kbyte", "phys.size;meta.file", "size of the file"),
    "target_name": ("", "meta.id;src", "what was observed"),
    "s_ra": ("deg", "pos.eq.ra", "right ascension of the centre, ICRS"),
    "s_dec": ("deg", "pos.eq.dec", "declination of the centre, ICRS"),
    "s_fov": ("deg", "phys.angSize;instr.fov", "diameter of the region covered"),
    "s_region": ("", "pos.outline;obs.field", "outline of the region covered"),
    "s_resolution": ("arcsec", "pos.angResolution", "major axis of the beam, FWHM"),
    "s_xel1": ("", "meta.number", "pixels along the first axis"),
    "s_xel2": ("", "meta.number", "pixels along the second axis"),
    "t_min": ("d", "time.start;obs.exposure", "begin of the data, MJD UTC"),
    "t_max": ("d", "time.end;obs.exposure", "end of the data, MJD UTC"),
    "t_exptime": ("s", "time.duration;obs.exposure", "integration time"),
    "t_resolution": ("s", "time.resolution", "not resolved in time"),
    "t_xel": ("", "meta.number", "elements in time"),
    "em_min": ("m", "em.wl;stat.min", "shortest wavelength"),
    "em_max": ("m", "em.wl;stat.max", "longest wavelength"),
    "em_res_power": ("", "spect.resolution", "not resolved in frequency"),
    "em_xel": ("", "meta.number", "elements in frequency"),
    "o_ucd": ("", "meta.ucd", "what the pixels are"),
    "pol_states": ("", "meta.code;phys.polarization", "Stokes parameters"),
    "pol_xel": ("", "meta.number", "number of them"),
    "facility_name": ("", "meta.id;instr.tel", "observatory"),
    "instrument_name": ("", "meta.id;instr", "instrument"),
}

_COUNTS = ("calib_level", "access_estsize", "s_xel1", "s_xel2", "t_xel", "em_xel", "pol_xel")
_AXIS = "obscore:Char.{}Axis"
_SKY, _TIME, _BAND = (_AXIS.format(name) for name in ("Spatial", "Time", "Spectral"))
_PLACE = f"{_SKY}.Coverage.Location.Coord.Position2D.Value2"
# what the columns are in the data model
UTYPES: dict[str, str] = {
    "dataproduct_type": "obscore:ObsDataset.dataProductType",
    "calib_level": "obscore:ObsDataset.calibLevel",
    "obs_collection": "obscore:DataID.Collection",
    "obs_id": "obscore:DataID.observationID",
    "obs_publisher_did": "obscore:Curation.PublisherDID",
    "access_url": "obscore:Access.Reference",
    "access_format": "obscore:Access.Format",
    "access_estsize": "obscore:Access.Size",
    "target_name": "obscore:Target.Name",
    "s_ra": f"{_PLACE}.C1",
    "s_dec": f"{_PLACE}.C2",
    "s_fov": f"{_SKY}.Coverage.Bounds.Extent.diameter",
    "s_region": f"{_SKY}.Coverage.Support.Area",
    "s_resolution": f"{_SKY}.Resolution.Refval.value",
    "s_xel1": f"{_SKY}.numBins1",
    "s_xel2": f"{_SKY}.numBins2",
    "t_min": f"{_TIME}.Coverage.Bounds.Limits.StartTime",
    "t_max": f"{_TIME}.Coverage.Bounds.Limits.StopTime",
    "t_exptime": f"{_TIME}.Coverage.Support.Extent",
    "t_resolution": f"{_TIME}.Resolution.Refval.value",
    "t_xel": f"{_TIME}.numBins",
    "em_min": f"{_BAND}.Coverage.Bounds.Limits.LoLimit",
    "em_max": f"{_BAND}.Coverage.Bounds.Limits.HiLimit",
    "em_res_power": f"{_BAND}.Resolution.ResolPower.refVal",
    "em_xel": f"{_BAND}.numBins",
    "o_ucd": "obscore:Char.ObservableAxis.ucd",
    "pol_states": "obscore:Char.PolarizationAxis.stateList",
    "pol_xel": "obscore:Char.PolarizationAxis.numBins",
    "facility_name": "obscore:Provenance.ObsConfig.Facility.name",
    "instrument_name": "obscore:Provenance.ObsConfig.Instrument.name",
}


def obscore(
    facts: Sequence[Fact], plan: Mapping[str, Any], results: str, base_url: str | None
) -> pd.DataFrame:
    """One row an image of a tile and a mosaic that is there.

    `base_url` is where the results are to be had over HTTP; without it addresses are those of
    files on this machine.
    """
    rows = []
    for fact in facts:
        row = None
        if fact.stage == "image" and fact.values.get("imsize"):
            row = _tile(fact, plan, results)
        elif fact.stage == "mosaic" and fact.values.get("corners_deg"):
            row = _mosaic(fact, plan, results)
        if row is not None and Path(row["access_url"]).exists():
            rows.append(_located(row, results, base_url))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(_COUNTS, "Int64"))


def _common(name: str, groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What tiles and mosaics have in common, from the groups that went in."""
    low = min(group["freq_min_hz"] for group in groups)
    high = max(group["freq_max_hz"] for group in groups)
    telescope = groups[0].get("telescope", "")
    return {
        **{"dataproduct_type": "image", "obs_collection": f"{telescope} contimg", "obs_id": name},
        **{"obs_publisher_did": f"ivo://contimg/{quote(name)}", "access_format": "image/fits"},
        **{"target_name": name, "t_min": min(g["start_mjd"] for g in groups)},
        **{"t_max": max(g["end_mjd"] for g in groups), "t_resolution": np.nan, "t_xel": 1},
        **{"em_min": C_M_S / high, "em_max": C_M_S / low, "em_res_power": np.nan, "em_xel": 1},
        **{"o_ucd": "phot.flux.density;em.radio", "pol_states": "/I/", "pol_xel": 1},
        **{"facility_name": telescope, "instrument_name": telescope},
    }


def _tile(fact: Fact, plan: Mapping[str, Any], results: str) -> dict[str, Any] | None:
    group, values = plan["groups"].get(fact.item), fact.values
    if group is None or group.get("ra_deg") is None:
        return None
    tier = Path(fact.record).stem.rpartition(".")[2]
    side = values["imsize"] * values["cell_arcsec"] / 3600
    corners = square(group["ra_deg"], group["dec_deg"], side)
    return _common(fact.item, [group]) | {
        **{"calib_level": 2, "s_ra": group["ra_deg"], "s_dec": group["dec_deg"]},
        **{"s_fov": side, "s_region": region(corners), "s_resolution": values["bmaj_arcsec"]},
        **{"s_xel1": values["imsize"], "s_xel2": values["imsize"]},
        "t_exptime": values.get("integration_s") or 86400 * (group["end_mjd"] - group["start_mjd"]),
        "access_url": path("pbcor", results, group=fact.item, tier=tier),
    }


def _mosaic(fact: Fact, plan: Mapping[str, Any], results: str) -> dict[str, Any] | None:
    values = fact.values
    names = [str(tile).partition(".")[0] for tile in values.get("tiles_used") or []]
    groups = [plan["groups"][name] for name in names if name in plan["groups"]]
    if not groups:
        return None
    shape = values.get("shape") or (None, None)
    return _common(fact.item, groups) | {
        **{"calib_level": 3, "s_ra": values["ra_deg"], "s_dec": values["dec_deg"]},
        **{"s_fov": float(np.sqrt(values["area_deg2"])), "s_region": region(values["corners_deg"])},
        **{"s_resolution": 3600 * values["bmaj_deg"], "s_xel1": shape[1], "s_xel2": shape[0]},
        "t_exptime": 86400 * sum(g["end_mjd"] - g["start_mjd"] for g in groups),
        "access_url": path("mosaic", results, mosaic=fact.item),
    }


def _located(row: dict[str, Any], results: str, base_url: str | None) -> dict[str, Any]:
    file = Path(row["access_url"])
    row["access_estsize"] = max(1, round(file.stat().st_size / 1000))
    if base_url is None:
        row["access_url"] = file.resolve().as_uri()
    else:
        row["access_url"] = f"{base_url.rstrip('/')}/{quote(file.relative_to(results).as_posix())}"
    return row


def square(ra_deg: float, dec_deg: float, side_deg: float) -> list[tuple[float, float]]:
    """Corners of an image of `side_deg` in the tangent plane, ICRS [deg], counter-clockwise."""
    from contimg.core.coords import cosines_to_sky

    half = np.sin(np.radians(side_deg / 2))
    east = half * np.array([1, 1, -1, -1])
    north = half * np.array([-1, 1, 1, -1])
    ra, dec = cosines_to_sky(east, north, np.radians(ra_deg), np.radians(dec_deg))
    return [
        (float(np.degrees(a) % 360), float(np.degrees(d))) for a, d in zip(ra, dec, strict=True)
    ]


def region(corners: Sequence[Sequence[float]]) -> str:
    """An outline in the words of the standard."""
    numbers = " ".join(f"{ra % 360:.6f} {dec:.6f}" for ra, dec in corners)
    return f"POLYGON ICRS {numbers}"
