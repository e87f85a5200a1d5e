"""Optional dependencies: whether they are there, before anything is begun with them."""

from importlib.util import find_spec

from jspsr_cli.errors import MissingExtra

# The modules that each extra of pyproject.toml brings and the code imports.
EXTRAS = {"train": ("lightning", "matplotlib", "pydantic", "tensorboard", "yaml")}


def require_extra(name: str) -> None:
    """Do nothing if all modules of an extra are installed.

    Raises:
        MissingExtra: one is not; the sentence says how to install it.
    """
    for module in EXTRAS[name]:
        if find_spec(module) is None:
            raise MissingExtra(f"{module} is not installed, which this needs: pip install 'jspsr[{name}]'.")
