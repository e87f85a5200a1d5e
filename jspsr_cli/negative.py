"""Commands with arguments that may be negative numbers, which click takes for options."""

import re
from typing import Any

import click

# No option begins with a digit, so this is always a number (or a list of numbers).
_NEGATIVE_NUMBER = re.compile(r"-(\d|\.\d)")
# Put before such a token it hides the minus from click's parser. No shell can pass this character.
_VEIL = "\0"


class NegativeNumbersCommand(click.Command):
    """A command to which `-118.05,33.95` and `-118.05` are arguments, not options.

    Options keep working, before, between and after them. Values of options are untouched.
    """

    def make_parser(self, ctx: click.Context) -> Any:
        """Make click's parser, with negative numbers veiled from its search for options."""
        parser = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_veiled(args: list[str]) -> tuple[Any, Any, Any]:
            values, rest, order = parse(args=[_VEIL + arg if _NEGATIVE_NUMBER.match(arg) else arg for arg in args])
            return _unveil(values), _unveil(rest), order

        vars(parser)["parse_args"] = parse_veiled
        return parser


def _unveil(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix(_VEIL)
    if isinstance(value, dict):
        return {key: _unveil(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_unveil(item) for item in value)
    return value
