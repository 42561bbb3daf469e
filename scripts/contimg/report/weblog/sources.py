"""Data of every source for the one page that shows any of them, and the list of all sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from contimg.core.lens import smoothed_gain
from contimg.core.progress import progress
from contimg.report.weblog.cutouts import block_of
from contimg.report.weblog.items import position, sexagesimal
from contimg.report.weblog.site import Site
from contimg.report.weblog.tables import Tables, neighbours, plain, record

ROWS = ("mjd", "flux_jy", "flux_err_jy", "flux_norm_jy", "flux_norm_err_jy", "gain", "gain_err")
# what it is, and its error: of the statistics of a source
STATISTICS = {
    "n_epochs": ("good epochs", ""),
    "mean_flux_jy": ("mean flux density [Jy]", "mean_flux_err_jy"),
    "v": ("V, scatter over mean", ""),
    "eta": ("eta, reduced chi-square of a constant", ""),
    "p_constant": ("probability that a constant scatters as much", ""),
    "vs_max": ("Vs, largest change between two epochs [sigma]", ""),
    "m_at_vs_max": ("m of these two, change over mean", ""),
    "p_vs_max": ("probability of such a change by chance", ""),
    "m_debiased": ("modulation without the noise", "m_debiased_err"),
    "m_upper": ("its upper limit, 95 %", ""),
    "class": ("what explains the light curve best", ""),
    "reason": ("why not searched, or what was left out", ""),
    "ese_false_alarm_probability": ("false-alarm probability of a dip", ""),
    "ese_log_bayes_factor": ("ln Bayes factor, a dip against the rest", ""),
}
# what it is, its error, unit: of the parameters of the fitted event
FIT = {
    "depth": ("depth, part of the flux density", "depth_err", ""),
    "t0_mjd": ("centre", "t0_err_days", "MJD UTC"),
    "width_days": ("full width at half depth", "width_err_days", "d"),
    "baseline_jy": ("flux density without the dip", "baseline_err_jy", "Jy"),
    "minimum_flux_jy": ("flux density at the deepest", "minimum_flux_err_jy", "Jy"),
    "flux_fraction": ("part of the flux density that is lensed", "flux_fraction_err", ""),
    "alpha": ("alpha, strength of the lens", "alpha_err", ""),
    "source_size": ("size of the source", "source_size_err", "half-widths of the lens"),
    "n_in_dip": ("epochs below half the depth", "", ""),
    "colour": ("colour: 1 a lens, 0 achromatic", "colour_err", ""),
}
INDEX = (
    *("ra_deg", "dec_deg", "n_epochs", "mean_flux_jy", "eta", "v", "p_constant"),
    *("rms_jy_beam", "catalogue_jy"),
)
LIST_ROWS = 1000  # sources on a page of the list


def shard(key: str) -> str:
    """Folder of a source's data; the page works it out likewise (source.js)."""
    total = 0
    for character in key:
        total = (31 * total + ord(character)) % 256
    return f"{total:02x}"


def write_sources(
    site: Site,
    tables: Tables,
    epochs: Mapping[str, tuple[str, list[str]]],
    stamped: Mapping[str, set[str]],
    images: Mapping[str, str],
) -> None:
    """A file of data a source, the index of all, the pages that load them, and the list.

    `epochs`: day and tiles of each mosaic; `stamped`: mosaics with cut-outs, and their blocks;
    `images`: path of each mosaic's image.
    """
    sources = tables.sources
    near = neighbours(sources) if len(sources) else []
    ranks = {str(row.source): row for row in tables.candidates.itertuples()}
    listed = sources.to_dict("records")
    for k, row in enumerate(progress(listed, "data of sources")):
        content = _content(tables, row, epochs, stamped, images)
        content["before"], content["after"] = _ref(listed, k - 1), _ref(listed, k + 1)
        content["neighbours"] = [
            _ref(listed, n) | {"arcsec": round(a, 2)} | _mean(listed[n]) for n, a in near[k]
        ]
        found = ranks.get(str(row["source"]))
        if found is not None:
            page = site.to_page("source.html", f"candidates/{row['key']}.html")
            content["candidate"] = {"rank": int(found.rank), "list": found.list, "page": page}
        key = row["key"]
        site.data(f"data/sources/{shard(key)}/{key}.js", f"source/{key}", content)
    site.tidy("data/sources")
    _index(site, tables)
    site.page("source.html", "source.html.j2", title="Source", statistics=STATISTICS)
    site.page("population.html", "population.html.j2", title="Population", said=tables.said)
    _lists(site, tables)


