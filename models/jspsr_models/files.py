"""Files that appear complete or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; what lies there takes the place of `path` when the block ends.

    If the block raises, `path` stays as it was, and nothing is left behind. Several processes may write the same
    file: each has its own part, and the last one's stays.

    Raises:
        OSError: if the part cannot take the place of `path`.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):  # it is gone if all went well
            part.unlink()
