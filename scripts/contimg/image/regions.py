"""Region files: circles, ellipses, boxes and polygons of CASA (CRTF) and DS9.

Positions are ICRS (fk5 of equinox J2000 differs by less than 0.03 arcsec and is taken as such);
angles run north through east. A DS9 ellipse or box at angle 0 has its first axis along right
ascension and is turned from there; a CRTF ellipse has its first axis to the north.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import Angle
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.errors import ContimgError


@dataclass(frozen=True)
class Region:
    """A shape on the sky.

    `points` are (ra, dec) [deg]: the centre, or the corners of a polygon. `axes_deg` are the
    radii of a circle or an ellipse or the whole sides of a box, the first one at position angle
    `angle_deg` (north through east).
    """

    kind: str  # circle, ellipse, box, polygon
    points: tuple[tuple[float, float], ...]
    axes_deg: tuple[float, float] = (0.0, 0.0)
    angle_deg: float = 0.0


def read_regions(path: Path) -> list[Region]:
    """All regions of a CRTF or DS9 file; :class:`ContimgError` names a line it cannot read."""
    if not path.exists():
        raise ContimgError(f"{path}: region file not found")
    text = path.read_text()
    crtf = text.lstrip().startswith("#CRTF")
    found, frame = [], "icrs"
    for number, line in enumerate(text.splitlines(), 1):
        for part in [line] if crtf else line.split(";"):
            content = part.split("#")[0].strip()
            if not content or content.startswith("global"):
                continue
            if content.lower() in ("icrs", "fk5", "j2000", "image", "physical", "galactic", "fk4"):
                frame = content.lower()
                continue
            try:
                if not crtf and frame not in ("icrs", "fk5", "j2000"):
                    raise ValueError(f"positions must be icrs or fk5, not {frame}")
                found.append(_crtf(content) if crtf else _ds9(content))
            except (ValueError, IndexError) as error:
                raise ContimgError(f"{path}, line {number}: {content!r}: {error}") from None
    if not found:
        raise ContimgError(f"{path}: holds no region")
    return found


def _ds9(text: str) -> Region:
    match = re.fullmatch(r"\+?\s*(circle|ellipse|box|polygon)\s*\(?([^)]*)\)?.*", text, re.I)
    if match is None:
        raise ValueError("not a circle, ellipse, box or polygon to include")
    kind = match[1].lower()
    words = [w for w in re.split(r"[\s,]+", match[2].strip()) if w]
    if kind == "polygon":
        pairs = zip(words[::2], words[1::2], strict=True)
        return Region(kind, tuple((_ra(a, "deg"), _dec(b)) for a, b in pairs))
    centre = ((_ra(words[0], "deg"), _dec(words[1])),)
    lengths = (
        [_length(word) for word in words[2:4]] if kind != "circle" else [_length(words[2])] * 2
    )
    turned = float(words[4]) if len(words) > 4 else 0.0
    return Region(kind, centre, (lengths[0], lengths[1]), 0.0 if kind == "circle" else turned - 90)


def _crtf(text: str) -> Region:
    text = re.sub(r"^\s*\+?\s*(ann\s+)?", "", text)
    match = re.match(
        r"(circle|ellipse|box|centerbox|rotbox|poly)\s*\[(.*?)\](?:\s*,\s*\w+=.*)?$", text
    )
    if match is None:
        raise ValueError("not a circle, ellipse, box or poly to include")
    kind = match[1]
    coord = re.search(r"coord\s*=\s*(\w+)", text)
    if coord and coord[1].upper() not in ("ICRS", "J2000"):
        raise ValueError(f"positions must be ICRS or J2000, not {coord[1]}")
    groups = re.findall(r"\[([^\[\]]*)\]", match[2])
    pairs = [[w.strip() for w in group.split(",")] for group in groups]
    rest = [w.strip() for w in re.sub(r"\[[^\[\]]*\]", "", match[2]).split(",") if w.strip()]
    if kind == "poly":
        return Region("polygon", tuple((_ra(a, "hour"), _dec(b)) for a, b in pairs))
    first = (_ra(pairs[0][0], "hour"), _dec(pairs[0][1]))
    if kind == "circle":
        return Region(kind, (first,), (_length(rest[0]), _length(rest[0])))
    if kind == "box":
        second = (_ra(pairs[1][0], "hour"), _dec(pairs[1][1]))
        dec = (first[1] + second[1]) / 2
        d_ra = (second[0] - first[0] + 180) % 360 - 180
        sides = (abs(second[1] - first[1]), abs(d_ra) * np.cos(np.radians(dec)))
        return Region("box", (((first[0] + d_ra / 2) % 360, dec),), sides)
    axes = (_length(pairs[1][0]), _length(pairs[1][1]))
    turned = float(Angle(rest[0]).deg) if rest else 0.0
    if kind == "ellipse":
        return Region(kind, (first,), axes, turned)
    return Region("box", (first,), axes, turned - 90)  # width is along right ascension


def _ra(word: str, unit: str) -> float:
    if re.fullmatch(r"[-+\d.eE]+", word):
        return float(word) % 360
    if re.search(r"(deg|d|rad)$", word) and "h" not in word:
        return float(Angle(word).deg) % 360
    sexagesimal = ":" in word or "h" in word or unit == "hour"
    return float(Angle(word, unit="hour" if sexagesimal else "deg").deg) % 360


def _dec(word: str) -> float:
    if re.fullmatch(r"[-+]?\d+\.\d+\.\d+(\.\d+)?", word):  # CASA's +55.34.21.1
        word = word.replace(".", ":", 2)
    if re.fullmatch(r"[-+\d.eE]+", word):
        return float(word)
    return float(Angle(word, unit="deg").deg)


def _length(word: str) -> float:
    if re.fullmatch(r"[\d.eE+-]+", word):
        return float(word)  # degrees
    if word.endswith(("p", "i", "pix")):
        raise ValueError("lengths must be angles, not pixels")
    units = {'"': "arcsec", "'": "arcmin", "d": "deg", "r": "rad"}
    if word[-1] in units and not word.endswith(("rad", "deg")):
        word = word[:-1] + units[word[-1]]
    return float(Angle(word).deg)


def fill(mask: NDArray[np.bool_], regions: list[Region], wcs: WCS) -> None:
    """Set the pixels [y, x] of `mask` whose centres lie in any of the regions."""
    cell = float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    for region in regions:
        x, y = wcs.all_world2pix(np.array(region.points), 0).T
        if not np.isfinite(x).all():
            continue  # beyond the horizon of the projection
        reach = 0.0 if region.kind == "polygon" else np.hypot(*region.axes_deg) / cell
        x0, x1 = _clip(x.min() - reach, x.max() + reach, mask.shape[1])
        y0, y1 = _clip(y.min() - reach, y.max() + reach, mask.shape[0])
        if x0 >= x1 or y0 >= y1:
            continue
        px, py = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
        mask[y0:y1, x0:x1] |= _inside(region, px, py, x, y, cell)


def _clip(low: float, high: float, size: int) -> tuple[int, int]:
    return max(0, int(np.floor(low))), min(size, int(np.ceil(high)) + 1)


def _inside(
    region: Region, px: NDArray, py: NDArray, x: NDArray, y: NDArray, cell: float
) -> NDArray[np.bool_]:
    if region.kind == "polygon":
        from matplotlib.path import Path as Outline

        points = np.stack([px.ravel(), py.ravel()], axis=1)
        return Outline(np.stack([x, y], axis=1)).contains_points(points).reshape(px.shape)
    east, north = -(px - x[0]) * cell, (py - y[0]) * cell
    angle = np.radians(region.angle_deg)
    along = north * np.cos(angle) + east * np.sin(angle)
    across = east * np.cos(angle) - north * np.sin(angle)
    a, b = region.axes_deg
    if region.kind == "box":
        return (np.abs(along) <= a / 2) & (np.abs(across) <= b / 2)
    return (along / a) ** 2 + (across / b) ** 2 <= 1


def write_circles(path: Path, names: list[str], points: NDArray, radius_deg: NDArray) -> str:
    """Text of a region file of labelled circles: CRTF if `path` ends so, else DS9."""
    if path.suffix == ".crtf":
        lines = ["#CRTFv0"]
        for name, (ra, dec), radius in zip(names, points, radius_deg, strict=True):
            lines.append(
                f"circle [[{ra:.7f}deg, {dec:.7f}deg], {radius * 3600:.2f}arcsec],"
                f" coord=ICRS, label='{name}'"
            )
    else:
        lines = ["# Region file format: DS9 version 4.1", "icrs"]
        for name, (ra, dec), radius in zip(names, points, radius_deg, strict=True):
            lines.append(f'circle({ra:.7f},{dec:.7f},{radius * 3600:.2f}") # text={{{name}}}')
    return "\n".join(lines) + "\n"
