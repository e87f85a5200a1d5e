import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from jspsr_cli import main, options, params
from jspsr_cli.console import Console
from jspsr_cli.negative import NegativeNumbersCommand


def run(
    arguments: list[str], *decorators: Any, cls: type[click.Command] = click.Command
) -> tuple[Result, dict[str, Any]]:
    """Result of a command with these decorators, and the values that it got."""
    got: dict[str, Any] = {}

    def command(**values: Any) -> None:
        got.update(values)
        if options.verbose in decorators:
            got["verbose"] = Console().verbose

    for decorator in reversed(decorators):
        command = decorator(command)
    return CliRunner().invoke(click.command(cls=cls)(command), arguments), got


def value_of(option: Any, *arguments: str) -> Any:
    result, got = run(list(arguments), option)
    assert result.exit_code == 0, result.stderr
    (value,) = got.values()
    return value


def complaint(option: Any, *arguments: str) -> str:
    result, got = run(list(arguments), option)
    assert (result.exit_code, got) == (2, {})
    assert result.stderr.splitlines()[-1].startswith("Error: Invalid value for ")
    return str(result.stderr)


LOS_ANGELES = (-118.05, 33.95, -117.95, 34.05)


# Bounds


@pytest.mark.parametrize(
    "words",
    [
        ("--bounds", "-118.05,33.95,-117.95,34.05"),
        ("--bounds=-118.05,33.95,-117.95,34.05",),
        ("--bounds", "-118.05 33.95 -117.95 34.05"),
        ("--bounds", " [-118.05, 33.95, -117.95, 34.05] "),
        ("--bounds", "−118.05,33.95,−117.95,34.05"),
    ],
)
def test_bounds(words: tuple[str, ...]) -> None:
    assert value_of(options.bounds, *words) == LOS_ANGELES


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-117,33,-118,34", "west (-117) is not less than east (-118): the bounds are reversed"),
        ("-118,34,-117,33", "south (34) is not less than north (33): the bounds are reversed"),
        ("10,45,9,46", "west (10) is not less than east (9): the bounds are reversed"),
        ("90,45,-90,46", "west (90) is not less than east (-90)"),
        ("179.5,-16,-179.5,-17", "south (-16) is not less than north (-17)"),
        ("200,5,-5,10", "west (200) is not less than east (-5)"),
        ("600000,50,-600000,60", "west (600000) is not less than east"),
        ("179,-170,-179,-160", "west (179) is not less than east (-179)"),
        ("1,2,1,3", "reversed or empty"),
        ("1,2,3", "four numbers west,south,east,north are needed, not 3"),
        ("1,2,3,4,5", "not 5"),
        ("1,2,nan,4", "'nan' is not a finite number"),
        ("1,2,1e999,4", "'1e999' is not a finite number"),
        ("1,2,three,4", "'three' is not a finite number"),
        ("", "'' is not a finite number"),
    ],
)
def test_wrong_bounds(text: str, why: str) -> None:
    assert why in complaint(options.bounds, "--bounds", text)


@pytest.mark.parametrize("text", ["179.5,-17,-179.5,-16.5", "100,70,-179,72", "180,-17,-180,-16"])
def test_bounds_across_the_antimeridian(text: str) -> None:
    """As RFC 7946 writes them: west is greater than east, and the shorter way round crosses it."""
    assert value_of(options.bounds, "--bounds", text) == tuple(map(float, text.split(",")))


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), st.sampled_from([",", " ", ", "]))
def test_bounds_are_read_back_exactly_or_refused(bounds: tuple[float, ...], separator: str) -> None:
    text = separator.join(map(repr, bounds))
    west, south, east, north = bounds
    degrees = max(abs(west), abs(east)) <= 180 and max(abs(south), abs(north)) <= 90
    if (west < east or (degrees and west - east > 180)) and south < north:
        assert params.BoundsType().convert(text, None, None) == bounds
    else:
        with pytest.raises(click.BadParameter, match="reversed"):
            params.BoundsType().convert(text, None, None)


# Negative numbers as arguments


