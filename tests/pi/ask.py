"""Answer commands, and write the raw outputs of bundles in every runtime, before dequantization.

All in one process: each start under emulation takes two seconds of imports.

python ask.py COMMANDS.json ANSWERS.json IMAGES.npy COUNT OUT.npz BUNDLE...

COMMANDS.json has by name the arguments of `edge-mnist`, or a script and its arguments.
ANSWERS.json gets by name (status, stdout, stderr).
"""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

import numpy as np

from edge_mnist.backends.selection import pairs
from edge_mnist.bundle import find_artifacts
from edge_mnist.classifier import Classifier
from edge_mnist.cli import main


def answer(command: list[str]) -> tuple[int, str, str]:
    """Run a command in this process; return its exit status and what it printed."""
    stdout, stderr, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            if command[0].endswith(".py"):
                sys.argv = command
                runpy.run_path(command[0], run_name="__main__")
            else:
                main(command)
        except SystemExit as end:
            status = end.code or 0
    return status, stdout.getvalue(), stderr.getvalue()


_, commands, answers, source, count, out, *bundles = sys.argv
asked = json.loads(Path(commands).read_text(encoding="utf-8"))
said = {name: answer(command) for name, command in asked.items()}
Path(answers).write_text(json.dumps(said), encoding="utf-8")
images = np.load(source)[: int(count)]
outputs = {}
for bundle in bundles:
    for artifact, runtime in pairs(find_artifacts(bundle), None):
        classifier = Classifier.from_artifact(artifact, runtime)
        parts = [classifier.session.run(classifier.encode(image[np.newaxis])) for image in images]
        name = f"{artifact.path.parent.name} {artifact.path.name} {runtime.backend}"
        outputs[name] = np.concatenate(parts)
np.savez(out, **outputs)
