"""Training files (YAML) to a checked `TrainingConfig`."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jspsr_cli.errors import InvalidConfig
from jspsr_cli.training.config import TrainingConfig

# Keys of the published files that mean nothing here, each with the values that need no warning.
WITHOUT_MEANING: Mapping[str, tuple[Any, ...]] = {
    "verbose": (None,),
    "monitor_app": (None, "tensorboard"),
    "resume": (None,),
    "train_num_visual": (None,),
    "val_save_visual": (None,),
}

# Keys of scheduler_kwargs that each scheduler reads; the published files give all of them the same table.
SCHEDULER_KEYS: Mapping[str, set[str]] = {
    "WarmupStepLR": {"max_lr", "step_size", "gamma", "warmup_epoch"},
    "StepLR": {"step_size", "gamma"},
    "CosineAnnealingLR": set(),
    "OneCycleLR": {"max_lr"},
    "ConstantLR": set(),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dictionary."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice} is there twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))


def read_config(path: str | os.PathLike[str], **instead: Any) -> tuple[TrainingConfig, tuple[str, ...]]:
    """Read a training file; `instead` are values for its keys from elsewhere, None for none.

    Returns:
        What it says, and warnings about what of it means nothing here.

    Raises:
        InvalidConfig: it cannot be read, or says what cannot be meant.
    """
    label = os.fspath(path)
    try:
        raw = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)  # a subclass of the safe one
    except OSError as error:
        raise InvalidConfig(f"{label} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "it is not text in UTF-8"
        raise InvalidConfig(f"{label} is not a training file: it is no YAML{where} ({why}).") from error
    if not isinstance(raw, dict):
        raise InvalidConfig(f"{label} is not a training file: it holds no keys; configs/ has examples.")
    raw |= {key: value for key, value in instead.items() if value is not None}
    try:
        config = TrainingConfig.model_validate(raw)
    except ValidationError as error:
        raise InvalidConfig(f"{label}: {_sentence(error.errors(include_url=False)[0])}.") from error
    return config, _warnings(config, label)


def _warnings(config: TrainingConfig, label: str) -> tuple[str, ...]:
    idle = [key for key, quiet in WITHOUT_MEANING.items() if getattr(config, key) not in quiet]
    if config.optimizer in ("AdamW", "Adam") and "momentum" in config.optimizer_kwargs.model_fields_set:
        idle.append("optimizer_kwargs.momentum")
    if config.crop_mode == "tile" and config.patches_per_image is not None:
        idle.append("patches_per_image (a sample has as many tiles as it needs)")
    unread = config.scheduler_kwargs.model_fields_set - SCHEDULER_KEYS[config.scheduler]
    idle += [f"scheduler_kwargs.{key}" for key in sorted(unread)]
    return (f"{label}: keys without meaning here were left out: {', '.join(idle)}",) if idle else ()


def _sentence(problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"the key {where} is missing"
    if problem["type"] == "extra_forbidden":
        *tables, key = problem["loc"]
        near = difflib.get_close_matches(str(key), _keys_of(tables), n=1)
        return f"there is no key {where:.80}" + (f" (did you mean {near[0]}?)" if near else "")
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if not where:
        return message
    return f"{where} = {problem['input']!r:.80}: {message[:1].lower()}{message[1:]}"


def _keys_of(tables: list[int | str]) -> list[str]:
    model: type[BaseModel] = TrainingConfig
    for table in tables:
        inner = model.model_fields[str(table)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
