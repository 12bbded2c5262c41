"""Load mutated files in edge-mnist, in a process that may crash.

    python hostile_worker.py KIND SEED START END FOLDER BACKEND

KIND is tflite, onnx, bundle, manifest or picture; FOLDER holds the sound files. For each number
from START to END the file of SEED is made and tried. The number is printed before the trial, and
again with the outcome after it, so that a crash or a hang is known by its file.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from edge_mnist import Classifier
from edge_mnist.bundle import read_bundle
from edge_mnist.errors import BundleError, EdgeMnistError
from edge_mnist.foreign_models import sandbox
from tests.conftest import WHOLE
from tests.foreign_models.mutation import mutate

# Time limit of a file. Most take a few milliseconds.
SECONDS = 10.0
# Memory limit of the process.
GIBIBYTES = 4


def mutated(kind: str, seed: int, number: int, sound: list[bytes]) -> bytes:
    """Return file `number` of a seed."""
    random = Random(f"{kind} {seed} {number}")
    return mutate(kind, random.choice(sound), random, sound)


def run(kind: str, seed: int, numbers: range, folder: Path, backend: str) -> None:
    sound = [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
    form = {"bundle": "tflite", "manifest": "json"}.get(kind, kind)
    # A copy, because file descriptor 2 is redirected while a runtime starts.
    said = os.fdopen(os.dup(2), "w")
    with tempfile.TemporaryDirectory() as name, _trial(kind, Path(name), backend) as trial:
        for number in numbers:
            content = mutated(form, seed, number, sound)
            _say(f"{number}")
            faulthandler.dump_traceback_later(SECONDS, exit=True, file=said)
            _say(f"{number} {_outcome(trial, content)}")
            faulthandler.cancel_dump_traceback_later()


def _say(line: str) -> None:
    """Print a line at once: the process may crash next."""
    sys.stdout.write(ascii(line)[1:-1] + "\n")
    sys.stdout.flush()


def _outcome(trial: Callable[[bytes], None], content: bytes) -> str:
    try:
        trial(content)
    except EdgeMnistError as error:
        message = str(error)
        if message.count("\n") or not message.startswith("Expected ") or len(message) > 2000:
            return f"WRONG message: {message!r}"
        return f"refused {type(error).__name__}: {message}"
    except BaseException as error:  # noqa: BLE001 - any other exception is a failure
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"WRONG {type(error).__name__}: {str(error)!r:.300} at {where.name}:{where.lineno}"
    return "fine"


@contextlib.contextmanager
def _trial(kind: str, folder: Path, backend: str) -> Iterator[Callable[[bytes], None]]:
    import numpy as np

    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)

    def model(content: bytes) -> None:
        path = folder / f"m.{kind}"
        path.write_bytes(content)
        _predict(Classifier(path, backend=backend), image)

    def bundle(content: bytes) -> None:
        (folder / "model-int8.tflite").write_bytes(content)
        try:
            Classifier(folder, backend=backend)
        except BundleError:
            return
        same = content == (WHOLE / "model-int8.tflite").read_bytes()
        assert same, "a changed file passed for the manifest's"

    def manifest(content: bytes) -> None:
        (folder / "manifest.json").write_bytes(content)
        read_bundle(folder)
        _predict(Classifier(folder, backend=backend), image)

    if kind == "picture":
        yield Classifier(backend=backend).predict
        return
    if kind in ("bundle", "manifest"):
        shutil.copytree(WHOLE, folder, dirs_exist_ok=True)
    yield {"bundle": bundle, "manifest": manifest}.get(kind, model)


def _predict(classifier: Classifier, image: object) -> None:
    import numpy as np

    shape = classifier.spec.shape
    classifier.predict(image if shape == (28, 28) else np.full(shape, 9, np.uint8))  # type: ignore[arg-type]


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        size = GIBIBYTES << 30
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    kind, seed, start, end, folder, backend = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = "1"
    _limit_memory()
    # A child that hangs must be ended before this process is.
    sandbox.SECONDS = SECONDS / 2
    run(kind, int(seed), range(int(start), int(end)), Path(folder), backend)
