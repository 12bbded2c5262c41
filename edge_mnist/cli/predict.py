"""edge-mnist predict."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from ..errors import ImageError
from ..system.strict_json import to_json
from .options import (
    FILE,
    backend_option,
    json_option,
    latest_option,
    load_classifier,
    model_option,
    quiet_option,
    scaling_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..bundle.model_spec import Scaling
    from ..classifier import Classifier, Detection

# Pictures from which a bar is shown.
_MANY = 20


@click.command(
    short_help="Read the digit in pictures.",
    epilog="\b\nExamples:"
    "\n  edge-mnist predict photo.jpg"
    "\n  edge-mnist predict pictures/ --many --json"
    "\n  edge-mnist predict form.png --many --csv > form.csv",
)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@model_option
@latest_option
@backend_option("the best installed")
@scaling_options
@trust_option
@click.option("--many", is_flag=True, help="Several digits a picture, read left to right.")
@click.option("--csv", "as_csv", is_flag=True, help="With --many: a form's grid of cells, as CSV.")
@click.option(
    "--save-preprocessed",
    "save_to",
    metavar="DIR",
    type=FILE,
    help="Write the model's inputs, as PNG.",
)
@json_option(help="One line of JSON for each image.")
@quiet_option
def predict(
    images: tuple[str, ...],
    model: str | None,
    latest: bool,
    backend: str | None,
    scaling: Scaling | None,
    trust: tuple[str, ...] | None,
    many: bool,
    as_csv: bool,
    save_to: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Read the digit in each IMAGE: files, folders of pictures, or - for standard input.

    The answer is "no digit" if a picture holds none, or if the model is unsure. --many --csv prints
    a form: a line for each row of its cells, nothing for an empty cell, and ? for a digit of which
    the model is unsure.
    """
    from ..system.progress import Progress
    from ..vision.model_inputs import ModelInputFolder
    from ..vision.picture_files import list_pictures

    if as_csv and not many:
        raise click.UsageError("Expected --many with --csv, which reads the cells of a form.")
    pictures = list(list_pictures(images))
    classifier = load_classifier(
        model, latest=latest, backend=backend, scaling=scaling, trust=trust
    )
    names = [name for name, _ in pictures if name != "-"]
    folder = ModelInputFolder(save_to, names) if save_to else None
    show = functools.partial(
        _read_grid if as_csv else _read,
        classifier,
        many=many,
        as_json=as_json,
        is_only=len(pictures) == 1,
    )
    unreadable = 0
    progress = Progress(quiet=quiet)
    # Lines on a terminal show by themselves how far the command is.
    hidden = len(pictures) < _MANY or sys.stdout.isatty()
    with progress.through(pictures, len(pictures), "Reading", hidden=hidden) as counted:
        for name, picture in counted:
            try:
                answer = show(name, picture)
            except ImageError as error:
                if len(pictures) == 1:
                    raise
                unreadable += 1
                progress.warn(f"edge-mnist: warning: {error}")
                continue
            detections = answer.detections
            if folder:
                inputs = [d.image for d in detections if d.image is not None]
                folder.save(name, inputs, numbered=many)
            click.echo(answer.text)
    if unreadable:
        raise ImageError(
            f"Expected {len(pictures)} readable pictures, got {unreadable} that are not; "
            f"the warnings name them.",
            code="image-unreadable",
        )


class _Answer(NamedTuple):
    """What a picture holds, and the text that is printed of it."""

    detections: list[Detection]
    text: str


def _read(
    classifier: Classifier,
    name: str,
    picture: str | bytes,
    *,
    many: bool,
    as_json: bool,
    is_only: bool,
) -> _Answer:
    found = classifier.predict_many(picture) if many else [classifier.detect(picture)]
    return _Answer(found, _line(name, found, many=many, as_json=as_json))


def _read_grid(
    classifier: Classifier,
    name: str,
    picture: str | bytes,
    *,
    many: bool,
    as_json: bool,
    is_only: bool,
) -> _Answer:
    """Read a form; a line of CSV begins with the picture's name if there are several."""
    grid = classifier.read_grid(picture)
    detections = [one for row in grid.rows for cell in row for one in cell.detections]
    if as_json:
        from ..classifier.prediction_json import grid_json

        return _Answer(detections, to_json({"image": name, **grid_json(grid)}))
    # Imported late: only forms need it.
    import csv

    text = io.StringIO()
    prefix = [] if is_only else [name]
    csv.writer(text, lineterminator="\n").writerows([*prefix, *row] for row in grid.texts)
    return _Answer(detections, text.getvalue().removesuffix("\n"))


def _line(name: str, detections: Sequence[Detection], *, many: bool, as_json: bool) -> str:
    show: Callable[[Sequence[Detection]], str] = _text_of_many if many else _text_of_one
    return _json(name, detections, many=many) if as_json else f"{name}: {show(detections)}"


def _json(name: str, detections: Sequence[Detection], *, many: bool) -> str:
    from ..classifier.prediction_json import detection_json, detections_json

    document = detections_json(detections) if many else detection_json(detections[0])
    return to_json({"image": name, **document})


def _text_of_one(detections: Sequence[Detection]) -> str:
    from ..system.text_table import percent

    (prediction,) = (detection.prediction for detection in detections)
    if prediction.digit is None:
        return f"no digit ({prediction.reason})"
    return f"{prediction.label} ({percent(prediction.confidence)})"


def _text_of_many(detections: Sequence[Detection]) -> str:
    from ..classifier.prediction_json import digits
    from ..system.text_table import percent

    confidences = (percent(detection.prediction.confidence) for detection in detections)
    return f"{digits(detections)} ({', '.join(confidences)})" if detections else "no digit"
