"""docs/products.md knows every product and every column."""

from __future__ import annotations

from pathlib import Path

import pytest

from contimg.core.catalog import COLUMNS as CATALOG
from contimg.core.paths import PATTERNS
from contimg.photometry.table import COLUMNS as PHOTOMETRY
from contimg.photometry.tile.columns import TILE_COLUMNS
from contimg.photometry.tile.combine import COLUMNS as COMBINED
from contimg.variability.columns import CANDIDATES
from contimg.variability.lightcurves import COLUMNS as LIGHTCURVES

TEXT = (Path(__file__).parents[2] / "docs" / "products.md").read_text()


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_every_product_is_described(name: str) -> None:
    assert f"| `{PATTERNS[name]}` | " in TEXT


def test_every_column_is_described() -> None:
    tables = (*PHOTOMETRY, *COMBINED, *TILE_COLUMNS)
    columns = [*CATALOG, *LIGHTCURVES, *CANDIDATES, *(name for name, *_ in tables)]
    assert [name for name in columns if f"`{name}`" not in TEXT] == []
