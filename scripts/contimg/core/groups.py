"""A group: the subband files of one pointing, 309 s long at DSA-110, and its manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from astropy.coordinates import EarthLocation
from astropy.time import Time

from contimg.core.disk import named, no_file, of_the_medium
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.paths import place_of
from contimg.core.records import write_text


@dataclasses.dataclass(frozen=True)
class Group:
    """What the planning needs to know of a group. Times are MJD UTC, angles degrees."""

    group: str
    telescope: str
    latitude_deg: float
    longitude_deg: float
    height_m: float
    start_mjd: float  # beginning of the first integration
    end_mjd: float  # end of the last integration
    integration_s: float
    n_times: int
    tracking: str  # "drift" (meridian, fixed apparent declination) or "sidereal"
    dec_app_deg: float | None  # pointing declination of a drift scan, apparent
    ra_deg: float  # ICRS centre of the tile
    dec_deg: float
    field: str  # name in the data; empty for drift scans
    freq_min_hz: float  # lowest and highest channel edge of the complete group
    freq_max_hz: float
    subbands: int
    longest_m: float | None = None  # longest distance of two antennas, where it is known

    @property
    def mid_mjd(self) -> float:
        """Mid-point of the group."""
        return (self.start_mjd + self.end_mjd) / 2

    @property
    def location(self) -> EarthLocation:
        """Reference point of the telescope."""
        return EarthLocation.from_geodetic(self.longitude_deg, self.latitude_deg, self.height_m)


def group_name(first_integration_mjd: float) -> str:
    """Name of a group: UTC of the mid-point of its first integration, to the (rounded) second."""
    time = Time(round(first_integration_mjd * 86400) / 86400, format="mjd", scale="utc")
    return time.strftime("%Y%m%dT%H%M%S")


def write_manifest(path: str | Path, group: Group, files: list[dict[str, Any]]) -> bool:
    """Write a group's manifest; True when it changed.

    `files`: one entry a subband, ascending in frequency, with ``path``, ``bytes``,
    ``freq_min_hz`` and ``freq_max_hz`` (channel edges). The file is left alone when the content
    is the same, so that its time stamp tells when the set of files changed. ``digest`` is a hash of
    all the rest.
    """
    content = {"group": dataclasses.asdict(group), "files": files}
    text = json.dumps(content | {"digest": _digest(content)}, indent=1) + "\n"
    path = Path(path)
    if path.exists() and path.read_bytes() == text.encode():
        return False
    write_text(path, text)
    return True


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(path: str | Path) -> tuple[Group, list[dict[str, Any]]]:
    """The group of a manifest and its files.

    :class:`ContimgError` when there is none, :class:`DamagedError` when it is not as written.
    """
    if why := no_file(path):
        raise DamagedError(path, why)
    try:
        content = json.loads(Path(path).read_bytes())
        digest = content.pop("digest")
        group, files = Group(**content["group"]), content["files"]
    except OSError as error:
        if of_the_medium(error):
            named(error, path)
            raise
        raise ContimgError(
            f"{path}: no manifest there ({error.strerror}); run contimg discover"
        ) from None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise DamagedError(path, f"not a readable manifest ({error})") from None
    if digest != _digest(content):
        raise DamagedError(path, "the manifest is not as it was written")
    found = place_of(path)
    if found is not None and found[2].get("group") != group.group:
        raise DamagedError(path, f"the manifest is that of {group.group}")
    return group, files
