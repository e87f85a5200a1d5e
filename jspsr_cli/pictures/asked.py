"""Whether a picture can be drawn where it is asked for, before any work."""

from pathlib import Path

from jspsr_cli.extras import require_extra
from jspsr_cli.signed import check_signed

#: how a picture of ours says what made it
SIGN = b"Software\x00jspsr "


def check_picture(path: Path) -> None:
    """Let `path` be the name of a picture. Raises MissingExtra, and as `check_signed`."""
    require_extra("report")
    check_signed(path, what="picture", suffix=".png", sign=SIGN)
