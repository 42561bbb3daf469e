"""Placeholders for the products of a job whose data failed, so that the run can go on.

Every consumer reads the record of its input first (:func:`contimg.core.records.require`), so
these files are never taken for data; a person who opens one sees the reason.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

from contimg.core.errors import DamagedError, DataQualityError
from contimg.core.records import atomic, write_record
from contimg.core.seals import seal


def record_failure(
    record: Path,
    stage: str,
    error: DataQualityError,
    options: Sequence[BaseModel],
    blank: Iterable[Path],
    products: Iterable[Path],
) -> str:
    """Write the failed record of a job whose data were not good enough; the reason.

    Each of `blank` becomes a placeholder; the record is sealed with all `products` of the job.
    """
    reason = " ".join(str(error).split())  # plain text of one line, whatever was quoted in it
    for product in blank:
        write_failed(product, reason)
    write_record(
        record,
        product=record.stem,
        stage=stage,
        data={"damaged": [error.path]} if isinstance(error, DamagedError) else {},
        options=options,
        reason=reason,
        verdict="fail",
    )
    seal(record, products)
    return reason


def write_failed(path: Path, reason: str) -> None:
    """Write something at `path` of the right kind that says only why it has no data.

    The reason may be any text: it is put in one line, and in signs that the medium has.
    """
    reason = " ".join(reason.encode("utf-8", "backslashreplace").decode().split())
    with atomic(path) as partial:
        if path.suffix in {".fits"}:
            from astropy.io import fits

            header = fits.Header([("VERDICT", "fail", "this product holds no data")])
            header.add_history(reason.encode("ascii", "backslashreplace").decode())
            fits.PrimaryHDU(header=header).writeto(partial)
        elif path.suffix == ".png":
            from matplotlib.figure import Figure

            figure = Figure(figsize=(6, 2))
            lines = textwrap.fill(f"no data: {reason}", 80)
            figure.text(0.5, 0.5, lines, ha="center", va="center", parse_math=False)
            figure.savefig(partial)
        elif path.suffix == ".parquet":
            import pandas as pd

            pd.DataFrame().to_parquet(partial)
        elif path.suffix in {".json", ".csv", ".txt", ".html", ".ecsv", ".vot"}:
            partial.write_text("")
        else:  # a directory: Measurement Set or calibration table
            partial.mkdir(parents=True)
            (partial / "FAILED.txt").write_text(reason + "\n", encoding="utf-8")