def _content(
    tables: Tables,
    row: Mapping[str, Any],
    epochs: Mapping[str, tuple[str, list[str]]],
    stamped: Mapping[str, set[str]],
    images: Mapping[str, str],
) -> dict[str, Any]:
    """Everything the page of a source shows."""
    rows = tables.measured(str(row["source"]))
    mosaics = [str(m) for m in rows.get("mosaic", ())]
    block = block_of(row["ra_deg"], row["dec_deg"])
    spectrum, index = _spectrum(rows)
    return {
        "name": str(row["source"]),
        "key": row["key"],
        "position": position(row["ra_deg"], row["dec_deg"]),
        "rows": _rows(rows, mosaics),
        "epochs": {m: epochs[m] for m in dict.fromkeys(mosaics) if m in epochs},
        "parts": _parts(rows),
        "spectrum": spectrum,
        "spectral_index": index,
        "statistics": statistics_of(row),
        "catalogue": {
            label: value for label, value in _catalogue(row).items() if value is not None
        },
        "fit": fit_of(row),
        "event": _event(row, rows),
        "cutouts": [[m, block] for m in dict.fromkeys(mosaics) if block in stamped.get(m, ())],
        "commands": _commands(row, rows, images),
        "candidate": None,
    }


def _rows(rows: Mapping[str, list[Any]], mosaics: list[str]) -> dict[str, list[Any]]:
    flags = zip(rows.get("flag", ()), rows.get("bad", ()), strict=True)
    return {
        **{name: rows.get(name, []) for name in (*ROWS, "rms_jy_beam")},
        "mosaic": mosaics,
        "reference": rows.get("is_reference", []),
        "flag": [{"text": text or "", "bad": bad} for text, bad in flags],
    }


def _parts(rows: Mapping[str, list[Any]], good: bool = False) -> list[dict[str, Any]]:
    """Light curves of the parts of the band, of all epochs or of the good ones."""
    parts: dict[float, dict[str, Any]] = {}
    for n, frequencies in enumerate(rows.get("part_hz", ())):
        if frequencies is None or (good and rows["bad"][n]):
            continue
        values = (frequencies, rows["part_flux_jy"][n], rows["part_err_jy"][n])
        for hz, flux, error in zip(*values, strict=True):
            if np.isfinite(flux) and np.isfinite(error):
                part = parts.setdefault(
                    float(hz), {"hz": float(hz), "mjd": [], "flux_jy": [], "err_jy": [], "row": []}
                )
                part["mjd"].append(rows["mjd"][n])
                part["flux_jy"].append(round(float(flux), 7))
                part["err_jy"].append(round(float(error), 7))
                part["row"].append(n)
    return [parts[hz] for hz in sorted(parts)]


def _spectrum(
    rows: Mapping[str, list[Any]],
) -> tuple[list[dict[str, float]], list[float] | None]:
    """Weighted means of the parts over the good epochs, and the spectral index with its error."""
    points = []
    for part in _parts(rows, good=True):
        weight = 1 / np.square(part["err_jy"])
        mean = float(np.average(part["flux_jy"], weights=weight))
        points.append({"hz": part["hz"], "flux_jy": mean, "err_jy": float(weight.sum() ** -0.5)})
    usable = [p for p in points if p["flux_jy"] > 3 * p["err_jy"]]
    if len(usable) < 2:
        return points, None
    x = np.log([p["hz"] for p in usable])
    y = np.log([p["flux_jy"] for p in usable])
    error = np.array([p["err_jy"] / p["flux_jy"] for p in usable])
    coefficients, covariance = np.polyfit(x - x.mean(), y, 1, w=1 / error, cov="unscaled")
    return points, [round(float(coefficients[0]), 4), round(float(covariance[0, 0] ** 0.5), 4)]


def _catalogue(row: Mapping[str, Any]) -> dict[str, Any]:
    values = record(
        row, ("catalogue_jy", "flux_jy", "ref_freq_hz", "spectral_index", "major_arcsec")
    )
    return {
        "flux density at the observed frequency [Jy]": values["catalogue_jy"],
        "flux density [Jy]": values["flux_jy"],
        "at [MHz]": None if values["ref_freq_hz"] is None else values["ref_freq_hz"] / 1e6,
        "spectral index": values["spectral_index"],
        "major axis [arcsec]": values["major_arcsec"],
    }


def statistics_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Values of :data:`STATISTICS` and their errors, by names of columns."""
    return record(row, [*STATISTICS, *(error for _, error in STATISTICS.values() if error)])


def fit_of(row: Mapping[str, Any]) -> list[list[Any]] | None:
    """Parameters of the fitted event: what, value, error, unit; None where none was fitted."""
    values = record(row, [*FIT, *(error for _, error, _ in FIT.values() if error)])
    if values["t0_mjd"] is None:
        return None
    return [
        [words, values[name], values.get(error), unit]
        for name, (words, error, unit) in FIT.items()
        if values[name] is not None
    ]


def _event(row: Mapping[str, Any], rows: Mapping[str, list[Any]]) -> dict[str, Any] | None:
    """The dip that the parameters describe, with time, for drawing."""
    dip = dip_of(row)
    if dip is None or not rows.get("mjd"):
        return None
    first, last = rows["mjd"][0], rows["mjd"][-1]
    mjd = np.unique(
        np.r_[
            np.linspace(first, last, 60),
            dip["t0_mjd"] + dip["width_days"] * np.linspace(-3, 3, 181),
        ]
    )
    mjd = mjd[(mjd >= first) & (mjd <= last)]
    flux = dip_flux(mjd, dip)
    return {"mjd": plain(mjd, 5), "flux_jy": plain(flux, 7), "t0_mjd": dip["t0_mjd"]}


def dip_of(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Parameters of the dip by names of columns, as :func:`dip_flux` takes them; None without."""
    dip = record(row, FIT)
    needed = ("t0_mjd", "width_days", "depth", "baseline_jy")
    return None if any(dip[name] is None for name in needed) else dip


