"""Where the console script `jspsr` begins: signals are heeded before anything that takes time is imported."""

from typing import NoReturn

from jspsr_cli.signals import leave_at_once


def main() -> NoReturn:
    """Run the command line and end the process."""
    leave_at_once()
    from jspsr_cli.main import main as run

    run()
