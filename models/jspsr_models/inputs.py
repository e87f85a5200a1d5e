"""The inputs a JSPSR network can take (free of torch, so that a command line can ask without waiting)."""

from collections.abc import Sequence

# Channels of each guide: RGB; one-hot land use (Urban Atlas classes 0..14); canopy height.
GUIDE_CHANNELS = {"image": 3, "mask": 15, "canopy": 1}

# The paper has one auxiliary branch at most, so mask and canopy exclude each other.
VALID_INPUTS = (("image",), ("mask",), ("canopy",), ("image", "mask"), ("image", "canopy"))

# Three halvings in the encoder.
SIZE_MULTIPLE = 8


def check_inputs(inputs: Sequence[str]) -> tuple[str, ...]:
    """Return `inputs` as a tuple if the network knows that set of guides.

    Raises:
        ValueError: for any other set, or another order.
    """
    guides = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    if guides not in VALID_INPUTS:
        known = ", ".join("+".join(valid) for valid in VALID_INPUTS)
        given = "+".join(map(str, guides)) or "none"
        raise ValueError(f"the guides of a JSPSR network are one of {known}, not {given}")
    return guides
