"""The tables of surveys and source finders: what their columns mean.

Those with a ``table`` can be fetched from VizieR; all can be imported from a file. Hardly any has
a spectral index that is worth having, which therefore has to be given. Sizes are deconvolved;
where a table gives a limit, or sizes that hold the beam, the source is a point.
"""

from __future__ import annotations

from dataclasses import dataclass

_VIZIER = ("RAJ2000", "DEJ2000")


@dataclass(frozen=True)
class Survey:
    """A kind of table: its columns and the units that they have where the file declares none."""

    label: str  # of the names of its sources
    place: tuple[str, str]  # right ascension, declination
    flux: str
    flux_error: str
    marks: tuple[str, ...]  # further columns by which a file is known
    freq_hz: float | None = None
    freq: str = ""  # column of the frequency, in MHz
    index: str = ""  # column of the spectral index
    size: tuple[str, str, str] = ("", "", "")  # major, minor, position angle
    limits: tuple[str, str] = ("", "")  # columns that say "<" where major, minor are limits
    keep: tuple[tuple[str, tuple[int, ...]], ...] = ()  # values that make a row a good one
    flux_unit: str = "mJy"
    size_unit: str = "arcsec"
    table: str = ""  # at VizieR
    reference: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are asked for when the table is fetched."""
        wanted = (*self.place, self.flux, self.flux_error, *self.size, *self.limits)
        return tuple(c for c in wanted if c)

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns without which a file is none of this kind."""
        return (*self.place, self.flux, *self.marks)


SURVEYS = {
    "nvss": Survey(
        "NVSS",
        _VIZIER,
        "S1.4",
        "e_S1.4",
        (),
        1.4e9,
        size=("MajAxis", "MinAxis", "PA"),
        limits=("l_MajAxis", "l_MinAxis"),
        table="VIII/65/nvss",
        reference="Condon et al. 1998, AJ 115, 1693",
    ),
    "first": Survey(
        "FIRST",
        _VIZIER,
        "Fint",
        "Rms",
        ("Fpeak",),
        1.4e9,
        size=("Maj", "Min", "PA"),
        table="VIII/92/first14",
        reference="Helfand et al. 2015, ApJ 801, 26",
    ),
    "vlass": Survey(
        "VLASS",
        _VIZIER,
        "Ftot",
        "e_Ftot",
        ("DupFlag", "QualFlag"),
        3.0e9,
        size=("DCMaj", "DCMin", "DCPA"),
        keep=(("DupFlag", (0, 1)), ("QualFlag", (0, 4))),
        table="J/ApJS/255/30/comp",
        reference="quick-look epoch 1, Gordon et al. 2021, ApJS 255, 30; flux densities 10 % low",
    ),
    "racs": Survey(
        "RACS",
        _VIZIER,
        "Ftot",
        "e_Ftot",
        (),
        887.5e6,
        table="J/other/PASA/38.58/gausscut",
        reference="RACS-low, Hale et al. 2021, PASA 38, 58",
    ),
    "tgss": Survey(
        "TGSS",
        _VIZIER,
        "Stotal",
        "e_Stotal",
        ("Speak",),
        147.5e6,
        table="J/A+A/598/A78/table3",
        reference="TGSS ADR1, Intema et al. 2017, A&A 598, A78",
    ),
}

# the same surveys as others deliver them, and the tables of source finders
FILES = SURVEYS | {
    "first-native": Survey(
        "FIRST",
        ("RA", "DEC"),
        "FINT",
        "RMS",
        ("FPEAK", "FITTED_MAJOR"),
        1.4e9,
        size=("MAJOR", "MINOR", "POSANG"),
        reference=SURVEYS["first"].reference,
    ),
    "vlass-cirada": Survey(
        "VLASS",
        ("RA", "DEC"),
        "Total_flux",
        "E_Total_flux",
        ("Duplicate_flag", "Quality_flag"),
        3.0e9,
        size=("DC_Maj", "DC_Min", "DC_PA"),
        keep=(("Duplicate_flag", (0, 1)), ("Quality_flag", (0, 4))),
        reference=SURVEYS["vlass"].reference,
    ),
    "tgss-native": Survey(
        "TGSS",
        ("RA", "DEC"),
        "Total_flux",
        "E_Total_flux",
        ("Mosaic_name",),
        147.5e6,
        reference=SURVEYS["tgss"].reference,
    ),
    "racs-casda-gaussians": Survey(
        "RACS",
        ("ra", "dec"),
        "total_flux_gaussian",
        "e_total_flux_gaussian",
        ("source_id",),
        887.5e6,
        size=("DC_Maj", "DC_Min", "DC_PA"),
        reference=SURVEYS["racs"].reference,
    ),
    "racs-casda": Survey(
        "RACS",
        ("ra", "dec"),
        "total_flux_source",
        "e_total_flux_source",
        (),
        887.5e6,
        reference=SURVEYS["racs"].reference,
    ),
    "selavy": Survey(
        "Selavy",
        ("ra_deg_cont", "dec_deg_cont"),
        "flux_int",
        "flux_int_err",
        ("component_id",),
        freq="freq",
        index="spectral_index",
        size=("maj_axis_deconv", "min_axis_deconv", "pos_ang_deconv"),
        reference="components of Selavy (ASKAPsoft)",
    ),
    "aegean": Survey(
        "Aegean",
        ("ra", "dec"),
        "int_flux",
        "err_int_flux",
        ("local_rms", "a", "b"),
        flux_unit="Jy",
        reference="components of Aegean (Hancock et al. 2018, PASA 35, e011)",
    ),
    "pybdsf": Survey(
        "PyBDSF",
        ("RA", "DEC"),
        "Total_flux",
        "E_Total_flux",
        ("Isl_id",),
        index="Spec_Indx",
        size=("DC_Maj", "DC_Min", "DC_PA"),
        flux_unit="Jy",
        size_unit="deg",
        reference="sources or Gaussians of PyBDSF (Mohan & Rafferty 2015)",
    ),
}
