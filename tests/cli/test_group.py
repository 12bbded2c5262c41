"""The group of commands: help, examples, suggestions and completion."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edge_mnist.cli import cli as group
from tests.conftest import REPOSITORY, Cli
from tests.errors import error_line

COMMAND = Path(sys.executable).with_name("edge-mnist")
DIGITS = REPOSITORY / "examples" / "digits"
COMMANDS = group.list_commands(click.Context(group))


def command_of(name: str) -> click.Command:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return command


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_h_is_help(cli: Cli, command: list[str]) -> None:
    short, long = (cli(*command, option).stdout for option in ("-h", "--help"))
    assert short == long
    assert "-h, --help" in short


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_help_ends_with_examples_that_parse(name: str) -> None:
    text = (command_of(name) if name else group).epilog or ""
    examples = re.findall(r"^  edge-mnist (.+)$", text, re.MULTILINE)
    assert 1 <= len(examples) <= 3, text
    for example in examples:
        used, *arguments = shlex.split(example)
        assert used == name or not name
        # Parses, converts and checks every argument, as a real call does.
        command_of(used).make_context(used, arguments, parent=click.Context(group))


def test_verbose_adds_the_traceback_and_quiet_takes_the_bar(cli: Cli, tmp_path: Path) -> None:
    missing = tmp_path / "none.png"
    plain = cli("predict", missing, status=2)
    assert "Traceback" not in plain.stderr
    for option in ("-v", "--verbose"):
        command = [COMMAND, "predict", option, missing]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "Traceback (most recent call last)" in done.stderr
        assert done.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]
    assert cli("predict", "-q", DIGITS / "7.png").stdout.startswith(f"{DIGITS / '7.png'}: 7 (")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean train? Try: edge-mnist --help"),
        (["exprot"], "No such command 'exprot'. Did you mean export? Try: edge-mnist --help"),
        (["bench"], "No such command 'bench'. Did you mean benchmark? Try: edge-mnist --help"),
        (["xyz"], "No such command 'xyz'. Try: edge-mnist --help"),
    ],
)
def test_a_mistyped_command_gets_a_suggestion(cli: Cli, arguments: list[str], message: str) -> None:
    assert error_line(cli(*arguments, status=2)) == message


@pytest.mark.parametrize(
    ("command", "option", "meant"),
    [("train", "--epohcs", "--epochs"), ("predict", "--jsno", "--json")],
)
def test_a_mistyped_option_gets_a_suggestion(
    cli: Cli, command: str, option: str, meant: str
) -> None:
    line = error_line(cli(command, option, "x", status=2))
    assert option in line and meant in line and "Did you mean" in line
    assert line.endswith(f" Try: edge-mnist {command} --help")


@pytest.mark.parametrize(
    ("line", "word", "completed"),
    [
        ("edge-mnist tr", "1", {"train"}),
        ("edge-mnist e", "1", {"export", "evaluate"}),
        ("edge-mnist train --ep", "2", {"--epochs"}),
    ],
)
def test_bash_completes_commands_and_options(
    cli: Cli, line: str, word: str, completed: set[str]
) -> None:
    env = {"_EDGE_MNIST_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": word}
    # Each line is a kind and a value.
    answers = cli(env=env).stdout.splitlines()
    assert {answer.removeprefix("plain,") for answer in answers} == completed


def test_the_line_that_the_documents_give_makes_a_script_for_bash(cli: Cli) -> None:
    script = cli(env={"_EDGE_MNIST_COMPLETE": "bash_source"}).stdout
    assert "complete -o nosort -F _edge_mnist_completion edge-mnist" in script


@pytest.mark.parametrize("arguments", [["-h"], ["predict", "none.png"], ["doctor"], ["trian"]])
def test_no_output_has_escape_sequences(cli: Cli, arguments: list[str]) -> None:
    status = 0 if arguments[0] in ("-h", "doctor") else 2
    for env in ({}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}):
        done = cli(*arguments, env=env, status=status)
        assert "\x1b" not in done.stdout + done.stderr
