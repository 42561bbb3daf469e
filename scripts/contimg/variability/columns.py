"""Columns of the table of candidates: units, UCDs, descriptions."""

from __future__ import annotations

# what is known of a dip; column: (unit, UCD, description). Errors are half the central 68 %.
DIP: dict[str, tuple[str, str, str]] = {
    "depth": ("", "phot.flux.density;arith.ratio", "largest part of the flux that is missing"),
    "depth_err": ("", "stat.error;arith.ratio", "its error"),
    "t0_mjd": ("d", "time.epoch", "centre of the event, MJD UTC"),
    "t0_err_days": ("d", "stat.error;time.epoch", "its error"),
    "width_days": ("d", "time.duration", "full width at half depth"),
    "width_err_days": ("d", "stat.error;time.duration", "its error"),
    "baseline_jy": ("Jy", "phot.flux.density;em.radio", "flux without the dip"),
    "baseline_err_jy": ("Jy", "stat.error;phot.flux.density;em.radio", "its error"),
    "minimum_flux_jy": ("Jy", "phot.flux.density;em.radio;stat.min", "flux at the deepest"),
    "minimum_flux_err_jy": ("Jy", "stat.error;phot.flux.density;em.radio", "its error"),
    "flux_fraction": (
        "",
        "phot.flux.density;arith.ratio",
        "part of the flux that is lensed, if a Gaussian lens",
    ),
    "flux_fraction_err": ("", "stat.error;arith.ratio", "its error"),
    "alpha": ("", "stat.param", "strength of the lens, if Gaussian"),
    "alpha_err": ("", "stat.error", "its error"),
    "source_size": (
        "",
        "phys.angSize;arith.ratio",
        "FWHM of the source in half-widths of the lens",
    ),
    "source_size_err": ("", "stat.error;arith.ratio", "its error"),
    "n_in_dip": ("", "meta.number;obs", "epochs below half the depth"),
    "colour": (
        "",
        "phot.color;arith.ratio",
        "chromaticity over that of a lens: 1 a lens, 0 achromatic",
    ),
    "colour_err": ("", "stat.error;arith.ratio", "its error"),
}
CANDIDATES: dict[str, tuple[str, str, str]] = {
    "rank": ("", "meta.number", "1 is the least probable to be a false alarm"),
    "source": ("", "meta.id;meta.main", "name in the catalogue"),
    "ra_deg": ("deg", "pos.eq.ra;meta.main", "right ascension, ICRS"),
    "dec_deg": ("deg", "pos.eq.dec;meta.main", "declination, ICRS"),
    "class": ("", "meta.code.class", "what explains the light curve best"),
    "list": ("", "meta.code", "announce: by the declared number of false alarms; watch"),
    "priority": ("", "meta.code", "high: far below the threshold; medium; low: watch list"),
    "false_alarm_probability": ("", "stat.probability", "of this source without a lens"),
    "log_bayes_factor": ("", "stat.likelihood", "ln, a dip against everything else"),
    **DIP,
    "n_epochs": ("", "meta.number;obs", "good epochs"),
    "eta": ("", "stat.fit.chi2", "reduced chi-square about the weighted mean"),
    "p_constant": ("", "stat.probability", "that a constant source scatters as much"),
}
