"""The group of all commands, and the exit status of each error."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from .. import __version__
from ..errors import EdgeMnistError, OutputError
from ..system.interruption import interruptible
from ..system.temporary import scratch_folder
from ..system.verbosity import is_verbose, set_verbose
from .benchmark import benchmark
from .camera import camera
from .compare import compare
from .doctor import doctor
from .evaluate import evaluate
from .host import HOST_COMMANDS, load_host_command
from .inspect import inspect
from .install import install
from .installed import installed
from .predict import predict
from .report import report
from .rollback import rollback
from .score import score
from .serve import serve
from .verify import verify

DEVICE_COMMANDS = (
    *(evaluate, predict, score, camera, inspect, benchmark, compare, report, serve),
    *(verify, install, rollback, installed, doctor),
)
# Device commands with processes of their own. Like the host's frameworks, these have temporary
# files, which stay when the process is killed.
_WITH_TEMPORARY_FILES = ("benchmark", "inspect", "report")
# The message of the system's loader, whichever package raises it.
_MISSING_LIBRARY = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")


def _set_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        set_verbose()


_VERBOSE = click.Option(
    ["-v", "--verbose"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_set_verbose,
    help="Also what libraries print, and the traceback of an error.",
)


class _Commands(click.Group):
    """The device commands, and the host commands if their package is installed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*HOST_COMMANDS, *(str(command.name) for command in DEVICE_COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in HOST_COMMANDS:
            command: click.Command | None = load_host_command(cmd_name)
        else:
            command = super().get_command(ctx, cmd_name)
        if command and _VERBOSE not in command.params:
            command.params.append(_VERBOSE)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest a name for a mistyped command; click before 8.4 does not."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    commands=list(DEVICE_COMMANDS),
    invoke_without_command=True,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    epilog="\b\nExamples:\n  edge-mnist quickstart\n  edge-mnist predict photo.jpg",
)
@click.version_option(__version__, prog_name="edge-mnist")
@click.pass_context
def cli(context: click.Context) -> None:
    """Train a digit classifier, export it, and run and measure it on a small device."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    if context.invoked_subcommand in (*HOST_COMMANDS, *_WITH_TEMPORARY_FILES):
        context.with_resource(scratch_folder())


def run(arguments: Sequence[str] | None) -> NoReturn:
    """Run the command line and exit; as `edge_mnist.cli.main`."""
    caught: BaseException | None = None
    status: object = None
    with interruptible(until_exit=arguments is None) as interruption:
        try:
            _prepare_streams()
            status = cli.main(args=arguments, prog_name="edge-mnist", standalone_mode=False)
            sys.stdout.flush()
        except BaseException as error:  # noqa: BLE001 - raised again below if it is a bug
            caught = error
    if caught:
        # Any exception may stem from the signal, such as from an import that it cut off.
        by_signal = (str(interruption), interruption.exit_status) if interruption.number else None
        explained = by_signal or _explain(caught)
        if explained is None:
            raise caught
        status = explained[1]
        _print_error(explained[0], caught)
    if arguments is None:
        _discard_unwritten()
        if caught and not is_verbose():
            # What fails while the interpreter ends, such as on a broken disk, has the same cause.
            sys.unraisablehook = lambda _: None
    sys.exit(status if isinstance(status, int) else 0)


def _explain(error: BaseException) -> tuple[str, int] | None:
    """Return the message and the exit status of an error; None for a bug."""
    if isinstance(error, EdgeMnistError):
        return str(error), error.exit_status
    if isinstance(error, click.Abort):
        return "interrupted", 130
    if isinstance(error, click.ClickException):
        return f"{error.format_message()} Try: {_command_path(error)} --help", 2
    if isinstance(error, ImportError):
        library = _MISSING_LIBRARY.search(str(error))
        return library and (
            f"Expected the system's library {library[1]}, got none; on Raspberry Pi OS those that "
            f"numpy and Pillow need come with: sudo apt install python3-numpy python3-pil "
            f"libopenblas0",
            2,
        )
    if isinstance(error, OSError):
        place = error.filename or "the output"
        return f"Expected to read or write {place}, got: {error.strerror or error}.", 2
    return None


def _print_error(message: str, error: BaseException) -> None:
    # A stderr that cannot be written to leaves the exit status alone.
    with contextlib.suppress(OSError):
        if is_verbose():
            import traceback

            traceback.print_exception(error)
        click.echo(f"edge-mnist: error: {' '.join(message.split())}", err=True)


def _prepare_streams() -> None:
    """Open closed standard streams on the null device: a model file must not become one of them.

    Raises:
        OutputError: stdout is closed, so that results would be lost.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    if sys.stdout is None:
        raise OutputError(
            "Expected an open standard output, got a closed one; send it to a file or to "
            f"{os.devnull}.",
            code="output-closed",
        )
    for stream in (sys.stdout, sys.stderr):
        # Characters that the terminal's encoding lacks are escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_unwritten() -> None:
    """Send what a full or broken stdout did not take nowhere; Python would report it again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command_path(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context else "edge-mnist"