def dip_flux(mjd: np.ndarray, dip: Mapping[str, float | None]) -> np.ndarray:
    """Flux density [Jy] at `mjd` of a dip by its parameters.

    With a strength `alpha` its shape is that of a one-dimensional Gaussian lens on the axis,
    scaled to `width_days` (full width at half depth) and `depth`; without, a Gaussian.
    """
    t = 2 * (np.asarray(mjd) - dip["t0_mjd"]) / dip["width_days"]
    if dip.get("alpha") is None or dip.get("source_size") is None:
        return dip["baseline_jy"] * (1 - dip["depth"] * 2.0 ** -(t**2))
    alpha, size = float(dip["alpha"]), max(float(dip["source_size"]), 0.02)
    grid = np.linspace(0, 8 + 0.45 * alpha + 2 * size, 1501)
    change = smoothed_gain(grid, alpha, size) - 1
    half = grid[np.argmax(change > change[0] / 2)]
    shape = np.interp(np.abs(t) * half, grid, change, right=0.0) / -change[0]
    return dip["baseline_jy"] * (1 + dip["depth"] * shape)


def _commands(
    row: Mapping[str, Any], rows: Mapping[str, list[Any]], images: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Commands that show the source in other programs, in the mosaic of least noise."""
    ra, dec = float(row["ra_deg"]), float(row["dec_deg"])
    place = f"{ra:.6f} {dec:.6f}"
    lines = [("contimg", f"contimg lightcurve '{row['source']}'".replace("\n", " "))]
    there = [
        (np.inf if noise is None else noise, images[str(mosaic)])
        for noise, mosaic in zip(rows.get("rms_jy_beam", ()), rows.get("mosaic", ()), strict=True)
        if str(mosaic) in images
    ]
    if there:
        file = min(there)[1]
        lines += [
            ("DS9", f"ds9 -zscale {file} -pan to {place} wcs icrs degrees -zoom 4"),
            ("CARTA", f"carta {file}"),
            ("Aladin", f'java -jar Aladin.jar -script "load {file}; {place}; zoom 15arcmin"'),
        ]
    target = quote(sexagesimal(ra, dec))
    lite = f"https://aladin.cds.unistra.fr/AladinLite/?target={target}&fov=0.25"
    return [*lines, ("Aladin Lite", lite)]


def _ref(rows: Sequence[Mapping[str, Any]], k: int) -> dict[str, Any] | None:
    if not 0 <= k < len(rows):
        return None
    return {"name": str(rows[k]["source"]), "key": rows[k]["key"]}


def _mean(row: Mapping[str, Any]) -> dict[str, Any]:
    """The mean flux density of a neighbour [Jy]."""
    return {"mean_jy": record(row, ["mean_flux_jy"])["mean_flux_jy"]}


def _index(site: Site, tables: Tables) -> None:
    """All sources by columns, for the population and the sky."""
    sources = tables.sources
    mosaics = sorted({str(m) for m in tables.rows["mosaic"]}) if len(tables.rows) else []
    number = {name: n for n, name in enumerate(mosaics)}
    content: dict[str, Any] = {
        "name": [str(name) for name in sources["source"]],
        "key": list(sources["key"]),
        "mosaics": mosaics,
        "in_mosaics": [
            [number[str(m)] for m in tables.of(str(name)).get("mosaic", ())]
            for name in sources["source"]
        ],
    }
    for name in INDEX:
        values = sources.get(name)
        digits = 5 if name.endswith("_deg") else 7
        content[name] = (
            [None] * len(sources) if values is None else plain(values.to_numpy(dtype=float), digits)
        )
    for name in ("class", "list"):
        values = sources.get(name)
        content[name] = [""] * len(sources) if values is None else [str(v) for v in values]
    site.data("data/index.js", "index", content)


def _lists(site: Site, tables: Tables) -> None:
    """Pages with all sources in order of right ascension, which need no script."""
    number = max(1, -(-len(tables.sources) // LIST_ROWS))
    listed = set(tables.candidates["source"].astype(str))
    rows: Sequence[dict[str, Any]] = tables.sources.to_dict("records")
    for n in range(number):
        part = rows[n * LIST_ROWS : (n + 1) * LIST_ROWS]
        for row in part:
            row["words"] = sexagesimal(row["ra_deg"], row["dec_deg"])
            row["listed"] = str(row["source"]) in listed
        site.page(
            f"sources/{n + 1}.html",
            "sources.html.j2",
            title=f"Sources, {n + 1} of {number}" if number > 1 else "Sources",
            rows=part,
            number=number,
            current=n + 1,
            total=len(rows),
            ranges=[
                (k + 1, sexagesimal(rows[k * LIST_ROWS]["ra_deg"], 0)[:5]) for k in range(number)
            ]
            if rows
            else [],
            said=tables.said,
        )
    site.tidy("sources")
