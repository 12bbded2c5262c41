"""The name "installed" in; the folder of the bundle that the store's link leads to, out.

A store is a folder that `edge_mnist.store` writes:

    current -> generations/3                     moved by `install` and `rollback`
    generations/3 -> ../versions/272d2b5d…       one link for each installation
    versions/272d2b5d…/manifest.json …           a bundle, named after its manifest's SHA-256
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import BundleError

if TYPE_CHECKING:
    from os import PathLike

    File = str | PathLike[str]

VARIABLE = "EDGE_MNIST_STORE"
CURRENT, GENERATIONS, VERSIONS = "current", "generations", "versions"
# Digits of a SHA-256 in hexadecimal, and those of them that are shown.
HASH_DIGITS, SHOWN_DIGITS = 64, 12


def store_folder() -> str:
    """Return the store's folder: $EDGE_MNIST_STORE, else `edge-mnist/store` of the user's data."""
    if given := os.environ.get(VARIABLE):
        return given
    data = os.environ.get("XDG_DATA_HOME", "")
    # A relative path there is to be ignored: XDG Base Directory Specification 0.8.
    if not os.path.isabs(data):
        data = os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "edge-mnist", "store")


def installed_folder() -> str:
    """Return the real folder of the current version.

    The links are followed once. Whatever moves them later, the manifest and the files of this
    folder belong together.

    Raises:
        BundleError: nothing is installed.
    """
    store, target = store_folder(), None
    link = os.path.join(store, CURRENT)
    while True:
        try:
            last, target = target, os.readlink(link)
            return os.path.realpath(os.path.join(store, target), strict=True)
        except OSError as error:
            # An install may have deleted the version meanwhile: then the link has moved.
            if target is None or target == last:
                raise BundleError(
                    f"Expected an installed bundle in the store {store}, got: {error.strerror}; "
                    f"install one with: edge-mnist install BUNDLE, or name another store with "
                    f"{VARIABLE}.",
                    code="bundle-not-installed",
                ) from error


def installed_version(folder: File) -> str | None:
    """Return the first digits of the hash, if a folder is a version in a store; otherwise None."""
    versions, name = os.path.split(folder)
    store, room = os.path.split(versions)
    if room != VERSIONS or len(name) < HASH_DIGITS or not name[:HASH_DIGITS].isalnum():
        return None
    return name[:SHOWN_DIGITS] if os.path.isdir(os.path.join(store, GENERATIONS)) else None
