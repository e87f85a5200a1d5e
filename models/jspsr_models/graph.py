"""A network as an ONNX graph, which runs without torch and without this package (needs the extra `export`)."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from jspsr_models.inference import folded
from jspsr_models.inputs import GUIDE_CHANNELS, SIZE_MULTIPLE
from jspsr_models.network import JSPSR

if TYPE_CHECKING:
    from onnx import ModelProto

# Of the graph.
DEM, BARE_EARTH = "dem", "bare_earth"

# Any will do, as long as the three differ and no size is 1: the exporter takes a 1 for a constant.
_TRACED_WINDOWS, _TRACED_ROWS, _TRACED_COLUMNS = 2, 2, 3

# Says, of each of its operations, that torchvision is not installed, which nothing here needs.
_CHATTER = "torch.onnx._internal.exporter._registration"

# Of the exporter, about its own code and the names of sizes that several inputs share.
_OWN_WARNINGS = (r".*isinstance\(treespec, LeafSpec\)", r".*The axis name: .* will not be used")


def onnx_graph(network: JSPSR) -> "ModelProto":
    """The graph of a network for evaluation, batch norm folded: `dem` and the guides by name in, `bare_earth` out.

    All are float32 (windows, channels, rows, columns), as `JSPSR.forward` takes and returns them, for any number of
    windows and any rows and columns that are multiples of 8.
    """
    one = folded(network).requires_grad_(False)
    size = _TRACED_ROWS * SIZE_MULTIPLE, _TRACED_COLUMNS * SIZE_MULTIPLE
    dem = torch.zeros(_TRACED_WINDOWS, 1, *size)
    guides = {name: torch.zeros(_TRACED_WINDOWS, GUIDE_CHANNELS[name], *size) for name in one.inputs}
    dim = torch.export.Dim
    sizes = {0: dim("windows"), 2: SIZE_MULTIPLE * dim("row_blocks"), 3: SIZE_MULTIPLE * dim("column_blocks")}
    with _quiet_exporter():
        program = torch.onnx.export(
            one,
            (dem,),
            kwargs=guides,
            input_names=[DEM, *guides],
            output_names=[BARE_EARTH],
            dynamic_shapes=dict.fromkeys([DEM, *guides], sizes),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # only the exporter of old returns nothing
    graph = program.model_proto
    # Where in whose folders the code lay that each node was traced from: nothing to pass on.
    for part in (graph.graph.node, graph.graph.value_info, graph.graph.input, graph.graph.output):
        for described in part:
            del described.metadata_props[:]
    return graph


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter says that no user can do anything about; errors are raised as ever."""
    logger = logging.getLogger(_CHATTER)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _OWN_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
