"""Tables of the workflow, in and as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from contimg.core.command import existing
from contimg.core.errors import DamagedError
from contimg.core.seals import verified

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(
    path: Path, what: str, record: Path | None = None, schema: pa.Schema | None = None
) -> pd.DataFrame:
    """The Parquet table `what` at `path`, held against its `record`.

    :class:`FileNotFoundError` when there is none, :class:`DamagedError` when it is not what was
    written or cannot be read; of a table with a `schema` only its columns are taken.
    """
    import pyarrow

    verified(existing(path, what), record)
    more: dict[str, Any] = {} if schema is None else {"schema": schema}
    try:
        return pd.read_parquet(path, **more)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        why = " ".join(str(error).split())[:200]
        raise DamagedError(path, f"cannot be read as Parquet ({why})") from None
