"""What GDAL raises, and how it is put into a sentence."""

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

#: rasterio passes some of GDAL's errors on unchanged (`CPLE_BaseError` has no public name), others as its own.
GDAL_ERRORS: tuple[type[Exception], ...] = (RasterioError, CPLE_BaseError, OSError)

# GDAL can put whole documents into a message.
_LONGEST = 300


def reason(error: BaseException) -> str:
    """The cause of a GDAL error on one line, without a full stop."""
    cause = error.__cause__ if error.__cause__ is not None else error
    text = " ".join(str(cause).split()).rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
