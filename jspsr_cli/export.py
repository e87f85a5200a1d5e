"""A trained network as an ONNX file, for programs that have neither torch nor this package."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from jspsr_cli.errors import ExportDiffers, NotExportable
from jspsr_cli.exported import properties
from jspsr_cli.extras import require_extra
from jspsr_cli.scaling import HeightScale
from jspsr_cli.types import FloatArray
from jspsr_models.errors import WeightsNotWritten
from jspsr_models.files import appearing
from jspsr_models.graph import BARE_EARTH, DEM, onnx_graph
from jspsr_models.inputs import GUIDE_CHANNELS
from jspsr_models.loading import load_network
from jspsr_models.network import JSPSR
from jspsr_models.saving import check_target
from jspsr_models.weights import locate

if TYPE_CHECKING:
    from onnx import ModelProto

# protobuf, in which ONNX files are written, ends at 2 GiB; the graph itself takes less than a megabyte of it.
LARGEST = 2**31 - 2**20

# Metres from the lowest to the highest ground of the windows that a file is checked with: the end of the scale last.
RELIEFS = (0.0, 100.0, 900.0)

# Windows, rows and columns of them: the usual, and others, since the file promises any.
CHECKED = ((2, 128, 128), (1, 64, 96))

# Largest difference to torch, as a share of the height above base + 80 m, since the scale is logarithmic: 8 mm at the
# base, 98 mm at 900 m. Rounding was 1.8 mm at the base and 7.8 mm at 900 m with starter-8m-canopy, 2.9 and 18 mm with
# a small network of random weights.
TOLERANCE = 1e-4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Export:
    """An ONNX file that was written, and how far onnxruntime is from torch with it.

    `differences` are the largest in metres, by the relief of the ground in metres; `limits` what they may be.
    """

    path: Path
    size: int
    weights: str
    sha256: str
    inputs: tuple[str, ...]
    resolution: float | None
    licence: str
    simulated: bool | None
    differences: dict[str, float]
    limits: dict[str, float]


def export_weights(
    weights: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    resolution: float | None = None,
) -> Export:
    """Write weights as an ONNX file that says how it is used; it appears when it was found to predict the same.

    Args:
        weights: name or path, see `load_network`.
        target: of the ONNX file.
        overwrite: replace an existing file.
        resolution: of the training grid in metres, where the weights do not state it.

    Raises:
        MissingExtra: what `export` needs is not installed.
        UnusableTarget: see `check_target`.
        WeightsError: the weights cannot be loaded.
        NotExportable: they do not say their scaling, or are too large.
        ExportDiffers: onnxruntime does not predict what torch does.
        WeightsNotWritten: the target cannot be written.
    """
    require_extra("export")
    target = Path(target)
    check_target(target, ".onnx", overwrite=overwrite)
    source = locate(weights)[0]
    network, info = load_network(weights, resolution=resolution)
    if info.height_range is None:
        raise NotExportable(f"{source} does not say the pixel size of its training, nor a scaling: give --resolution.")
    _check_size(network, source)
    scale = HeightScale(*info.height_range)
    log.info("tracing the network")
    graph = onnx_graph(network)
    for key, value in properties(info, scale).items():
        graph.metadata_props.add(key=key, value=value)
    differences, limits = _write(graph, target, network, scale)
    return Export(
        target, target.stat().st_size, info.name, info.sha256, info.inputs, info.resolution, info.licence,
        info.simulated, differences, limits,
    )  # fmt: skip


def _check_size(network: JSPSR, source: Path) -> None:
    size = 4 * sum(parameter.numel() for parameter in network.parameters())
    if size > LARGEST:
        raise NotExportable(
            f"{source} holds {size / 1e9:.1f} GB of weights, and an ONNX file at most {LARGEST / 1e9:.1f} GB: "
            "export a narrower network."
        )


def _write(
    graph: "ModelProto", target: Path, network: JSPSR, scale: HeightScale
) -> tuple[dict[str, float], dict[str, float]]:
    """Write the file, check it, and give it its name; return differences and limits as in `Export`."""
    content = graph.SerializeToString()
    limits = {f"{relief:g}": TOLERANCE * (relief - scale.low) for relief in RELIEFS}
    try:
        with appearing(target) as part:
            part.write_bytes(content)
            log.info("comparing onnxruntime with torch")
            differences = compare(part, network, scale)
            for relief, limit in limits.items():
                if not differences[relief] <= limit:  # nor what is not a number
                    raise ExportDiffers(
                        f"{target} was not written: onnxruntime is {differences[relief]:.4f} m from torch with it "
                        f"where the relief is {relief} m, and at most {limit:.4f} m are rounding; report it with the "
                        "output of jspsr doctor."
                    )
    except OSError as error:
        raise WeightsNotWritten(f"{target} cannot be written: {error.strerror or error}.") from error
    return differences, limits


def compare(path: Path, network: JSPSR, scale: HeightScale) -> dict[str, float]:
    """Largest difference in metres between onnxruntime with the file and torch with the network, by relief."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: dict[str, float] = {}
    for relief in RELIEFS:
        differences = []
        for number, shape in enumerate(CHECKED):
            windows = _windows(network.inputs, scale, relief, shape, seed=number)
            with torch.inference_mode():
                expected = network(**{name: torch.from_numpy(array) for name, array in windows.items()}).numpy()
            (got,) = session.run([BARE_EARTH], windows)
            differences.append(np.abs(scale.unscale(got, 0.0) - scale.unscale(expected, 0.0)).max())
        found[f"{relief:g}"] = float(np.max(differences))
    return found


def _windows(
    inputs: tuple[str, ...], scale: HeightScale, relief: float, shape: tuple[int, int, int], *, seed: int
) -> dict[str, FloatArray]:
    """Scaled inputs: a slope of `relief` metres under a metre of noise, and guides that are noise in their range."""
    random = np.random.default_rng(seed)
    windows, rows, columns = shape
    heights = np.linspace(0, relief, columns) + random.random((windows, 1, rows, columns))
    scaled = {DEM: scale.scale(heights, 0.0)}
    for name in inputs:
        guide = random.random((windows, GUIDE_CHANNELS[name], rows, columns))
        scaled[name] = guide.astype(np.float32)
    return scaled
