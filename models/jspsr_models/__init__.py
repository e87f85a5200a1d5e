"""The JSPSR network (Cai & Wilson, Remote Sensing 2025, 17(21), 3591): knows tensors, nothing of rasters.

What needs torch is imported on first use, so that `jspsr_models.weights` and the errors cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jspsr_models.errors import WeightsError
from jspsr_models.info import WeightsInfo, default_height_range

if TYPE_CHECKING:
    from jspsr_models.convert import to_released
    from jspsr_models.loading import load_network
    from jspsr_models.network import JSPSR, identity_checkpoint
    from jspsr_models.saving import convert_weights, save_network

__all__ = [
    "JSPSR",
    "WeightsError",
    "WeightsInfo",
    "convert_weights",
    "default_height_range",
    "identity_checkpoint",
    "load_network",
    "save_network",
    "to_released",
]

_LAZY = {
    "JSPSR": "network",
    "identity_checkpoint": "network",
    "load_network": "loading",
    "save_network": "saving",
    "convert_weights": "saving",
    "to_released": "convert",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
