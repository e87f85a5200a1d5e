"""Results beside the main one, such as pages and pictures: an earlier one is replaced, anything else left alone."""

from pathlib import Path

from jspsr_cli.errors import InvalidOption, OutputExists
from jspsr_cli.locked import not_writable
from jspsr_cli.raster.writer import check_output

# The sign of what made a file stands within its first bytes.
SIGNED = 1000


def check_signed(path: Path, *, what: str, suffix: str, sign: bytes) -> None:
    """Let `path` be a name with `suffix` in a folder that takes files, where nothing is but an earlier `what`.

    Raises:
        InvalidOption: it has another suffix.
        OutputNotWritable: the folder takes no file.
        OutputExists: something without `sign` is there.
    """
    if path.suffix.lower() != suffix:
        raise InvalidOption(f"{path} is to be a {what}: give it a name that ends with {suffix}.")
    check_output(path)
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            begins = file.read(SIGNED)
    except OSError as error:
        raise not_writable(path, error) from error
    if sign not in begins:
        raise OutputExists(f"{path} exists and is no {what} of jspsr: give another name.")
