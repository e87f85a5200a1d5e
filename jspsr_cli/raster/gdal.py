"""How GDAL is set up, what it raises, and how that is put into a sentence."""

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

#: rasterio passes some of GDAL's errors on unchanged (`CPLE_BaseError` has no public name), others as its own.
GDAL_ERRORS: tuple[type[Exception], ...] = (RasterioError, CPLE_BaseError, OSError)

# GDAL's block cache would grow to 5 % of the machine's memory. 256 MB of small blocks that make way for large ones also
# leave the heap in pieces: the peak then grew by half from 32,768 to 131,072 rows, and by 3 % with 64 MB. VSI_CACHE
# would add 25 MB for every open file.
GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 64 * 2**20,
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    # Seconds: a server that does not answer, or goes silent, would be waited for for minutes, or for ever.
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
}

# GDAL can put whole documents into a message.
_LONGEST = 300


def reason(error: BaseException) -> str:
    """The cause of a GDAL error on one line, without a full stop."""
    cause = error.__cause__ if error.__cause__ is not None else error
    text = " ".join(str(cause).split()).rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
