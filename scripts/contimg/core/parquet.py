"""Tables of the workflow, in and as they were written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from contimg.core.command import existing
from contimg.core.disk import named, of_the_medium
from contimg.core.errors import DamagedError
from contimg.core.seals import verified

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PART_ROWS = 250_000
_BUFFER_BYTES = 1 << 20


def read_parquet(
    path: Path,
    what: str,
    record: Path | None = None,
    schema: pa.Schema | None = None,
    repeated: Sequence[str] = (),
) -> pd.DataFrame:
    """The Parquet table `what` at `path`, held against its `record`.

    :class:`FileNotFoundError` when there is none, :class:`DamagedError` when it is not what was
    written or cannot be read; of a table with a `schema` only its columns are taken. Texts in the
    columns `repeated` become categories, which take a tenth of the memory.
    """
    import pyarrow

    verified(existing(path, what), record)
    more: dict[str, Any] = {} if schema is None else {"schema": schema}
    if repeated:
        more["read_dictionary"] = list(repeated)
    with _damage_named(path):
        table = pd.read_parquet(path, **more)
        # what the reader kept for itself is as large as the table
        pyarrow.default_memory_pool().release_unused()
        return table


def read_parts(
    path: Path,
    what: str,
    columns: Sequence[str],
    record: Path | None = None,
    repeated: Sequence[str] = (),
    among: tuple[str, Collection[str]] | None = None,
) -> Iterator[pd.DataFrame]:
    """The same, ``PART_ROWS`` rows at a time, for tables that are larger than the memory.

    The first part is empty and has all columns of the table, the others those of `columns`. With
    `among`, a column and some of its texts, the rows with these: groups of rows that hold none
    of them, as their statistics say, are not read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    verified(existing(path, what), record)
    with _damage_named(path):
        # pages of a column one after the other, not all of a group of rows at once
        texts = sorted({*repeated} & {*pq.read_metadata(path).schema.names})
        file = pq.ParquetFile(path, read_dictionary=texts, buffer_size=_BUFFER_BYTES)
        names = [name for name in columns if name in file.schema_arrow.names]
        groups = _groups(file, among)
        yield file.schema_arrow.empty_table().to_pandas(ignore_metadata=True)
        for batch in file.iter_batches(PART_ROWS, groups, names):
            part = batch.to_pandas(ignore_metadata=True)
            yield part if among is None else part[part[among[0]].isin(among[1])]
            del batch, part
        del file
        # what the reader kept for itself
        pa.default_memory_pool().release_unused()


def _groups(file: pq.ParquetFile, among: tuple[str, Collection[str]] | None) -> list[int]:
    """Groups of rows of a file that may hold any of the texts `among`."""
    every = list(range(file.metadata.num_row_groups))
    if among is None:
        return every
    column = file.schema.names.index(among[0])
    return [k for k in every if _may_hold(file.metadata.row_group(k).column(column), among[1])]


def _may_hold(column: pq.ColumnChunkMetaData, texts: Collection[str]) -> bool:
    known = column.statistics
    if known is None or not known.has_min_max:
        return True
    return any(known.min <= text <= known.max for text in texts)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """What a reader of Parquet raises, as :class:`DamagedError` or a fault of the disk."""
    import pyarrow

    try:
        yield
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if of_the_medium(error):
            named(error, path)
            raise
        why = " ".join(str(error).split())[:200]
        raise DamagedError(path, f"cannot be read as Parquet ({why})") from None


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table with the units that the names of its columns say, for every reader.

    They stand in the metadata of each field, in the description that astropy's ``Table`` reads,
    and in a VOTable without data (the VOParquet convention of the Virtual Observatory, which
    TOPCAT reads).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy.table.meta import get_yaml_from_table

    from contimg.core.export import astropy_table, ucd_of, unit_of, votable_text

    content = pa.Table.from_pandas(table, preserve_index=False)
    fields = [
        field.with_metadata(
            {k: v for k, v in (("unit", unit_of(field.name)), ("ucd", ucd_of(field.name))) if v}
        )
        for field in content.schema
    ]
    kept = dict(content.schema.metadata or {})
    empty = table.iloc[:0]
    kept[b"table_meta_yaml"] = "\n".join(get_yaml_from_table(astropy_table(empty))).encode()
    for name in table.columns:  # astropy asks how long texts are
        if table[name].dtype == object and len(table):
            longest = max(len(str(value).encode()) for value in table[name])
            kept[f"table::len::{name}".encode()] = str(longest).encode()
    kept[b"IVOA.VOTable-Parquet.version"] = b"1.0"
    title = path.stem.partition(".partial-")[0]  # as it will be named, by every process alike
    kept[b"IVOA.VOTable-Parquet.content"] = votable_text(empty, title, "").encode()
    pq.write_table(content.cast(pa.schema(fields, metadata=kept)), path)
