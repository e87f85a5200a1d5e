"""Whether a report can be written where it is asked for, before any work."""

from pathlib import Path

from jspsr_cli.extras import require_extra
from jspsr_cli.signed import check_signed

#: how a page of ours begins
SIGN = b'<meta name="generator" content="jspsr '


def check_report(path: Path) -> None:
    """Let `path` be the name of a page. Raises MissingExtra, and as `check_signed`."""
    require_extra("report")
    check_signed(path, what="report", suffix=".html", sign=SIGN)
