"""The site and a window of time, as flags that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from contimg.core.command import Files

if TYPE_CHECKING:
    from astropy.coordinates import EarthLocation


class SiteFiles(Files):
    """A window of time and the place of the telescope: the corner of the T of DSA-110."""

    since: str | None = Field(
        None, description="begin: UTC date or time, or MJD (days before the end if unset)"
    )
    until: str | None = Field(
        None, description="end: UTC date or time, or MJD (days after the begin, or today, if unset)"
    )
    days: float = Field(1.0, gt=0, description="length of the window when one end is unset [d]")
    latitude_deg: float = Field(
        37.233386982, ge=-90, le=90, description="geodetic latitude of the telescope [deg]"
    )
    longitude_deg: float = Field(-118.283405115, description="longitude, east positive [deg]")
    height_m: float = Field(1188.0519, description="height above the ellipsoid [m]")

    @property
    def location(self) -> EarthLocation:
        """Reference point of the telescope."""
        from astropy.coordinates import EarthLocation

        return EarthLocation.from_geodetic(self.longitude_deg, self.latitude_deg, self.height_m)
