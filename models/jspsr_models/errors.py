"""What can go wrong with weights, one class a cause.

`exit_code` is what a command line should end with: 2 for names and files that cannot be worked with, 1 for work that
was started and failed.
"""


class WeightsError(Exception):
    """Weights that are missing, damaged, hostile, or not those of a JSPSR network.

    The message is one sentence that names the file and says what to do.
    """

    exit_code = 2


class UnknownWeights(WeightsError):
    """No weights have that name, and no file is called so."""


class WeightsNotPulled(WeightsError):
    """Weights that are known by name, but not on this machine yet."""


class WeightsChanged(WeightsError):
    """A file has another checksum than the one pinned or recorded for it."""


class UnusableTarget(WeightsError):
    """A file cannot be written there: it exists already, or its folder does not."""


class WeightsNotWritten(WeightsError):
    """A file could not be written to its end: the disk is full, or the folder read-only."""

    exit_code = 1


class DownloadFailed(WeightsError):
    """The connection or the server failed, or what came is not the weights that were asked for."""

    exit_code = 1
