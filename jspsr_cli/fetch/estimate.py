"""What `enhance --fetch` would fetch: `jspsr enhance --fetch --dry-run`, where the inputs are not there yet."""

import shutil
from dataclasses import dataclass
from typing import Any

from jspsr_cli.fetch.inputs import InputsPlan, disk_needed
from jspsr_cli.provenance import SIMULATED_NOTICE
from jspsr_cli.raster.grid import name_of
from jspsr_cli.types import Bounds

UNKNOWN = "memory, time and gaps in the data are known only when the inputs are there"


@dataclass(frozen=True, kw_only=True)
class FetchEstimate:
    """What `enhance` would make, and what it would fetch for that, by role.

    `uncertainty` is the second output, if one was asked for. `weights` and `trained_on` are what `enhance` would use.
    `resolution` in metres, `bounds` in `crs`. `disk_bytes` are those that fetching and then the output take at most.
    `fetch` has for each role the file, its tiles and the most bytes that they can take; what the cache has of them is
    not fetched.
    """

    output: str
    uncertainty: str | None
    crs: str
    resolution: float
    bounds: Bounds
    width: int
    height: int
    weights: str
    trained_on: str
    disk_bytes: int
    disk_free_bytes: int
    fetch: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]


def estimate_fetch(plan: InputsPlan) -> FetchEstimate:
    """Say what `fetch_inputs` would fetch. Opens no connection and writes nothing beside the output."""
    grid = plan.grid
    fetch = {
        role: {"file": str(plan.file(role)), "tiles": list(file.tiles), "bytes_at_most": file.bytes_at_most}
        for role, file in plan.ahead.items()
    }
    return FetchEstimate(
        output=str(plan.output),
        uncertainty=str(plan.outputs[1]) if len(plan.outputs) > 1 else None,
        crs=name_of(grid.crs),
        resolution=grid.resolution[0],
        bounds=grid.bounds,
        width=grid.width,
        height=grid.height,
        weights=plan.info.name,
        trained_on=plan.info.trained_on,
        disk_bytes=disk_needed(plan),
        disk_free_bytes=shutil.disk_usage(plan.output.parent).free,
        fetch=fetch,
        warnings=(*([SIMULATED_NOTICE] if plan.info.simulated else []), UNKNOWN),
    )
