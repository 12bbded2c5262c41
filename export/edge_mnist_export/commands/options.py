"""Option types and parsers that the host commands share."""

from __future__ import annotations

import difflib
import math
import tomllib
from pathlib import Path
from typing import Any

import click

from edge_mnist.bundle.model_spec import number

from .. import api

PATH = click.Path(path_type=Path)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")


def _read_config(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    """Take the options of a TOML file where the command line states none."""
    if value is None:
        return
    name = str(context.command.name)
    try:
        # Windows' editors begin a file with a byte order mark.
        table = tomllib.loads(value.read_text("utf-8-sig")).get(name)
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"expected a TOML file, got {value}: {error}.") from error
    if not isinstance(table, dict):
        raise click.BadParameter(f"expected a table [{name}] in {value}, got none.")
    options = {
        option.lstrip("-"): one
        for one in context.command.params
        for option in one.opts
        if one is not parameter
    }
    for key in table:
        if key not in options:
            near = difflib.get_close_matches(key, options, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise click.BadParameter(f"expected options of {name} in {value}, got {key!r}{hint}")
    context.default_map = {
        str(options[key].name): _as_typed(key, options[key], option)
        for key, option in table.items()
    }


def _as_typed(key: str, parameter: click.Parameter, option: Any) -> Any:
    """Return an option as the command line takes it: [0, 1] as "0,1"."""
    flag = bool(getattr(parameter, "is_flag", False))
    parts = option if isinstance(option, list) and not flag else [option]
    if flag != isinstance(option, bool) or not all(_is_plain(part) for part in parts):
        expected = "true or false" if flag else "a string, a number, or a list of these"
        raise click.BadParameter(f"expected {key} to be {expected}, got {option!r}.")
    return option if flag else ",".join(map(str, parts))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


config_option = click.option(
    "--config",
    type=PATH,
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    metavar="FILE.toml",
    help="Options from a TOML file, such as the config.toml of a run or a bundle. The command "
    "line overrides them.",
)
hf_option = click.option(
    "--hf",
    type=PATH,
    metavar="DIR",
    help="Also write a folder for the Hugging Face Hub: the bundle with a model card.",
)


def formats(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Parse "tflite,onnx,c,html,triton"."""
    if value is None:
        return None
    names = tuple(part.strip() for part in value.split(","))
    if not set(names) <= set(api.FORMATS) or len(set(names)) < len(names):
        raise click.BadParameter(f"expected any of {', '.join(api.FORMATS)}, got {value!r}.")
    return names


def number_range(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, float] | None:
    """Parse "-1,1"."""
    if value is None:
        return None
    try:
        low, high = (float(part) for part in value.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise click.BadParameter(f"expected two numbers such as 0,1 or -1,1, got {value!r}.")
    return low, high


def numbers(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """Parse "0.5,1/255"."""
    try:
        return None if value is None else tuple(map(number, value.split(",")))
    except ValueError as error:
        raise click.BadParameter(
            f"expected a number such as 0.5 or 1/255, got {value!r}."
        ) from error


def labels(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Parse "zero,one,two", or read a file with one label a line."""
    if value is None:
        return None
    try:
        lines = Path(value).read_text("utf-8").splitlines() if Path(value).is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"expected a text file of labels, got: {error}.") from error
    names = [name.strip() for name in (value.split(",") if lines is None else lines)]
    if lines is not None:
        names = [name for name in names if name]
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise click.BadParameter(
            f"expected different names such as zero,one,two, or a file with one a line, got "
            f"{value!r}."
        )
    return tuple(names)


def not_nan(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Reject nan, which every range check of click accepts."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("expected a number, got nan.")
    return value
