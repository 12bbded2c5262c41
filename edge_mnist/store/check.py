"""A bundle in; its files loaded in the runtimes of this machine, and its examples read, out."""

from __future__ import annotations

from typing import NamedTuple

from ..backends.selection import pairs
from ..bundle import Bundle
from ..classifier import Classifier
from ..errors import BackendError, ModelError
from .examples import read_examples


class Checked(NamedTuple):
    """What this machine can run of a bundle.

    Attributes:
        loaded: each file that was loaded, with the runtime's name.
        refused: a message for each file that a runtime did not take.
        examples: the number of examples that every loaded file answered as the manifest states;
            None if it states none.
    """

    loaded: tuple[tuple[str, str], ...]
    refused: tuple[str, ...]
    examples: int | None = None


def check(bundle: Bundle, *, backend: str | None = None) -> Checked:
    """Load every file in every runtime that can, and compare its answers with the manifest.

    Args:
        bundle: its files have been verified.
        backend: the only runtime to use; None for all that are installed.

    Raises:
        ModelError, BackendError: no file can be loaded.
        BundleError: the examples are not what the manifest states.
        GateError: a file answers an example otherwise than the manifest states.
    """
    examples = read_examples(bundle)
    loaded, failures = [], []
    for artifact, runtime in pairs(bundle.artifacts, backend):
        try:
            classifier = Classifier.from_artifact(artifact, runtime)
        except (ModelError, BackendError) as error:
            failures.append(error)
            continue
        loaded.append((artifact.name, runtime.backend))
        if examples:
            examples.check(classifier)
    if not loaded:
        raise failures[0]
    count = len(examples.images) if examples else None
    return Checked(tuple(loaded), tuple(map(str, failures)), count)
