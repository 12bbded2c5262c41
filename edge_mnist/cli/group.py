"""The command line: device commands here, host commands as plug-ins.

A host command arrives through the entry-point group `edge_mnist.commands`; where the host
package is missing, its name stays in the list and says which install brings it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from .. import __version__
from ..backends import RUNTIMES
from ..classifier import prediction_json
from ..errors import EdgeMnistError, GateError, HostError, ImageError, ModelError, ServeError
from ..system.files import MAX_BYTES, PICTURES
from ..system.text_table import percent, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .. import datasets
    from ..backends import Runtime
    from ..bundle import Artifact
    from ..bundle.model_spec import Scaling
    from ..classifier import Classifier, Prediction
    from ..evaluation import Evaluation
    from ..foreign_models.scaling_search import Trial
    from ..vision.model_inputs import SeenFolder

PLUGINS = "edge_mnist.commands"
HOST_COMMANDS = {
    "quickstart": "The whole chain once, small: train, export, evaluate, benchmark.",
    "train": "Train a CNN and write a run folder.",
    "export": "Quantize and export a run as a verified bundle.",
}
# What the system's loader says, in whatever a package wraps it.
_LIBRARY = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")
DEVICE_COMMANDS = ("evaluate", "predict", "benchmark", "compare", "serve", "doctor")


class _Commands(click.Group):
    """The device commands, and the host commands if their package is installed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*HOST_COMMANDS, *DEVICE_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in HOST_COMMANDS:
            return super().get_command(ctx, cmd_name)
        from importlib.metadata import entry_points

        for plugin in entry_points(group=PLUGINS, name=cmd_name):
            command: click.Command = plugin.load()
            return command
        return _missing(cmd_name)


def _missing(name: str) -> click.Command:
    def callback() -> None:
        raise HostError(
            f"Expected the host package edge-mnist-export for `edge-mnist {name}`, which is not "
            f"installed; install it with: pip install 'edge-mnist[host]'"
        )

    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    help = f"{HOST_COMMANDS[name]} Needs: pip install 'edge-mnist[host]'"
    return click.Command(name, callback=callback, help=help, context_settings=settings)


@click.group(
    cls=_Commands, invoke_without_command=True, context_settings={"max_content_width": 100}
)
@click.version_option(__version__, prog_name="edge-mnist")
@click.pass_context
def cli(context: click.Context) -> None:
    """Train a digit classifier, export it, and run and measure it on a small device."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a gate failed, 2 bad use or bad input."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding lacks is shown escaped; it is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(args=arguments, prog_name="edge-mnist", standalone_mode=False)
    except EdgeMnistError as error:
        _fail(str(error), error.exit_status)
    except click.Abort:
        _fail("interrupted", 130)
    except click.ClickException as error:
        _fail(f"{error.format_message()} Try: {_path(error)} --help", 2)
    except ImportError as error:
        library = _LIBRARY.search(str(error))
        if not library:
            raise
        _fail(
            f"Expected the system's library {library[1]}, got none; on Raspberry Pi OS those that "
            f"numpy and Pillow need come with: sudo apt install python3-numpy python3-pil "
            f"libopenblas0",
            2,
        )
    except OSError as error:
        place = error.filename or "the output"
        _fail(f"Expected to read or write {place}, got: {error.strerror or error}.", 2)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    click.echo(f"edge-mnist: error: {' '.join(message.split())}", err=True)
    sys.exit(status)


def _path(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context else "edge-mnist"


def _threads(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        threads = tuple(int(part) for part in value.split(","))
    except ValueError:
        threads = ()
    if not threads or min(threads) < 1:
        raise click.BadParameter(f"expected thread counts such as 1,2, got {value!r}.")
    return threads


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from ..benchmark.plan import parse_duration

    return None if value is None else parse_duration(value)


_FILE = click.Path(path_type=Path)
_model = click.option("--model", type=click.Path(), help="A bundle, a .tflite or an .onnx file.")


def _backend(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--backend",
        type=click.Choice(list(RUNTIMES)),
        help=f"The runtime.  [default: {default}]",
    )


def _numbers(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    from ..bundle.model_spec import number

    try:
        return None if value is None else tuple(map(number, value.split(",")))
    except ValueError as error:
        raise click.BadParameter(
            f"expected a number such as 0.5 or 1/255, got {value!r}."
        ) from error


def _scaling(command: Callable[..., None]) -> Callable[..., None]:
    """Add --scale, --mean and --std, and hand them on as one `scaling`."""

    @functools.wraps(command)
    def scaled(
        *,
        scale: tuple[float, ...] | None,
        mean: tuple[float, ...] | None,
        std: tuple[float, ...] | None,
        **rest: Any,
    ) -> None:
        from ..bundle.model_spec import Scaling

        if scale is not None and len(scale) != 1:
            raise click.UsageError("Expected one number for --scale; --mean takes one a channel.")
        command(scaling=Scaling.given(scale and scale[0], mean, std), **rest)

    helps = {
        "std": "And divided by this.",
        "mean": "Taken off after --scale: one number, or one a channel.",
        "scale": "Pixels 0…255 times this, in a file without a manifest: 1, 1/255, …",
    }
    for name, text in helps.items():
        option = click.option(f"--{name}", metavar="NUMBER", callback=_numbers, help=text)
        scaled = option(scaled)
    return scaled


def _artifacts(model: str | None, scaling: Scaling | None = None) -> tuple[Artifact, ...]:
    """Return MODEL's files; with no MODEL the newest bundle's, or the shipped one's."""
    from ..bundle import find_artifacts, newest_bundle

    return find_artifacts(newest_bundle() if model is None else model, scaling=scaling)


