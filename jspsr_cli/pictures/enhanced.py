"""The preview of an output of `enhance`; needs the extra `report`."""

from pathlib import Path

from jspsr_cli.pictures.drawing import draw_panels
from jspsr_cli.pictures.shown import Preview, Shown
from jspsr_cli.plan import Plan
from jspsr_cli.raster.inputs import open_dem


def draw_enhanced(plan: Plan, picture: Path) -> Preview:
    """Draw the DEM before and after, and the change, on the ground of the output of `plan`, which is there.

    The DEM is sampled as the network got it. The change is left out where heights went to another vertical datum.

    Raises:
        JspsrError: see `draw_panels`.
    """
    after, more = open_dem([str(plan.output)]), f" + {len(plan.dem) - 1}" if len(plan.dem) > 1 else ""
    panels = [Shown(f"before: {plan.dem[0].name}{more}", plan.dem), Shown(f"after: {plan.output.name}", after)]
    apart = [] if plan.vertical else [Shown("after", after), Shown("before", plan.dem)]
    return draw_panels(panels, plan.target.grid, picture, apart=apart)
