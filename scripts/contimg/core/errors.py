"""The two kinds of failure a user can meet."""


class ContimgError(Exception):
    """A job cannot go on: bad configuration, unreadable input, a tool that broke.

    The message names the file, the reason and the remedy. The job exits non-zero.
    """


class DataQualityError(Exception):
    """The data cannot give this product (all flagged, no calibration, failed upstream).

    The job succeeds with a valid record whose verdict is ``fail`` and whose reason is this
    message, so that the rest of the run goes on.
    """
