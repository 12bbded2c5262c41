"""The group of all commands, and the exit status of each error."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..errors import EdgeMnistError
from ..system.verbosity import is_verbose, set_verbose
from .benchmark import benchmark
from .camera import camera
from .compare import compare
from .doctor import doctor
from .evaluate import evaluate
from .host import HOST_COMMANDS, load_host_command
from .inspect import inspect
from .predict import predict
from .report import report
from .serve import serve
from .verify import verify

DEVICE_COMMANDS = (
    *(evaluate, predict, camera, inspect, benchmark, compare, report, serve),
    *(verify, doctor),
)
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a gate failed, 2 bad use or bad input."""
    for stream in (sys.stdout, sys.stderr):
        # Characters that the terminal's encoding lacks are escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(args=arguments, prog_name="edge-mnist", standalone_mode=False)
    except EdgeMnistError as error:
        _fail(str(error), error.exit_status)
    except click.Abort:
        _fail("interrupted", 130)
    except click.ClickException as error:
        _fail(f"{error.format_message()} Try: {_command_path(error)} --help", 2)
    except ImportError as error:
        library = _MISSING_LIBRARY.search(str(error))
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
    if is_verbose() and sys.exc_info()[0] is not None:
        import traceback

        traceback.print_exc()
    click.echo(f"edge-mnist: error: {' '.join(message.split())}", err=True)
    sys.exit(status)


def _command_path(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context else "edge-mnist"
