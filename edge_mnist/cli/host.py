"""The host commands: plug-ins of the entry-point group `edge_mnist.commands`."""

from __future__ import annotations

import click

from ..errors import HostError
from ..system import install

PLUGINS = "edge_mnist.commands"
HOST_COMMANDS = {
    "quickstart": "The whole chain once, small: train, export, evaluate, benchmark.",
    "train": "Train a CNN and write a run folder.",
    "sweep": "Train many models by Ray Tune, and compare them.",
    "export": "Quantize and export a run as a verified bundle.",
    "bundle": "Verify a .tflite or .onnx file from elsewhere; write a bundle.",
    "keygen": "Make a key to sign bundles with.",
    "sign": "Sign a bundle.",
}


def load_host_command(name: str) -> click.Command:
    """Return a host command, or one that says how to install it."""
    from importlib.metadata import entry_points

    for plugin in entry_points(group=PLUGINS, name=name):
        command: click.Command = plugin.load()
        return command
    return _missing_command(name)


def _missing_command(name: str) -> click.Command:
    def callback() -> None:
        raise HostError(
            f"Expected the host package edge-mnist-export for `edge-mnist {name}`, which is not "
            f"installed; install it with: {install.HOST}.",
            code="host-missing",
        )

    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    help = f"{HOST_COMMANDS[name]} Needs: {install.HOST}"
    return click.Command(name, callback=callback, help=help, context_settings=settings)
