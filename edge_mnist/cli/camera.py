"""edge-mnist camera."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from ..system.strict_json import to_json
from .options import (
    backend_option,
    json_option,
    latest_option,
    load_classifier,
    model_option,
    scaling_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..bundle.model_spec import Scaling
    from ..camera.frame import Source
    from ..camera.reading import Reading
    from ..classifier import Classifier


def _size(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", value)
    if not found:
        raise click.BadParameter(f"expected a size such as 640x480, got {value!r}.")
    return int(found[1]), int(found[2])


@click.command(
    short_help="Read digits live, from a camera or a clip.",
    epilog="\b\nExamples:"
    "\n  edge-mnist camera"
    "\n  edge-mnist camera /dev/video2 --serve"
    "\n  edge-mnist camera clip.mjpeg --json",
)
@click.argument("source", required=False)
@model_option
@latest_option
@backend_option("the best installed")
@scaling_options
@trust_option
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--size",
    default="640x480",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    callback=_size,
    help="Asked of the camera.",
)
@click.option(
    "--stable",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="The answer changes when so many frames in a row agree.",
)
@click.option("--serve", is_flag=True, help="Show the camera on a page instead of in a window.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for all networks.")
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True)
@click.option("--no-window", is_flag=True, help="Only lines, also where there is a display.")
@json_option(help="A line of JSON for each change of the answer; no window.")
@click.option("--benchmark", is_flag=True, help="Time a clip: frames a second, by stage.")
def camera(
    source: str | None,
    model: str | None,
    latest: bool,
    backend: str | None,
    scaling: Scaling | None,
    trust: tuple[str, ...] | None,
    threads: int,
    size: tuple[int, int],
    stable: int,
    serve: bool,
    host: str,
    port: int,
    no_window: bool,
    as_json: bool,
    benchmark: bool,
) -> None:
    """Read digits live. SOURCE is a device, picamera2, or a clip: a video, or a folder of frames.

    Without SOURCE it is the first USB camera, otherwise the camera module. Frames with box, digit
    and frames a second are shown in a window where there is a display. Each change of the answer
    is a line on stdout.
    """
    from ..camera.source import find_source
    from ..camera.watch import Watch
    from ..camera.window import has_display
    from ..serve.settings import ServerOptions

    if serve + no_window + benchmark > 1:
        raise click.UsageError("Expected one of --serve, --no-window and --benchmark, got several.")
    found = find_source(source, size=size)
    if benchmark and found.live:
        raise click.UsageError("Expected a clip for --benchmark, got a camera.")
    classifier = load_classifier(
        model, latest=latest, backend=backend, scaling=scaling, trust=trust, threads=threads
    )
    if benchmark:
        _benchmark(found, classifier, as_json=as_json)
        return

    def line(reading: Reading) -> None:
        click.echo(to_json(reading.to_json()) if as_json else reading.text())

    watch = Watch(found, classifier, stable=stable, line=line, say=_say)
    try:
        if serve:
            watch.on_page(ServerOptions(host, port))
        elif as_json or no_window or not has_display():
            watch.as_lines()
        else:
            watch.in_window()
    except KeyboardInterrupt:
        # A camera has no end, so Ctrl-C and systemd's SIGTERM are its usual ones. A clip was not
        # read to its end.
        if not (found.live or serve):
            raise


def _say(text: str) -> None:
    click.echo(text, err=True)


def _benchmark(clip: Source, classifier: Classifier, *, as_json: bool) -> None:
    from ..camera.timing import measure

    timing = measure(clip, classifier)
    click.echo(to_json(timing.to_json()) if as_json else timing.text())
