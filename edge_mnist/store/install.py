"""A bundle in; a new current generation of the store out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..bundle import MANIFEST, find_artifacts, sha256
from ..errors import BundleError
from ..system.durability import flush_folder
from . import copying
from .check import Checked, check
from .downgrade import refuse_downgrade
from .layout import Generation, Store

if TYPE_CHECKING:
    from ..bundle import File, Trust

KEEP = 5


class Installation(NamedTuple):
    """The result of an install.

    Attributes:
        generation: the current generation.
        checked: what this machine can run of it; None if it was current already.
    """

    generation: Generation
    checked: Checked | None


def install(
    model: File,
    *,
    store: Store | None = None,
    keep: int = KEEP,
    backend: str | None = None,
    trust: Trust = None,
    allow_downgrade: bool = False,
) -> Installation:
    """Copy a bundle into the store, check the copy, and make it the current generation.

    Generations that a rollback left behind are deleted. After an error the store is as it was.

    Args:
        model: a bundle's folder, or the name of a shipped one.
        store: the store; None for that of the environment.
        keep: the number of generations to keep, the new one included; at least 1.
        backend: the only runtime to check with; None for all that are installed.
        trust: the keys of which one must have signed the bundle, as for `Classifier`.
        allow_downgrade: take a bundle whose signature is older than that of the current one.

    Raises:
        BundleError, ModelError, BackendError: the bundle is not whole, not signed by a trusted key,
            older than the current one, or cannot be run here.
        GateError: it answers its examples otherwise than its manifest states.
        OutputError: the store cannot be written to.
    """
    store = store or Store()
    source = _folder(model, trust)
    with store.locked():
        current = store.current()
        if current and copying.is_copy(current.folder, source):
            # Its install may have been killed between moving the link and flushing it.
            flush_folder(store.folder)
            return Installation(current, None)
        bundle = copying.copy(source, store.incoming, store=store.folder, trust=trust)
        if current and not allow_downgrade:
            refuse_downgrade(bundle, current, trust=trust)
        checked = check(bundle, backend=backend)
        generation = store.add(_place(store))
        try:
            # Before the link moves: from the new generation one goes back to what was in use.
            last = current.number if current else 0
            store.forget(*(g for g in store.generations() if last < g.number < generation.number))
            store.switch(generation)
        finally:
            if store.current() != generation:
                store.forget(generation)
        store.forget(*store.generations()[: -max(1, keep)])
    return Installation(generation, checked)


def _folder(model: File, trust: Trust) -> Path:
    """Return the folder of the bundle to install."""
    artifact = find_artifacts(model, trust=trust)[0]
    if artifact.spec is None:
        raise BundleError(
            f"Expected a bundle to install, got the file {artifact.file}, which has no manifest; "
            f"write a bundle of it with: edge-mnist bundle {artifact.file} --data PATH",
            code="bundle-no-manifest",
        )
    return artifact.path.parent


def _place(store: Store) -> Path:
    """Move a checked copy to the versions; return the folder of the same one if it is there."""
    name = digest = sha256((store.incoming / MANIFEST).read_bytes())
    number = 0
    # A damaged version stays for its generations: no folder is changed in place.
    while (store.versions / name).exists():
        if copying.is_copy(store.versions / name, store.incoming):
            return store.versions / name
        number += 1
        name = f"{digest}.{number}"
    return store.keep_incoming(name)
