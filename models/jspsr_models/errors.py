"""What can go wrong with weights."""


class WeightsError(Exception):
    """Weights that are missing, damaged, hostile, or not those of a JSPSR network.

    The message is one sentence that names the file and says what to do.
    """
