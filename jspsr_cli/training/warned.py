"""Warnings of a command: each said as soon as it is known, and all kept for the report."""

from collections.abc import Callable


class Warned:
    """Hands each warning on to `on_warning`, if there is one: what comes after may take days, or fail."""

    def __init__(self, on_warning: Callable[[str], None] | None) -> None:
        self._on_warning = on_warning
        self._said: list[str] = []

    def __call__(self, *warnings: str | None) -> None:
        """Say these; None is none, and what was said already is not said again."""
        for warning in warnings:
            if warning is None or warning in self._said:
                continue
            self._said.append(warning)
            if self._on_warning:
                self._on_warning(warning)

    @property
    def all(self) -> tuple[str, ...]:
        """All that was said, in its order."""
        return tuple(self._said)
