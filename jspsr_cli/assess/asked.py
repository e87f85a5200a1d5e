"""Whether a report can be written where it is asked for, before any work."""

from collections.abc import Iterable
from pathlib import Path

from jspsr_cli.extras import require_extra
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.request import check_distinct
from jspsr_cli.signed import check_signed

#: how a page of ours begins
SIGN = b'<meta name="generator" content="jspsr '


def check_report(path: Path) -> None:
    """Let `path` be the name of a page. Raises MissingExtra, and as `check_signed`."""
    require_extra("report")
    check_signed(path, what="report", suffix=".html", sign=SIGN)


def check_apart(path: Path, files: Iterable[RasterFile]) -> None:
    """Raise OutputExists where the report would take the place of an input."""
    check_distinct(path, [name for file in files for name in (file.path, *file.local_files)])
