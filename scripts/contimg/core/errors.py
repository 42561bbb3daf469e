"""The two kinds of failure a user can meet."""

from contimg.core.paths import place_of


class ContimgError(Exception):
    """A job cannot go on: bad configuration, unreadable input, a tool that broke.

    The message names the file, the reason and the remedy. The job exits non-zero.
    """


class DataQualityError(Exception):
    """The data cannot give this product (all flagged, no calibration, failed upstream).

    The job succeeds with a valid record whose verdict is ``fail`` and whose reason is this
    message, so that the rest of the run goes on.
    """


class DamagedError(DataQualityError, ContimgError):
    """A product is not what its record promised: as if it had failed, until it is made again.

    The message names the file, and what to do about a product of a run or a file from elsewhere.
    To a person's command it is an error like any other.
    """

    def __init__(self, path: object, what: str) -> None:
        remedy = "get it anew, or, if another program changed it, write its checksums anew"
        if str(path).endswith(".json") or place_of(str(path)) is not None:
            remedy = "delete it and run again, or let contimg verify --repair do so"
        super().__init__(f"{path}: damaged: {what}; {remedy}")
        self.path = str(path)
        self.what = what