def _classifier(model: str | None, backend: str | None, scaling: Scaling | None) -> Classifier:
    from ..classifier import Classifier, choose

    classifier = Classifier.from_artifact(*choose(_artifacts(model, scaling), backend=backend))
    if classifier.scaling_from == "assumed":
        click.echo(
            f"edge-mnist: note: {model} does not say how it takes pixels; assumed is "
            f"{classifier.spec.scaling.options}. To find out: edge-mnist evaluate {model}",
            err=True,
        )
    return classifier


@cli.command(short_help="Read the digit in pictures.")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@_model
@_backend("the best installed")
@_scaling
@click.option("--many", is_flag=True, help="Several digits a picture, read left to right.")
@click.option(
    "--save-preprocessed",
    "seen",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write what the model saw, as PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON an image.")
def predict(
    images: tuple[str, ...],
    model: str | None,
    backend: str | None,
    scaling: Scaling | None,
    many: bool,
    seen: Path | None,
    as_json: bool,
) -> None:
    """Read the digit in each IMAGE: files, folders of pictures, or - for standard input.

    A picture without a digit, or one that the model is unsure of, is answered with "no digit".
    """
    sources = list(_sources(images))
    classifier = _classifier(model, backend, scaling)
    folder = _seen_folder(seen, [name for name, _ in sources])
    unreadable = 0
    for name, source in sources:
        try:
            line, pixels = (_read_many if many else _read_one)(classifier, name, source, as_json)
        except ImageError as error:
            if len(sources) == 1:
                raise
            unreadable += 1
            click.echo(f"edge-mnist: warning: {error}", err=True)
            continue
        if folder is not None:
            folder.save(name, pixels, numbered=many)
        click.echo(line)
    if unreadable:
        raise ImageError(
            f"Expected {len(sources)} readable pictures, got {unreadable} that are not; "
            f"the warnings name them."
        )


def _seen_folder(folder: Path | None, names: Sequence[str]) -> SeenFolder | None:
    if folder is None:
        return None
    from ..vision.model_inputs import SeenFolder

    return SeenFolder(folder, [name for name in names if name != "-"])


def _read_one(
    classifier: Classifier, name: str, source: str | bytes, as_json: bool
) -> tuple[str, list[NDArray[np.uint8]]]:
    """Return the line to print, and what the model saw."""
    detection = classifier.see(source)
    prediction = detection.prediction
    line = _json_line(name, prediction) if as_json else f"{name}: {_words(prediction)}"
    return line, [] if detection.image is None else [detection.image]


def _words(prediction: Prediction) -> str:
    if prediction.digit is None:
        return f"no digit ({prediction.reason})"
    return f"{prediction.label} ({percent(prediction.confidence)})"


def _json_line(name: str, prediction: Prediction) -> str:
    return json.dumps({"image": name, **prediction_json.of_one(prediction)})


def _read_many(
    classifier: Classifier, name: str, source: str | bytes, as_json: bool
) -> tuple[str, list[NDArray[np.uint8]]]:
    """Return the line to print, and what the model saw; ? stands for what is no digit to it."""
    detections = classifier.predict_many(source)
    seen = [detection.image for detection in detections if detection.image is not None]
    if as_json:
        return json.dumps({"image": name, **prediction_json.of_many(detections)}), seen
    predictions = [detection.prediction for detection in detections]
    digits = prediction_json.digits(detections)
    confidences = ", ".join(percent(prediction.confidence) for prediction in predictions)
    return f"{name}: {digits} ({confidences})" if digits else f"{name}: no digit", seen


def _standard_input(stream: IO[bytes]) -> bytes:
    """Return what comes in, unless it is more than a picture and may have no end."""
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ImageError(
            f"Expected a picture of at most {MAX_BYTES // 10**6} MB on standard input, got more; "
            f"make it smaller first."
        )
    return content


def _sources(images: tuple[str, ...]) -> Iterator[tuple[str, str | bytes]]:
    """Yield each picture's name and what to read it from."""
    for image in images:
        path = Path(image)
        if image == "-":
            if sys.stdin is None:
                raise ImageError("Expected a picture on standard input, got none: it is closed.")
            yield "-", _standard_input(sys.stdin.buffer)
        elif path.is_dir():
            pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
            if not pictures:
                raise ImageError(f"Expected pictures in the folder {image}, got none.")
            yield from ((str(picture), str(picture)) for picture in pictures)
        else:
            yield image, image


@cli.command(short_help="Accuracy of every file on a test set.")
@click.argument("model", required=False, type=click.Path())
@click.option(
    "--data", default="auto", show_default=True, help="auto, mnist, synthetic, paper or a path."
)
@click.option("--limit", type=click.IntRange(1), help="Only the first N images.")
@_backend("all that are installed")
@_scaling
@click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")
def evaluate(
    model: str | None,
    data: str,
    limit: int | None,
    backend: str | None,
    scaling: Scaling | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of every file of MODEL on a test set, in every runtime here.

    How a file without a manifest takes its pixels is tried on 500 labelled images first. With
    --data paper the file that `predict` would use reads drawn photographs, whole pictures.
    """
    from .. import datasets, evaluation
    from ..classifier import Classifier, choose
    from ..foreign_models import scaling_search

    artifacts = _artifacts(model, scaling)
    best = choose(artifacts, backend=backend)
    if data == "paper":
        _evaluate_pictures(Classifier.from_artifact(*best), limit, as_json)
        return
    pairs = list(evaluation.pairs(artifacts, backend))
    source = datasets.find(data, splits=("test",), own=True)
    size = Classifier.from_artifact(*best).spec.size
    split = datasets.load(source, "test", limit=limit, shape=size)
    pairs, trials = scaling_search.settle(pairs, source, split)
    results = _evaluations(pairs, split)
    if as_json:
        click.echo(json.dumps(_evaluation_json(split.name, results, trials)))
        return
    click.echo(f"{split.name}, {len(split.images):,} images\n")
    for found in trials:
        click.echo(f"{found.text}\n")
    rows = [[r.artifact.path.name, r.backend, percent(r.accuracy), str(r.errors)] for r in results]
    click.echo(table(("file", "backend", "accuracy", "errors"), rows))
    preferred = (best[0].path, best[1].backend)
    chosen = next((r for r in results if (r.artifact.path, r.backend) == preferred), results[0])
    click.echo(f"\nConfusion of {chosen.artifact.path.name} on {chosen.backend} on {split.name}")
    click.echo("(rows: the true digit; columns: the digit read)\n")
    others = chosen.confusion[:, 10:].sum(axis=1)
    more = chosen.confusion.shape[1] > 10
    counts = [
        [str(digit), *map(str, row[:10]), *([str(others[digit])] if more else [])]
        for digit, row in enumerate(chosen.confusion)
    ]
    click.echo(table(("", *map(str, range(10)), *(["other"] if more else [])), counts))


def _evaluate_pictures(classifier: Classifier, limit: int | None, as_json: bool) -> None:
    """Print how many of the drawn photographs are read rightly, a condition a row."""
    from edge_mnist_export.data import drawn_photographs

    from ..evaluation import read_pictures

    counts = read_pictures(classifier, drawn_photographs.pictures(limit or drawn_photographs.COUNT))
    pictures, right, refused = (sum(column) for column in zip(*counts.values(), strict=True))
    result: dict[str, Any] = {"file": classifier.artifact.name, "backend": classifier.backend}
    if as_json:
        conditions = {name: right / count for name, (count, right, _) in counts.items()}
        result |= {"accuracy": right / pictures, "errors": pictures - right, "refused": refused}
        result["conditions"] = conditions
        document = {"data": drawn_photographs.NAME, "images": pictures, "results": [result]}
        click.echo(json.dumps(document))
        return
    click.echo(f"{drawn_photographs.NAME}, {pictures:,} pictures")
    click.echo(f"{classifier.artifact.name} on {classifier.backend}\n")
    rows = [
        [name, str(count), percent(right / count), str(refused)]
        for name, (count, right, refused) in counts.items()
    ]
    rows.append(["all", str(pictures), percent(right / pictures), str(refused)])
    click.echo(table(("condition", "pictures", "accuracy", "refused"), rows))


def _evaluations(
    pairs: Sequence[tuple[Artifact, Runtime]], split: datasets.Split
) -> list[Evaluation]:
    """Evaluate every pair; a file that one runtime cannot load is no reason to leave the rest."""
    from ..evaluation import evaluate

    results, refusals = [], []
    for artifact, runtime in pairs:
        try:
            results.append(evaluate(artifact, runtime, split))
        except ModelError as error:
            refusals.append(error)
    if not results:
        raise refusals[0]
    for refusal in refusals:
        click.echo(f"edge-mnist: warning: {refusal}", err=True)
    return results


def _evaluation_json(
    data: str, results: Sequence[Evaluation], trials: Sequence[Trial]
) -> dict[str, Any]:
    inputs = {trial.artifact.path: {"input": trial.document} for trial in trials}
    return {
        "data": data,
        "images": results[0].images,
        "results": [
            {
                "file": result.artifact.path.name,
                "backend": result.backend,
                "accuracy": result.accuracy,
                "errors": result.errors,
                **inputs.get(result.artifact.path, {}),
            }
            for result in results
        ],
    }


@cli.command(short_help="What a prediction costs here.")
@click.argument("models", metavar="[MODEL]...", nargs=-1, type=click.Path())
@_backend("all that are installed")
@_scaling
@click.option(
    "--threads", default="1", show_default=True, callback=_threads, help="Counts, such as 1,2."
)
@click.option("--quick", is_flag=True, help="A first look, in under 20 seconds.")
@click.option("--runs", type=click.IntRange(10), help="Time so many predictions a row.")
@click.option(
    "--duration", metavar="TIME", callback=_seconds, help="Sustained load for 30s, 10m, 1h."
)
@click.option("--json", "json_file", type=_FILE, help="Write the results and raw samples here.")
@click.option("--csv", "csv_file", type=_FILE, help="Write a line a row here.")
@click.option("--html", "html_file", type=_FILE, help="Write a report with plots here.")
def benchmark(
    models: tuple[str, ...],
    backend: str | None,
    scaling: Scaling | None,
    threads: tuple[int, ...],
    quick: bool,
    runs: int | None,
    duration: float | None,
    json_file: Path | None,
    csv_file: Path | None,
    html_file: Path | None,
) -> None:
    """Measure what a prediction costs here, each file and runtime in a process of its own.

    All take turns, so that what drifts hits all alike. Exits with 1 where a row failed; what
    could be measured is printed and written all the same.
    """
    from ..benchmark import suite
    from ..benchmark.plan import make_plan
    from ..benchmark.text_report import as_text
    from ..evaluation import pairs
    from ..system.files import check_writable, write_atomically

    if quick + (runs is not None) + (duration is not None) > 1:
        raise click.UsageError("Expected one of --quick, --runs and --duration, got several.")
    artifacts = [a for model in models or (None,) for a in _artifacts(model, scaling)]
    for file in filter(None, (json_file, csv_file, html_file)):
        check_writable(file)
    jobs = [(a, r, t) for a, r in pairs(artifacts, backend) for t in threads]
    plan = make_plan(quick=quick, runs=runs, duration_s=duration, rows=len(jobs))
    with _progress() as show:
        document = suite.run(jobs, plan=plan, show=show)
    click.echo(as_text(document))
    for file, content in suite.report_files(
        document, json_file=json_file, csv_file=csv_file, html_file=html_file
    ):
        write_atomically(file, content)
        click.echo(f"Wrote {file}", err=True)
    if document["failed"]:
        raise GateError(
            f"Expected {len(jobs)} rows, got {len(document['failed'])} that failed; "
            f"their reasons stand above."
        )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """Yield what shows how much of the work is done, in [0, 1], and what is being done."""
    steps = 1000
    with click.progressbar(
        length=steps,
        label="Measuring",
        file=sys.stderr,
        hidden=_quiet(),
        item_show_func=lambda what: what,
    ) as bar:

        def show(fraction: float, what: str) -> None:
            bar.update(int(fraction * steps) - bar.pos, what)

        yield show
        show(1.0, "")


def _quiet() -> bool:
    return not sys.stderr.isatty()


@cli.command(short_help="Compare two benchmark files.")
@click.argument("old", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("new", metavar="B.json", type=click.Path(path_type=Path))
@click.option(
    "--fail-over",
    metavar="N%",
    default="10%",
    show_default=True,
    help="Exit with 1 where a median has become slower than this.",
)
def compare(old: Path, new: Path, fail_over: str) -> None:
    """Compare two benchmark files; exit with 1 where B is slower than A by more than a limit.

    A change counts where its 99 % interval, and that of the quietest tenth of the rounds, lie
    beyond the limit.
    """
    from ..benchmark.compare import compare as compare_files

    limit = _fraction(fail_over)
    comparison = compare_files(old, new)
    for warning in comparison.warnings:
        click.echo(f"edge-mnist: warning: {warning}", err=True)
    click.echo(comparison.text(limit))
    comparison.check(limit)


def _fraction(text: str) -> float:
    """Return "5%" as 0.05."""
    try:
        value = float(text.removesuffix("%")) / 100 if text.endswith("%") else -1.0
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise click.BadParameter(f"expected a limit such as 5%, got {text!r}.")
    return value


@cli.command(short_help="A page to draw a digit on, and an API.")
@_model
@_backend("all that are installed")
@_scaling
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for all networks.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--token",
    envvar="EDGE_MNIST_TOKEN",
    show_envvar=True,
    help="What to ask of every request; made beyond this machine where none is given.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="A page elsewhere that may ask, such as https://example.org.",
)
@click.option("--benchmark", type=_FILE, help="A file of `benchmark --json`.  [default: newest]")
@click.option("--quiet", is_flag=True, help="Log no requests.")
def serve(
    model: str | None,
    backend: str | None,
    scaling: Scaling | None,
    host: str,
    port: int,
    token: str | None,
    origins: tuple[str, ...],
    benchmark: Path | None,
    quiet: bool,
) -> None:
    """Serve a page to draw a digit on, a JSON API and the Open Inference Protocol.

    Only this machine can ask; with --host others can too, who have the token. Pictures are never
    kept. SIGHUP loads the model again, SIGTERM stops.
    """
    from importlib.util import find_spec

    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ServeError(
            f"Expected {' and '.join(missing)} to serve with, got none installed; install with: "
            f"pip install 'edge-mnist[serve]'"
        )
    from ..serve import server
    from ..serve.models import Source

    server.serve(
        Source(model, backend, scaling),
        server.Place(host, port, token, origins),
        benchmark=benchmark,
        log=not quiet,
    )


@cli.command(short_help="What this machine can run, and what to install.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def doctor(as_json: bool) -> None:
    """Say what this machine can run, and what to install."""
    from ..backends.diagnosis import diagnose, text

    diagnosis = diagnose()
    click.echo(json.dumps(diagnosis, indent=1) if as_json else text(diagnosis))
