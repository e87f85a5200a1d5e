"""What of a sample lies beyond the network's range, and so is clipped, void, or more than the weights can learn."""

from dataclasses import dataclass

from jspsr_cli.raster.samples import SamplePixels
from jspsr_cli.scaling import CANOPY_MAX, HeightScale


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """Counts of pixels: `canopy` is clipped, `high` are above the scale in DEM or truth, `low` are void in the truth.

    Sums with `+`.
    """

    canopy: int = 0
    high: int = 0
    low: int = 0

    def __add__(self, other: "Beyond") -> "Beyond":
        return Beyond(canopy=self.canopy + other.canopy, high=self.high + other.high, low=self.low + other.low)

    @property
    def sentence(self) -> str | None:
        """What training makes of these pixels, for people; None where there are none."""
        counts = {
            f"of canopy above {CANOPY_MAX:g} m (taken as {CANOPY_MAX:g} m)": self.canopy,
            "of DEM or terrain above its heights": self.high,
            "of terrain below its heights (void)": self.low,
        }
        said = ", ".join(f"{count:,} pixels {what}" for what, count in counts.items() if count)
        return f"beyond the network's range are {said}: check the inputs" if said else None


def count_beyond(pixels: SamplePixels, scale: HeightScale) -> Beyond:
    """Count what of a sample `scale` cannot hold; the base is the lowest height of its whole DEM."""
    base = float(pixels.dem.min())
    canopy = pixels.guides.get("canopy")
    return Beyond(
        canopy=0 if canopy is None else int((canopy > CANOPY_MAX).sum()),
        high=int(((pixels.dem > base + scale.high) | (pixels.truth > base + scale.high)).sum()),
        low=int((pixels.truth <= base + scale.low).sum()),
    )
