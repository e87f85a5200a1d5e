"""Optional dependencies: whether they are there, before anything is begun with them."""

from importlib.util import find_spec

from jspsr_cli.errors import MissingExtra

# The modules that each extra of pyproject.toml brings and the code imports.
EXTRAS = {
    "train": ("lightning", "matplotlib", "PIL", "pydantic", "tensorboard", "yaml"),
    "report": ("jinja2", "matplotlib"),
    "evaluate": ("skimage", "xdem"),
    "export": ("onnx", "onnxruntime", "onnxscript"),
}


def missing_modules(name: str) -> list[str]:
    """Modules of an extra that are not installed."""
    return [module for module in EXTRAS[name] if find_spec(module) is None]


def require_extra(name: str) -> None:
    """Do nothing if all modules of an extra are installed.

    Raises:
        MissingExtra: one is not; the sentence says how to install it.
    """
    for module in missing_modules(name):
        raise MissingExtra(f"{module} is not installed, which this needs: pip install 'jspsr[{name}]'.")
