"""Option types and parsers that the host commands share."""

from __future__ import annotations

import math
from pathlib import Path

import click

from edge_mnist.bundle.model_spec import number

PATH = click.Path(path_type=Path)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
hf_option = click.option(
    "--hf",
    type=PATH,
    metavar="DIR",
    help="Also write a folder for the Hugging Face Hub: the bundle with a model card.",
)
DATA_HELP = "auto, mnist, synthetic (drawn by edge-mnist), or the path of MNIST."


def formats(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Parse "tflite,onnx"."""
    if value is None:
        return None
    names = tuple(part.strip() for part in value.split(","))
    if not set(names) <= {"tflite", "onnx"} or len(set(names)) < len(names):
        raise click.BadParameter(f"expected tflite, onnx or both, got {value!r}.")
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


def not_nan(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Reject nan, which every range check of click accepts."""
    if math.isnan(value):
        raise click.BadParameter("expected a number, got nan.")
    return value
