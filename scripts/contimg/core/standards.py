"""Flux density scales: what a calibrator table means by ``standard``.

Coefficients a0 a1 ... of log10 S[Jy] = sum a_k log10(nu/GHz)^k. Perley & Butler 2017 (ApJS 230,
7, table 6) hold from 50 MHz to 50 GHz; those of the slowly variable sources (3C 48, 3C 138,
3C 147) are of the last epoch, 2016. Scaife & Heald 2012 (MNRAS 423, L30) is a scale for low
frequencies, given about 150 MHz and valid from 30 to 300 MHz only, and therefore absent.
"""

from __future__ import annotations

STANDARDS: dict[str, dict[str, tuple[float, ...]]] = {
    "Perley-Butler 2017": {
        "3C48": (1.3253, -0.7553, -0.1914, 0.0498),
        "3C123": (1.8017, -0.7884, -0.1035, -0.0248, 0.0090),
        "3C138": (1.0088, -0.4981, -0.1552, -0.0102, 0.0223),
        "3C147": (1.4516, -0.6961, -0.2007, 0.0640, -0.0464, 0.0289),
        "3C196": (1.2872, -0.8530, -0.1534, -0.0200, 0.0201),
        "3C286": (1.2481, -0.4507, -0.1798, 0.0357),
        "3C295": (1.4701, -0.7658, -0.2780, -0.0347, 0.0399),
    },
}

# other names of the sources of the standards: B1950 and J2000 names of the VLA list
ALIASES = {
    "0134+329": "3C48",
    "0137+331": "3C48",
    "0433+295": "3C123",
    "0437+296": "3C123",
    "0518+165": "3C138",
    "0521+166": "3C138",
    "0538+498": "3C147",
    "0542+498": "3C147",
    "0809+483": "3C196",
    "0813+482": "3C196",
    "1328+307": "3C286",
    "1331+305": "3C286",
    "1409+524": "3C295",
    "1411+522": "3C295",
}


def canonical(name: str) -> str:
    """The name by which the standards know a source (``J1331+305`` -> ``3C286``)."""
    plain = name.replace(" ", "").removeprefix("J").removeprefix("B")
    return ALIASES.get(plain, plain)


def coefficients(standard: str, name: str) -> tuple[float, ...] | None:
    """The polynomial of source `name` in `standard`; None when it is not part of it.

    Raises `KeyError` for a standard that is not known.
    """
    return STANDARDS[standard].get(canonical(name))