@pytest.mark.parametrize(
    "words",
    [
        ["-118.05,33.95,-117.95,34.05"],
        ["-118.05", "33.95", "-117.95", "34.05"],
        ["-118.05,", "33.95,", "-117.95,", "34.05"],
        ["--", "-118.05,33.95,-117.95,34.05"],
    ],
)
@pytest.mark.parametrize("before", [[], ["-v"], ["-vo", "out"], ["--output=out", "-v"]])
@pytest.mark.parametrize("after", [[], ["-v", "-o", "out"], ["-q"]])
def test_negative_numbers_are_arguments(words: list[str], before: list[str], after: list[str]) -> None:
    after = [] if "--" in words else after  # what follows "--" is never an option
    others = click.option("-o", "--output"), options.verbose, options.quiet
    result, got = run([*before, *words, *after], options.bounds_argument, *others, cls=NegativeNumbersCommand)
    assert result.exit_code == 0, result.stderr
    options_given = " ".join([*before, *after])
    assert got == {
        "bounds": LOS_ANGELES,
        "output": "out" if "out" in options_given else None,
        "verbose": options_given.count("-v"),
        "quiet": "-q" in options_given,
    }


def test_options_between_negative_numbers_and_negative_values() -> None:
    result, got = run(
        ["-5", "-v", "-4", "--low", "-3.5", "-o", "-2", "6", "--pair", "-1", "-.5", "7"],
        options.bounds_argument,
        options.verbose,
        click.option("--low", type=float),
        click.option("-o", "--output"),
        click.option("--pair", type=float, nargs=2),
        cls=NegativeNumbersCommand,
    )
    assert result.exit_code == 0, result.stderr
    assert got == {"bounds": (-5, -4, 6, 7), "verbose": 1, "low": -3.5, "output": "-2", "pair": (-1.0, -0.5)}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-x", "1,2,3,4"], "No such option"),
        (["-.5", "2", "-.75", "4"], "west (-0.5) is not less than east (-0.75)"),
        (["--lwo", "-1", "1,2,3,4"], "No such option"),
        (["-1", "2", "-3", "4"], "west (-1) is not less than east (-3): the bounds are reversed"),
    ],
)
def test_wrong_words_beside_negative_numbers(words: list[str], why: str) -> None:
    result, _ = run(words, options.bounds_argument, options.verbose, cls=NegativeNumbersCommand)
    assert result.exit_code == 2
    assert why in result.stderr
    assert "\0" not in result.stderr


def test_too_many_negative_numbers_are_named_as_typed() -> None:
    result, _ = run(["-1", "-2"], click.argument("one"), cls=NegativeNumbersCommand)
    assert (result.exit_code, "unexpected extra argument (-2)" in result.stderr) == (2, True)


# Numbers


def test_good_values_and_defaults() -> None:
    assert value_of(options.resolution) is None
    assert value_of(options.resolution, "--resolution", "3") == 3.0
    assert value_of(options.window) is None
    assert [value_of(options.window, "--window", side) for side in ("32", "136", "4096")] == [32, 136, 4096]
    assert value_of(options.overlap) == 0.1875
    assert value_of(options.overlap, "--overlap", "0") == 0
    assert value_of(options.batch_size) is None
    assert value_of(options.precision) == "auto"
    assert value_of(options.device) == "auto"
    devices = ("cpu", "cuda", "cuda:1", "mps", "CUDA:0")
    assert [value_of(options.device, "--device", name) for name in devices] == [*devices[:4], "cuda:0"]
    assert value_of(options.verbose, "-vv") == 2
    assert value_of(options.quiet, "-q") is True
    assert value_of(options.as_json, "--json") is True
    assert value_of(options.weights, "--weights", "w") == "w"
    assert value_of(options.output, "-o", "out.tif") == Path("out.tif")
    stretch = click.option("--stretch", type=params.StretchType())
    assert value_of(stretch, "--stretch", "-10,2.5e3") == (-10.0, 2500.0)
    bands = click.option("--bands", type=params.BandsType())
    assert value_of(bands, "--bands", "3,2,1") == (3, 2, 1)


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        (params.ResolutionType(), "0", "not a pixel size"),
        (params.ResolutionType(), "-8", "not a pixel size"),
        (params.ResolutionType(), "inf", "finite"),
        (params.ResolutionType(), "8m", "'8m' is not a finite number"),
        (params.WindowType(), "100", "not a multiple of 8 from 32 to 4096"),
        (params.WindowType(), "24", "not a multiple of 8"),
        (params.WindowType(), "4104", "not a multiple of 8"),
        (params.WindowType(), "-64", "not a multiple of 8"),
        (params.WindowType(), "128.0", "not a whole number"),
        (params.OverlapType(), "1", "not a fraction"),
        (params.OverlapType(), "25", "a quarter is 0.25"),
        (params.OverlapType(), "-0.1", "not a fraction"),
        (params.OverlapType(), "nan", "finite"),
        (params.StretchType(), "5", "two numbers LO,HI"),
        (params.StretchType(), "5,5", "not less than HI"),
        (params.StretchType(), "9,5", "not less than HI"),
        (params.StretchType(), "0,inf", "finite"),
        (params.BandsType(), "0,1", "counted from 1"),
        (params.BandsType(), "1,-2", "counted from 1"),
        (params.BandsType(), "red", "'red' is not a whole number"),
        (params.BandsType(), "", "not a whole number"),
        (params.Output(), "-", "cannot be written to standard output"),
        (params.Output(folder=True), "-", "cannot be written to standard output"),
        (params.DeviceType(), "gpu", "not one of auto"),
        (params.DeviceType(), "cuda:", "not one of auto"),
        (params.DeviceType(), "cuda:-1", "not one of auto"),
        (params.DeviceType(), "cpu\n;", "'cpu\\n;' is not one of"),
    ],
)
def test_wrong_values(kind: click.ParamType[Any], text: str, why: str) -> None:
    assert why in complaint(click.option("--value", type=kind), "--value", text)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_that_writes_refuses_standard_output(name: str) -> None:
    _, command, _ = main.cli.resolve_command(click.Context(main.cli), [name])
    assert command
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    paths = [param.type for one in commands for param in one.params if isinstance(param.type, click.Path)]
    written = [path for path in paths if not path.exists]
    assert written or name == "doctor"
    assert all(isinstance(path, params.Output) for path in written)


