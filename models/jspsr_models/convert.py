"""Names of the tensors in the checkpoints released by the paper's authors."""

import re
from collections.abc import Mapping

from torch import Tensor

# From the names of `JSPSR` to the released ones, applied in order, each wherever it matches.
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # where in the network
        (r"^encoder\.stems\.(\w+)\.", r"conv_\1."),
        (r"^encoder\.levels\.0\.(\w+)\.", r"layer1_\1."),
        (r"^encoder\.levels\.1\.(\w+)\.", r"layer2_\1."),
        (r"^encoder\.levels\.2\.(\w+)\.", r"layer3_\1."),
        (r"^encoder\.levels\.3\.(\w+)\.", r"layer4_\1."),
        (r"_image\.", "_img."),
        (r"_(mask|canopy)\.", "_aux."),
        (r"^decoder\.up(\d)\.unit\.", r"layer\1d.dconv.0."),
        (r"^decoder\.up(\d)\.enlarge\.", r"layer\1d.dconv.1."),
        (r"^decoder\.up(\d)\.norm\.", r"layer\1d.dconv.bn."),
        (r"^decoder\.head\.", "conv0."),
        (r"^output\.guidance\.dem_path\.0\.", "generator.convd1."),
        (r"^output\.guidance\.dem_path\.1\.", "generator.convd2."),
        (r"^output\.guidance\.context_path\.0\.", "generator.convf1."),
        (r"^output\.guidance\.context_path\.1\.", "generator.convf2."),
        (r"^output\.guidance\.merge\.", "generator.conv."),
        (r"^output\.guidance\.block\.", "generator.block."),
        (r"^output\.guidance\.affinity\.", "generator.conv_weight.0."),
        (r"^output\.guidance\.offset\.", "generator.conv_offset.conv.0."),
        (r"^output\.step\.kernel$", "postprocessor.w"),
        (r"^output\.step\.bias$", "postprocessor.b"),
        (r"^output\.conv\.", "postprocessor.conv.0."),
        # what in the block
        (r"\.attention\.reduce\.", ".camb.fc.0."),
        (r"\.attention\.expand\.", ".camb.fc.2."),
        (r"\.shortcut\.", ".downsample."),
        (r"\.norm([12])\.", r".bn\1."),
        (r"\.norm\.", ".conv.bn."),
        (
            r"^(conv_\w+|conv0|generator\.conv\w?\d?|layer\dd\.dconv\.0)\.conv\.(weight|bias)$",
            r"\1.conv.0.\2",
        ),
    )
)


def released_name(name: str) -> str:
    """Return the released name of the tensor that `JSPSR` calls `name`."""
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    return name


def to_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of `JSPSR` under the released names."""
    return {released_name(name): tensor for name, tensor in state.items()}
