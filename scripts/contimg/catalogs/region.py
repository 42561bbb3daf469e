"""The part of the sky that is taken from a catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from contimg.core.command import Files

if TYPE_CHECKING:
    import pandas as pd


class RegionFiles(Files):
    """A circle, a strip of declination, or everything."""

    ra_deg: float | None = Field(None, ge=0, lt=360, description="centre of a circle [deg]")
    dec_deg: float | None = Field(None, ge=-90, le=90, description="centre of a circle [deg]")
    radius_deg: float | None = Field(None, gt=0, le=90, description="radius of the circle [deg]")
    dec_min_deg: float | None = Field(None, ge=-90, le=90, description="or: a strip, from [deg]")
    dec_max_deg: float | None = Field(None, ge=-90, le=90, description="to declination [deg]")

    @model_validator(mode="after")
    def _one_region(self) -> RegionFiles:
        circle = {v is not None for v in (self.ra_deg, self.dec_deg, self.radius_deg)}
        strip = {v is not None for v in (self.dec_min_deg, self.dec_max_deg)}
        if len(circle) > 1 or len(strip) > 1 or (circle == strip == {True}):
            raise ValueError("give ra_deg, dec_deg and radius_deg, or dec_min_deg and dec_max_deg")
        if strip == {True} and not self.dec_min_deg < self.dec_max_deg:  # type: ignore[operator]
            raise ValueError("dec_min_deg must be below dec_max_deg")
        return self

    @property
    def everywhere(self) -> bool:
        """Whether neither circle nor strip is given."""
        return self.radius_deg is None and self.dec_min_deg is None

    def inside(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a source table in the region."""
        import numpy as np

        from contimg.core.coords import separation

        if self.radius_deg is not None:
            sky = np.radians(table[["ra_deg", "dec_deg"]].to_numpy())
            away = separation(*sky.T, *np.radians([self.ra_deg, self.dec_deg]))
            return table[away <= np.radians(self.radius_deg)]
        if self.dec_min_deg is not None:
            return table[table["dec_deg"].between(self.dec_min_deg, self.dec_max_deg)]
        return table
