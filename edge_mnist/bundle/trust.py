"""Trusted keys in; whether one of them signed a manifest out.

Keys are files `*.pub` in the folders of `manifest.key_folders`, or what the caller names instead.
This module is imported only where there is a key to trust.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from ..errors import BundleError
from .minisign import (
    MAX_BYTES,
    PublicKey,
    Signature,
    SignatureFile,
    parse_key,
    parse_key_file,
    parse_signature,
)

if TYPE_CHECKING:
    from os import PathLike

    File = str | PathLike[str]
    # None stands for the folders, False for no question about signatures.
    Trust = File | Sequence[File] | Literal[False] | None

_SUFFIX = ".pub"


def trusted_keys(trust: Trust, folders: Sequence[str]) -> tuple[PublicKey, ...]:
    """Return the keys that a caller trusts, or else those in the folders that exist.

    Args:
        trust: the path of a `.pub` file, of a folder of them, the base64 text of a key, or a
            sequence of these; None for the folders.
        folders: the folders of keys of this user and this machine.

    Raises:
        BundleError: a key or a folder cannot be read, or `trust` names no key.
    """
    if trust is None:
        return tuple(key for folder in folders for key in _folder_keys(folder))
    given = [trust] if isinstance(trust, str | os.PathLike) else trust
    try:
        keys = tuple(key for one in given or () for key in _given_keys(one))
    except TypeError:  # No sequence, or none of paths and texts.
        keys = ()
    if not keys:
        raise BundleError(
            f"Expected a trusted key (a .pub file, a folder of them, or the text of a key), got "
            f"none in {str(trust)[:200]!r}; make one with: edge-mnist keygen",
            code="bundle-trust",
        )
    return keys


def read_signature(path: str) -> SignatureFile | None:
    """Return the parsed signature file; None if there is none.

    Raises:
        BundleError: it cannot be read, or is not one of minisign's.
    """
    if not os.path.lexists(path):
        return None
    try:
        return parse_signature(_content(path))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"Expected a signature of minisign in {path}, got {_reason(error)}; copy the bundle "
            f"again.",
            code="bundle-signature",
        ) from error


def check_signature(
    content: bytes, path: str, keys: Sequence[PublicKey], *, folders: Sequence[str]
) -> Signature:
    """Return the signature of a manifest's bytes.

    Args:
        content: the manifest's bytes.
        path: its signature file.
        keys: the trusted keys.
        folders: the folders of trusted keys, for messages.

    Raises:
        BundleError: there is no signature, it is wrong, or none of the keys made it.
    """
    found = read_signature(path)
    folder = os.path.dirname(path)
    if found is None:
        raise BundleError(
            f"Expected a bundle that a trusted key signed, got {folder} without a signature; sign "
            f"it with: edge-mnist sign {folder} --key KEY",
            code="bundle-unsigned",
        )
    named = [key for key in keys if key.id == found.id]
    if not named:
        raise BundleError(
            f"Expected a bundle signed by {key_list(keys)}, got {folder}, signed by the key "
            f"{found.key_id}, which you do not trust; to trust it, put its .pub file into "
            f"{folders[0]}, or name it with --trust",
            code="bundle-key",
        )
    if not any(found.verify(content, key) for key in named):
        raise BundleError(
            f"Expected the signature of {folder} to fit its manifest, got one of other content; "
            f"copy the bundle again, or sign it again.",
            code="bundle-signature",
        )
    return found.verified


def refuse_foreign(path: str, trust: Trust, folders: Sequence[str]) -> None:
    """Refuse a model file without a manifest, if a key is trusted.

    Raises:
        BundleError: it is.
    """
    if keys := trusted_keys(trust, folders):
        raise BundleError(
            f"Expected a bundle signed by {key_list(keys)}, got the file {path}, which no manifest "
            f"lists; make a bundle of it with: edge-mnist bundle",
            code="bundle-unsigned",
        )


def key_list(keys: Sequence[PublicKey]) -> str:
    """Return the numbers of keys for a message."""
    if not keys:
        return "a key that you trust (there is none)"
    ids = list(dict.fromkeys(key.key_id for key in keys))
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return f"the trusted key {', '.join(ids[:5])}{more}"


def _given_keys(given: File) -> Iterator[PublicKey]:
    path = os.fspath(given)
    if isinstance(given, str):
        try:
            yield parse_key(given.strip())
            return
        except ValueError:
            pass  # Then it is a path.
    if os.path.isdir(path):
        yield from _folder_keys(path)
    else:
        yield _read_key(path)


def _folder_keys(folder: str) -> list[PublicKey]:
    """Return the keys of a folder; none if it does not exist."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    except (FileNotFoundError, NotADirectoryError) as error:
        if not os.path.lexists(folder):
            return []
        raise _unreadable(folder, error) from error
    except OSError as error:
        raise _unreadable(folder, error) from error
    return [_read_key(os.path.join(folder, name)) for name in names]


def _unreadable(folder: str, error: OSError) -> BundleError:
    return BundleError(
        f"Expected to read the folder of trusted keys {folder}, got: {error.strerror}; give this "
        f"user the right to read it, or set XDG_CONFIG_HOME to another folder.",
        code="bundle-trust",
    )


def _read_key(path: str) -> PublicKey:
    try:
        return parse_key_file(_content(path))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"Expected a public key of minisign at {path[:200]!r}, got {_reason(error)}; replace "
            f"or delete it.",
            code="bundle-trust",
        ) from error


def _content(path: str) -> bytes:
    """Return a file's bytes, at most one more than is parsed."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("no regular file")  # Reading a pipe would wait.
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    return "text that is not UTF-8" if isinstance(error, UnicodeError) else str(error)
