"""Spatial propagation: the DEM corrected by a learned, shifted and weighted sum of its neighbours."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from jspsr_models.blocks import ConvUnit, ResidualBlock, full_precision

# The 3 x 3 neighbours in row-major order without the centre: steps in rows and columns.
NEIGHBOUR_ROWS = (-1, -1, -1, 0, 0, 1, 1, 1)
NEIGHBOUR_COLUMNS = (-1, 0, 1, -1, 1, -1, 0, 1)
NEIGHBOURS = len(NEIGHBOUR_ROWS)
CENTRE = 4  # place of the centre among the nine

# Two rings of zeros: a sample lies between two neighbouring pixels, and both can be outside.
_RING = 2


class SpatialPropagation(nn.Module):
    """Residual deformable 3 x 3 convolution of the DEM, guided by the DEM and the context.

    The affinities lose their mean, so where nothing is learned nothing is changed.
    """

    def __init__(self, num_feature: int) -> None:
        super().__init__()
        self.guidance = Guidance(num_feature)
        self.step = DeformableStep()

    def forward(self, dem: Tensor, context: Tensor) -> Tensor:
        """Return the corrected DEM, (B, 1, H, W), in the precision of the parameters.

        Args:
            dem: scaled heights, (B, 1, H, W); no gradient flows into them from here.
            context: output of the decoder, (B, 2F, H, W).
        """
        with full_precision(dem):
            dem = dem.detach()
            affinity, offset = self.guidance(dem, context.to(dem.dtype))
            weights = affinity - affinity.mean(dim=1, keepdim=True)
            correction: Tensor = self.step(dem, offset, weights)
            return dem + correction


class Guidance(nn.Module):
    """What steers the propagation: how much each of nine samples counts, and where eight of them lie."""

    def __init__(self, num_feature: int) -> None:
        super().__init__()
        width = 2 * num_feature
        self.dem_path = nn.Sequential(ConvUnit(1, width), ConvUnit(width, width))
        self.context_path = nn.Sequential(ConvUnit(width, width), ConvUnit(width, width))
        self.merge = ConvUnit(2 * width, 2 * width)
        self.block = ResidualBlock(2 * width, 2 * width)
        self.affinity = nn.Conv2d(2 * width, NEIGHBOURS + 1, 1)
        self.offset = nn.Conv2d(2 * width, 2 * NEIGHBOURS, 1)

    def forward(self, dem: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return affinities and offsets for a DEM, (B, 1, H, W), and its context, (B, 2F, H, W).

        Returns:
            Affinities of the nine in 0..1, (B, 9, H, W), before their mean is taken off; shifts of the eight
            neighbours in pixels, (B, 16, H, W), pairs of rows and columns.
        """
        features = torch.cat((self.dem_path(dem), self.context_path(context)), dim=1)
        features = self.block(self.merge(features))
        return torch.sigmoid(self.affinity(features)), self.offset(features)


class DeformableStep(nn.Module):
    """Modulated deformable 3 x 3 convolution of one channel whose centre stays where it is.

    Source: Zhu et al., "Deformable ConvNets v2", CVPR 2019, equation 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(1, 1, 3, 3))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, dem: Tensor, offset: Tensor, modulation: Tensor) -> Tensor:
        """Return the convolution, (B, 1, H, W).

        Args:
            dem: one channel, (B, 1, H, W); counts as 0 outside the window.
            offset: shift of each neighbour of `NEIGHBOUR_ROWS` in pixels, pairs of rows and columns,
                (B, 16, H, W).
            modulation: factor of each of the nine, the centre fifth, (B, 9, H, W).
        """
        neighbours = _sample_neighbours(dem, offset)
        samples = torch.cat((neighbours[:, :CENTRE], dem, neighbours[:, CENTRE:]), dim=1)
        weights = modulation * self.kernel.view(1, -1, 1, 1)
        return (samples * weights).sum(dim=1, keepdim=True) + self.bias


class DirectOutput(nn.Module):
    """The variant without propagation: the context alone becomes the DEM."""

    def __init__(self, num_feature: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * num_feature, 1, 3, padding=1)

    def forward(self, dem: Tensor, context: Tensor) -> Tensor:
        """Return the DEM, (B, 1, H, W), from the context, (B, 2F, H, W); `dem` gives only its precision."""
        with full_precision(dem):
            output: Tensor = self.conv(context.to(dem.dtype))
        return output


def _sample_neighbours(dem: Tensor, offset: Tensor) -> Tensor:
    """Sample the DEM bilinearly at the shifted neighbours, (B, 8, H, W); pixels outside count as 0.

    A shift is split into whole pixels and a fraction *before* it meets the pixel's position, so that a
    sample is the same wherever in a window it lies. Coordinates in -1..1, as `grid_sample` wants them, would
    round the fraction: measured on noise, samples were off by 1e-5 at 128 pixels and 9e-5 at 1024, to save
    half a millisecond in fifty.
    """
    batch, _, rows, columns = dem.shape
    shift_rows, row_fraction = _split(offset[:, 0::2], rows)
    shift_columns, column_fraction = _split(offset[:, 1::2], columns)
    row = shift_rows + _positions(NEIGHBOUR_ROWS, rows, like=dem).unsqueeze(-1)
    column = shift_columns + _positions(NEIGHBOUR_COLUMNS, columns, like=dem).unsqueeze(-2)
    # Clamped, a sample that is wholly outside lies between the two rings of zeros.
    row = row.clamp(-_RING, rows) + _RING
    column = column.clamp(-_RING, columns) + _RING

    stride = columns + 2 * _RING
    window = torch.arange(batch, device=dem.device).view(-1, 1, 1, 1) * ((rows + 2 * _RING) * stride)
    corner = (window + row.long() * stride + column.long()).flatten()
    padded = functional.pad(dem, (_RING,) * 4).flatten()

    def pixels(step: int) -> Tensor:
        return padded[step:].index_select(0, corner).view_as(row)

    upper = torch.lerp(pixels(0), pixels(1), column_fraction)
    lower = torch.lerp(pixels(stride), pixels(stride + 1), column_fraction)
    return torch.lerp(upper, lower, row_fraction)


def _split(shift: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Split shifts in pixels into whole pixels and a fraction in 0..1."""
    # A shift beyond the window samples nothing however long it is, and must not overflow an index.
    shift = shift.clamp(-size - 2 * _RING, size + 2 * _RING)
    # Nor may one that is not a number; its fraction carries it into the result.
    whole = shift.detach().floor().nan_to_num()
    return whole, shift - whole


def _positions(steps: tuple[int, ...], size: int, *, like: Tensor) -> Tensor:
    """Return the position of each neighbour of each pixel along one axis, (8, size), whole numbers."""
    pixels = torch.arange(size, device=like.device, dtype=like.dtype)
    return pixels + torch.tensor(steps, device=like.device, dtype=like.dtype).unsqueeze(1)
