"""The JSPSR network: Cai & Wilson, Remote Sensing 2025, 17(21), 3591, figure of the architecture."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jspsr_models.decoder import Decoder
from jspsr_models.encoder import DEM, Encoder
from jspsr_models.inputs import GUIDE_CHANNELS, SIZE_MULTIPLE, check_inputs
from jspsr_models.propagation import DirectOutput, SpatialPropagation

# Below, the attention of the narrowest layer would have no channel left; above, nobody could run it.
MIN_NUM_FEATURE = 3
MAX_NUM_FEATURE = 256

# Gain of the initial weights.
INITIAL_GAIN = 1.3


class JSPSR(nn.Module):
    """DEM and guides in, bare-earth DEM of the same grid out; all values scaled.

    Args:
        inputs: the guides beside the DEM: image, mask, canopy, image + mask or image + canopy.
        num_feature: width F of the network; 32 in the paper.
        propagation: end with the spatial propagation of the DEM, or with a plain convolution.

    Raises:
        ValueError: for another set of guides, or a width out of range.
    """

    def __init__(self, *, inputs: Sequence[str] = ("image",), num_feature: int = 32, propagation: bool = True) -> None:
        super().__init__()
        if not MIN_NUM_FEATURE <= num_feature <= MAX_NUM_FEATURE:
            raise ValueError(f"num_feature must lie within {MIN_NUM_FEATURE}..{MAX_NUM_FEATURE}, not {num_feature}")
        self.inputs = check_inputs(inputs)
        self.num_feature = num_feature
        self.encoder = Encoder(self.inputs, num_feature)
        self.decoder = Decoder(1 + len(self.inputs), num_feature)
        self.output = SpatialPropagation(num_feature) if propagation else DirectOutput(num_feature)
        self.apply(_initialise)

    @property
    def propagation(self) -> bool:
        """Whether the network ends with the spatial propagation."""
        return isinstance(self.output, SpatialPropagation)

    def forward(
        self,
        dem: Tensor,
        *,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        canopy: Tensor | None = None,
    ) -> Tensor:
        """Return the scaled bare-earth DEM, (B, 1, H, W), in the precision of the parameters.

        Args:
            dem: scaled heights on the target grid, (B, 1, H, W), H and W multiples of 8.
            image: RGB in 0..1, (B, 3, H, W).
            mask: one-hot land use, band i times (i + 1) / 16, (B, 15, H, W).
            canopy: canopy height divided by 68 m, (B, 1, H, W).

        Raises:
            ValueError: for a guide too many or too few, or a shape that does not fit.
        """
        sources = self._sources(dem, {"image": image, "mask": mask, "canopy": canopy})
        fused = self.encoder(sources)
        context = self.decoder(fused)
        output: Tensor = self.output(sources[DEM], context)
        return output

    def _sources(self, dem: Tensor, guides: dict[str, Tensor | None]) -> dict[str, Tensor]:
        given = tuple(name for name, guide in guides.items() if guide is not None)
        if given != self.inputs:
            raise ValueError(f"this network takes the guides {'+'.join(self.inputs)}, not {'+'.join(given) or 'none'}")
        if dem.ndim != 4 or dem.shape[2] % SIZE_MULTIPLE or dem.shape[3] % SIZE_MULTIPLE:
            raise ValueError(
                f"rows and columns of the DEM must be multiples of {SIZE_MULTIPLE}, not {tuple(dem.shape)}"
            )
        sources = {DEM: dem} | {name: guide for name, guide in guides.items() if guide is not None}
        for name, source in sources.items():
            shape = (dem.shape[0], GUIDE_CHANNELS.get(name, 1), *dem.shape[2:])
            if source.shape != shape or not source.is_floating_point():
                raise ValueError(
                    f"{name} must be floating point of shape {shape}, not {source.dtype} of {tuple(source.shape)}"
                )
        dtype = next(self.parameters()).dtype
        return {name: source.to(dtype) for name, source in sources.items()}


def _initialise(module: nn.Module) -> None:
    """Initialise as in the paper: normal, std = sqrt(1.3 * 2 / (k * k * Cin)), cut at two std."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        rows, columns = module.kernel_size
        std = math.sqrt(INITIAL_GAIN * 2 / (rows * columns * module.in_channels))
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def identity_checkpoint(inputs: Sequence[str] = ("image",), *, num_feature: int = 4) -> JSPSR:
    """Return a network, in evaluation mode, whose output is its DEM: an oracle for all that surrounds it.

    With the affinity layer zero all nine affinities are equal, less their mean they are exactly 0, and with
    the bias of the propagation zero nothing is added to the DEM. All other weights are random, but always
    the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = JSPSR(inputs=inputs, num_feature=num_feature)
    output = network.output
    with torch.no_grad():
        for name in ("guidance.affinity.weight", "guidance.affinity.bias", "step.bias"):
            output.get_parameter(name).zero_()
    return network.eval()
