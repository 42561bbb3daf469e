"""Tables of sources and candidates, and the formats they are written in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.records import atomic
from contimg.variability import metrics
from contimg.variability.ese import Event, LightCurve

# column of the candidates: (unit, UCD, description)
CANDIDATES: dict[str, tuple[str, str, str]] = {
    "rank": ("", "meta.number", "1 is the least probable to be a false alarm"),
    "source": ("", "meta.id;meta.main", "name in the catalogue"),
    "ra_deg": ("deg", "pos.eq.ra;meta.main", "right ascension, ICRS"),
    "dec_deg": ("deg", "pos.eq.dec;meta.main", "declination, ICRS"),
    "false_alarm_probability": ("", "stat.probability", "of this source without a lens"),
    "statistic": ("", "stat.likelihood", "likelihood ratio, -2 ln"),
    "depth": ("", "arith.ratio", "largest part of the flux that is missing"),
    "t0_mjd": ("d", "time.epoch", "centre of the event, MJD UTC"),
    "width_days": ("d", "time.duration", "full width at half depth"),
    "alpha": ("", "phys.optics", "strength of the lens template"),
    "flux_fraction": ("", "arith.ratio", "part of the flux that is lensed"),
    "n_epochs": ("", "meta.number;obs", "good epochs"),
    "n_in_dip": ("", "meta.number;obs", "epochs below half the depth"),
    "baseline_flux_jy": ("Jy", "phot.flux.density;em.radio", "flux without the lens"),
    "minimum_flux_jy": ("Jy", "phot.flux.density;em.radio;stat.min", "flux at the deepest"),
    "eta": ("", "stat.fit.chi2", "reduced chi-square about the weighted mean"),
    "p_constant": ("", "stat.probability", "that a constant source scatters as much"),
    "priority": ("", "meta.code", "high: far below the threshold; medium: below it"),
}

METRICS = (
    "mean_flux_jy",
    "mean_flux_err_jy",
    "v",
    "eta",
    "p_constant",
    "vs_max",
    "m_at_vs_max",
    "vs_mjd_1",
    "vs_mjd_2",
    "p_vs_max",
    "m_debiased",
)
# of the event, with "ese_" before them
EVENT = (
    "statistic",
    "false_alarm_probability",
    "depth",
    "t0_mjd",
    "width_days",
    "alpha",
    "source_size",
    "flux_fraction",
    "n_in_dip",
    "baseline_jy",
)


def source_row(
    curve: LightCurve, position: tuple[float, float], event: Event | None
) -> dict[str, object]:
    """Everything measured of one source; ``nan`` where there are too few epochs for it."""
    row: dict[str, object] = {
        "source": curve.source,
        "ra_deg": position[0],
        "dec_deg": position[1],
        "n_epochs": len(curve.mjd),
    }
    row |= dict.fromkeys(METRICS, np.nan)
    if len(curve.mjd):
        mean = metrics.weighted_mean(curve.flux, curve.error)
        row["mean_flux_jy"], row["mean_flux_err_jy"] = mean
    if len(curve.mjd) > 1:
        vs, m, first, second = metrics.largest_pair(curve.flux, curve.error)
        row |= {
            "v": metrics.modulation(curve.flux),
            "eta": metrics.eta(curve.flux, curve.error),
            "p_constant": metrics.p_constant(curve.flux, curve.error),
            "vs_max": vs,
            "m_at_vs_max": m,
            "vs_mjd_1": curve.mjd[first],
            "vs_mjd_2": curve.mjd[second],
            "p_vs_max": metrics.p_largest_pair(vs, len(curve.mjd)),
            "m_debiased": metrics.debiased_modulation(curve.flux, curve.error),
        }
    for name in EVENT:
        row[f"ese_{name}"] = np.nan if event is None else float(getattr(event, name))
    return row


def candidate_table(sources: pd.DataFrame, threshold: float, high_below: float) -> pd.DataFrame:
    """The candidates among `sources`, the least probable false alarms first."""
    found = sources[sources["is_candidate"]].sort_values(
        ["ese_false_alarm_probability", "ese_statistic", "source"], ascending=[True, False, True]
    )
    probability = found["ese_false_alarm_probability"]
    table = pd.DataFrame(
        {
            **{n: found[f"ese_{n}"] for n in CANDIDATES if f"ese_{n}" in found.columns},
            **{n: found[n] for n in CANDIDATES if n in found.columns},
            "rank": np.arange(1, len(found) + 1),
            "baseline_flux_jy": found["ese_baseline_jy"],
            "minimum_flux_jy": found["ese_baseline_jy"] * (1 - found["ese_depth"]),
            "priority": np.where(probability < high_below * threshold, "high", "medium"),
        }
    )
    table["n_in_dip"] = table["n_in_dip"].astype(int)
    return table[list(CANDIDATES)].reset_index(drop=True)


def write_candidates(table: pd.DataFrame, csv: Path, ecsv: Path, vot: Path) -> None:
    """The same candidates as CSV, ECSV and VOTable; valid with no row, too."""
    from astropy.io.votable import from_table, writeto
    from astropy.table import Table

    with atomic(csv) as partial:
        table.to_csv(partial, index=False)
    converted = Table()
    for name, (unit, _, description) in CANDIDATES.items():
        text = name in {"source", "priority"}
        values = table[name].to_numpy(dtype=str if text else None)
        converted[name] = values
        converted[name].unit = unit or None
        converted[name].description = description
    with atomic(ecsv) as partial:
        converted.write(partial, format="ascii.ecsv")
    votable = from_table(converted)
    for field in votable.get_first_table().fields:
        field.ucd = CANDIDATES[field.name][1]
    with atomic(vot) as partial:
        writeto(votable, str(partial))
