"""Random moments that can be had again.

JSPSR_TORTURE_SEED      what they come from; printed, so that a failure can be repeated
JSPSR_TORTURE_MOMENTS   how many of each kind
"""

import os
import random
import secrets
import time
from collections.abc import Callable

SEED = int(os.environ.get("JSPSR_TORTURE_SEED", secrets.randbelow(10**9)))
MOMENTS = int(os.environ.get("JSPSR_TORTURE_MOMENTS", "50"))


def dice(name: str) -> random.Random:
    """Random numbers for the test `name`, the same whichever tests run beside it."""
    print(f"JSPSR_TORTURE_SEED={SEED}")
    return random.Random(f"{SEED} {name}")


def sending(number: int, *, after: float) -> Callable[[int], None]:
    """Sends a signal to a process `after` seconds, unless it has ended by then."""

    def send(pid: int) -> None:
        time.sleep(after)
        os.kill(pid, number)  # not waited for yet: the number is still its own

    return send