# CRS


@pytest.mark.parametrize("text", ["EPSG:32631", "epsg:2056", "+proj=utm +zone=31 +datum=WGS84"])
def test_crs_stays_as_it_was_typed(text: str) -> None:
    assert value_of(options.crs, "--crs", text) == text


def test_crs_number_is_an_epsg_code_and_wkt_passes() -> None:
    from pyproj import CRS

    assert value_of(options.crs, "--crs", " 32631 ") == "EPSG:32631"
    wkt = CRS.from_epsg(32631).to_wkt(pretty=True)
    assert value_of(options.crs, "--crs", wkt) == wkt.strip()


@pytest.mark.parametrize("text", ["nonsense", "EPSG:999999", "", '{"a": 1}', "{"])
def test_unknown_crs(text: str) -> None:
    assert "a code such as EPSG:32631" in complaint(options.crs, "--crs", text)


def test_endless_crs_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyproj.CRS.from_user_input", None)
    assert "too long" in complaint(options.crs, "--crs", "P" * 100_001)


# Paths


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a.tif",
        "s3://bucket/a.tif",
        "zip+https://example.org/a.zip!a.tif",
        "/vsicurl/https://example.org/a.tif",
        "/vsizip/a.zip/a.tif",
    ],
)
def test_remote_paths_pass_as_they_are(text: str) -> None:
    assert value_of(options.like, "--like", text) == text


def test_local_paths(tmp_path: Path) -> None:
    full, empty, missing, pipe = (tmp_path / name for name in ("full.tif", "empty.tif", "a\x1b.tif", "pipe"))
    full.write_bytes(b"x")
    empty.touch()
    os.mkfifo(pipe)
    assert value_of(options.like, "--like", str(full)) == str(full)
    assert value_of(options.geometry, "--geometry", str(tmp_path)) == str(tmp_path)
    assert "empty (0 bytes)" in complaint(options.like, "--like", str(empty))
    assert "pipe" in complaint(options.like, "--like", str(pipe))
    said = complaint(options.like, "--like", str(missing))
    assert "No such file or directory" in said
    assert "\x1b" not in said
    assert "not a path" in complaint(options.like, "--like", "a\0b")
    assert "cannot be opened" in complaint(options.like, "--like", "x" * 5000)


def test_unreadable_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.tif"
    secret.write_bytes(b"x")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    assert "Permission denied" in complaint(options.like, "--like", str(secret))


def test_output_must_not_be_a_folder(tmp_path: Path) -> None:
    assert "is a directory" in complaint(options.output, "-o", str(tmp_path))


def test_help_shows_defaults() -> None:
    result, _ = run(["--help"], options.resolution, options.overlap, options.window, options.bounds, options.device)
    text = " ".join(result.output.split())
    for part in (
        "that of the weights, else 8",
        "[default: 0.1875]",
        "128)]",
        "[default: (all of the input)]",
        "[default: auto]",
    ):
        assert part in text
    assert "±360" in text
