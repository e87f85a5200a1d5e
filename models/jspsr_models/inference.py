"""A trained network as it runs fastest: batch norm folded, channels last, on a CPU a window a thread."""

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from jspsr_models.blocks import ConvUnit, ResidualBlock, UpUnit
from jspsr_models.network import JSPSR


def folded(network: JSPSR) -> JSPSR:
    """A copy for evaluation alone, whose convolutions do what batch norm did after them; the same but for rounding."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, ConvUnit) and module.norm is not None:
            module.conv, module.norm = _fused(module.conv, module.norm), None
        elif isinstance(module, ResidualBlock):
            module.conv1, module.norm1 = _fused(module.conv1, module.norm1), nn.Identity()
            module.conv2, module.norm2 = _fused(module.conv2, module.norm2), nn.Identity()
            if module.shortcut is not None:
                module.shortcut = nn.Sequential(_fused(*module.shortcut))
        elif isinstance(module, UpUnit):
            module.enlarge, module.norm = _fused(module.enlarge, module.norm), nn.Identity()
    return network


def _fused(conv: Any, norm: Any) -> Any:
    return fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))


class OnCpu:
    """A network on the CPU without gradients, the windows of a batch in threads of their own, each of them alone.

    Threads that share one window wait for each other in each of its convolutions, and what several windows together
    have in memory does not fit the caches of a core: benchmarks/README.md.
    """

    def __init__(self, network: JSPSR) -> None:
        self._network = folded(network)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._pool = ThreadPoolExecutor(torch.get_num_threads(), "jspsr-window")

    def __call__(
        self, dem: Tensor, *, image: Tensor | None = None, mask: Tensor | None = None, canopy: Tensor | None = None
    ) -> Tensor:
        """As `JSPSR.forward`."""
        guides = {"image": image, "mask": mask, "canopy": canopy}
        threads = torch.get_num_threads()
        half = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None

        def predict(window: int) -> Tensor:
            here = slice(window, window + 1)
            one = {name: None if guide is None else guide[here] for name, guide in guides.items()}
            torch.set_num_threads(max(1, threads // len(dem)))
            # Both are set for one thread only.
            with torch.inference_mode(), torch.autocast("cpu", dtype=half, enabled=half is not None):
                output: Tensor = self._network(dem[here], **one)
                return output

        try:
            return torch.cat(list(self._pool.map(predict, range(len(dem)))))
        finally:
            # A thread that is new to torch takes the number that any other has set last.
            torch.set_num_threads(threads)
