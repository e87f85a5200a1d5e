"""Training files (YAML) to a checked `TrainingConfig`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jspsr_cli.errors import InvalidConfig
from jspsr_cli.training.config import TrainingConfig, meant

# Bytes: a hundred times the published files. The reader takes seconds for a megabyte.
LONGEST = 2**18

# Bits of a number, 300 digits: Python writes out 4,300 at most, so that no message could quote a longer one.
LONGEST_NUMBER = 1000

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


# What is to be written where the library that checks speaks of Python.
KINDS: Mapping[str, str] = {
    "tuple_type": "write a list: [one, another]",
    "dict_type": "write keys and their values: {key: value}",
    "model_type": "write keys and their values: {key: value}",
    "string_type": "write a text, in quotes where it looks like a number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a finite number",
    "string_pattern_mismatch": "write letters, digits and .+-_, and begin with one of the first two",
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key that is there twice."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Build a whole number, unless it is too long to be quoted."""
        value = int(super().construct_yaml_int(node))
        if value.bit_length() > LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(None, None, "a number is too large", node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dictionary."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((i for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            mark = node.value[twice][0].start_mark
            raise yaml.constructor.ConstructorError(None, None, f"the key {keys[twice]} is there twice", mark)
        return dict(super().construct_mapping(node, deep))


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_config(path: str | os.PathLike[str], **instead: Any) -> tuple[TrainingConfig, tuple[str, ...]]:
    """Read a training file; `instead` are values for its keys from elsewhere, None for none.

    Returns:
        What it says, and warnings about what of it means nothing here.

    Raises:
        InvalidConfig: it cannot be read, or says what cannot be meant.
    """
    label = os.fspath(path)
    try:
        raw = yaml.load(_text_of(Path(path)), _Loader)  # a subclass of the safe one
    except OSError as error:
        raise InvalidConfig(f"{label} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or _why(error)
        raise InvalidConfig(f"{label} is not a training file: it is no YAML{where} ({why}).") from error
    if not isinstance(raw, dict):
        raise InvalidConfig(f"{label} is not a training file: it holds no keys; configs/ has examples.")
    try:
        TrainingConfig.model_validate(raw)  # what is replaced below may be wrong too
        config = TrainingConfig.model_validate(raw | {k: value for k, value in instead.items() if value is not None})
    except ValidationError as error:
        raise InvalidConfig(f"{label}: {_sentence(error.errors(include_url=False)[0])}.") from error
    return config, _warnings(config, label)


def _text_of(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise OSError("it is a folder, a pipe or a device")
    if path.stat().st_size > LONGEST:
        raise OSError(f"it has more than {LONGEST >> 10} kB")
    return path.read_text(encoding="utf-8")


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    if isinstance(error, RecursionError):
        return "its tables are nested too deeply"
    return " ".join(str(error).split())[:200]


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
        return f"there is no key {where:.80}{meant(key, _keys_of(tables))}"
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if problem["type"] == "invalid_key":
        return f"the key {where:.80} is no text: put it into quotes"
    message = KINDS.get(problem["type"], message)
    if problem["type"] == "literal_error":
        message += meant(problem["input"], problem["ctx"]["expected"].split("'")[1::2])
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
