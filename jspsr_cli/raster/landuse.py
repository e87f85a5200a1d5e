"""Land use codes: Urban Atlas 2012 nomenclature to the classes of DFC2022, which the weights know.

Source: IEEE GRSS Data Fusion Contest 2022 class list; Urban Atlas 2012 mapping guide (codes of five digits,
grouped by their first two).
"""

import numpy as np

from jspsr_cli.errors import ReadFailed
from jspsr_cli.types import FloatArray

# Classes 0 (no information) to 14 (water): one band each in the network's one-hot stack.
CLASS_COUNT = 15

#: of the classes, short
CLASS_NAMES = (
    "no information", "urban fabric", "industrial, transport", "mines, sites", "urban green", "arable",
    "permanent crops", "pastures", "mixed cultivation", "orchards", "forests", "herbaceous", "open spaces",
    "wetlands", "water",
)  # fmt: skip

NO_INFORMATION = 0

# DFC2022 has a sixteenth, clouds and shadows; DFC30 does not use it.
CLOUDS = 15

# First two digits of the five-digit code, or the first where the level has no second digit.
CLASS_OF_GROUP = {
    11: 1, 12: 2, 13: 3, 14: 4,
    21: 5, 22: 6, 23: 7, 24: 8, 25: 9,
    31: 10, 32: 11, 33: 12,
    40: 13, 50: 14,
    91: NO_INFORMATION, 92: NO_INFORMATION,
}  # fmt: skip


def classes_of(values: FloatArray, *, name: str) -> FloatArray:
    """Classes 0..14 of DFC2022 classes or Urban Atlas 2012 codes (e.g. 11210); NaN stays NaN.

    Raises:
        ReadFailed: a value is in neither table; the sentence names it and the file.
    """
    classes = values.copy()
    classes[classes == CLOUDS] = NO_INFORMATION
    coded = (values >= 10_000) & (values < 100_000)
    groups = np.where(coded, np.floor(values / 1000), np.nan)
    for group in np.unique(groups[coded]):
        classes[groups == group] = CLASS_OF_GROUP.get(int(group), -1)
    known = np.isnan(classes) | ((classes >= 0) & (classes < CLASS_COUNT) & (classes == np.floor(classes)))
    if not known.all():
        stranger = float(values[~known][0])
        raise ReadFailed(
            f"{name} holds the land use value {stranger:g}, which is neither a DFC2022 class (0 to 14) nor an "
            "Urban Atlas 2012 code: reclassify it first."
        )
    return classes


def classes_of_stack(bands: FloatArray, *, name: str) -> FloatArray:
    """Classes 0..14 of a one-hot stack (15, rows, columns); all-zero pixels are class 0 and NaN stays NaN.

    Raises:
        ReadFailed: a pixel has more than one class; the sentence names the file.
    """
    void = np.isnan(bands[0])
    if (np.count_nonzero(bands, axis=0) > 1)[~void].any():
        raise ReadFailed(
            f"{name} has {CLASS_COUNT} bands that are not one class each, some pixels are of several: give land use as "
            "one band of classes (0 to 14)."
        )
    classes: FloatArray = np.where(void, 0, bands).argmax(axis=0).astype(np.float32)
    classes[void] = np.nan
    return classes
