"""The kinds of guide, each with all that is particular to it.

A kind is called what the network calls it: image, mask (land use) or canopy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import canopy_layer, image_layer, land_use_layer, open_canopy, open_image, open_land_use
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.scaling import scale_canopy, scale_classes, scale_image
from jspsr_cli.types import FloatArray

Stretch = tuple[float, float] | None


@dataclass(frozen=True)
class GuideKind:
    """How one kind of guide is asked for, opened, aligned and scaled.

    `open` takes paths and the bands asked for; `layer` the files, the target grid, a reader and the stretch; `scale`
    aligned pixels (bands, rows, columns) without voids.
    """

    option: str
    open: Callable[[Sequence[str], Sequence[int] | None], tuple[RasterFile, ...]]
    layer: Callable[[Sequence[RasterFile], Grid, RasterReader, Stretch], AlignedLayer]
    scale: Callable[[FloatArray], FloatArray]


#: In the order of the network's inputs.
GUIDES = {
    "image": GuideKind(
        option="--guide",
        open=lambda paths, bands: open_image(paths, bands=bands),
        layer=lambda files, grid, reader, stretch: image_layer(files, grid, reader=reader, stretch=stretch),
        scale=scale_image,
    ),
    "mask": GuideKind(
        option="--mask",
        open=lambda paths, _bands: open_land_use(paths),
        layer=lambda files, grid, reader, _stretch: land_use_layer(files, grid, reader=reader),
        scale=scale_classes,
    ),
    "canopy": GuideKind(
        option="--canopy",
        open=lambda paths, _bands: open_canopy(paths),
        layer=lambda files, grid, reader, _stretch: canopy_layer(files, grid, reader=reader),
        scale=scale_canopy,
    ),
}
