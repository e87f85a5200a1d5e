"""Other ways through a network on a CPU, for `benchmarks/forward.py --backends`: onnxruntime and torch.compile."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jspsr_cli.predict import Predictor
from jspsr_models import JSPSR
from jspsr_models.graph import BARE_EARTH, DEM, onnx_graph
from jspsr_models.inference import OnCpu
from jspsr_models.inputs import GUIDE_CHANNELS


def backends(network: JSPSR, window: int) -> dict[str, Predictor]:
    """The ways by name, each ready for windows of `window` pixels; prints the seconds that this took."""
    threads = torch.get_num_threads()
    graph = onnx_graph(network).SerializeToString()
    made: dict[str, Callable[[], Predictor]] = {
        "onnxruntime, 1 thread": lambda: onnxruntime(graph, threads=1),
        f"onnxruntime, {threads} threads": lambda: onnxruntime(graph, threads=threads),
        "onnxruntime, a session a thread": lambda: onnxruntime(graph, threads=1, sessions=threads),
        "enhance, compiled": lambda: compiled(network, window),
    }
    found = {}
    for name, make in made.items():
        start = time.perf_counter()
        found[name] = make()
        print(f"F = {network.num_feature:<3} {name:34} {time.perf_counter() - start:6.1f} s until it is ready")
    return found


def onnxruntime(graph: bytes, *, threads: int, sessions: int = 1) -> Predictor:
    """The ONNX graph in onnxruntime, windows one by one in each of the `sessions`, which have `threads` each."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    opened = [runtime.InferenceSession(graph, options, ["CPUExecutionProvider"]) for _ in range(sessions)]
    pool = ThreadPoolExecutor(sessions)

    def predict(dem: Tensor, **guides: Any) -> Tensor:
        arrays = {DEM: dem.numpy(), **{name: guide.numpy() for name, guide in guides.items() if guide is not None}}
        output = np.empty(dem.shape, dtype=np.float32)

        def of_session(number: int) -> None:
            for window in range(number, len(dem), sessions):
                one = {name: array[window : window + 1] for name, array in arrays.items()}
                output[window] = opened[number].run([BARE_EARTH], one)[0][0]

        list(pool.map(of_session, range(sessions)))
        return torch.from_numpy(output)

    return predict


def compiled(network: JSPSR, window: int) -> Predictor:
    """As `enhance` has it, the folded network compiled by inductor, which may lay out the weights as it likes."""
    import torch._inductor.config as inductor

    predict = OnCpu(network)
    torch.compiler.reset()  # what was compiled for other weights of this shape would be taken, and not be constant
    predict._network = torch.compile(predict._network)  # type: ignore[assignment]
    guides = {name: torch.zeros(1, GUIDE_CHANNELS[name], window, window) for name in network.inputs}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as its windows have
    with torch.inference_mode(), inductor.patch(freezing=True):
        predict._network(torch.zeros(1, 1, window, window), **guides)  # which compiles it
    torch.set_num_threads(threads)
    return predict
