"""Bare-earth elevation models from global DEMs and orthophotos: the `jspsr` command line and its library."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jspsr_cli.assess.evaluated import Evaluation
    from jspsr_cli.assess.evaluation import evaluate
    from jspsr_cli.estimate import EnhanceEstimate, estimate_enhance
    from jspsr_cli.export import Export, export_weights
    from jspsr_cli.fetch.inputs import fetch_inputs, plan_inputs
    from jspsr_cli.pictures.preview import preview
    from jspsr_cli.pictures.shown import Preview
    from jspsr_cli.pipeline import enhance
    from jspsr_cli.report import EnhanceReport
    from jspsr_cli.request import EnhanceOptions

__version__ = "0.1.0"

__all__ = [
    "EnhanceEstimate",
    "EnhanceOptions",
    "EnhanceReport",
    "Evaluation",
    "Export",
    "Preview",
    "__version__",
    "enhance",
    "estimate_enhance",
    "evaluate",
    "export_weights",
    "fetch_inputs",
    "plan_inputs",
    "preview",
]

_LAZY = {
    "enhance": "pipeline",
    "EnhanceReport": "report",
    "estimate_enhance": "estimate",
    "EnhanceEstimate": "estimate",
    "EnhanceOptions": "request",
    "plan_inputs": "fetch.inputs",
    "fetch_inputs": "fetch.inputs",
    "evaluate": "assess.evaluation",
    "Evaluation": "assess.evaluated",
    "export_weights": "export",
    "Export": "export",
    "preview": "pictures.preview",
    "Preview": "pictures.shown",
}


def __getattr__(name: str) -> Any:
    # On first use: torch and rasterio take seconds, which `jspsr --help` must not.
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
