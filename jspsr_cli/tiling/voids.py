"""Filling of voids, so that no nodata value reaches the network as a number."""

import numpy as np
from scipy import ndimage

from jspsr_cli.types import FloatArray


def fill_voids(values: FloatArray) -> FloatArray:
    """`values` (bands, rows, columns) with NaN pixels filled from valid ones; at least one pixel is valid.

    A void takes the value mirrored at its nearest valid pixel, as a reflection continues a slope; where the
    mirrored place is void itself or outside, the value of that nearest pixel. Beyond a straight edge of the data
    this is ordinary reflection. What is filled depends on nothing but the window.
    """
    void = np.isnan(values[0])
    if not void.any():
        return values
    nearest = ndimage.distance_transform_edt(void, return_distances=False, return_indices=True)
    rows, cols = np.nonzero(void)
    near_rows, near_cols = nearest[:, rows, cols]
    height, width = void.shape
    far_rows, far_cols = 2 * near_rows - rows, 2 * near_cols - cols
    inside = (far_rows >= 0) & (far_rows < height) & (far_cols >= 0) & (far_cols < width)
    far_rows, far_cols = np.where(inside, far_rows, near_rows), np.where(inside, far_cols, near_cols)
    mirrored = ~void[far_rows, far_cols]
    source_rows = np.where(mirrored, far_rows, near_rows)
    source_cols = np.where(mirrored, far_cols, near_cols)
    filled = values.copy()
    filled[:, rows, cols] = values[:, source_rows, source_cols]
    return filled
