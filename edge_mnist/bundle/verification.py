"""A bundle's folder in; who signed it, and whether every file is the one it lists, out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BundleError, GateError
from ..system.version import __version__
from .manifest import RELEASE_KEY, SIGNATURE, is_shipped, key_folders, read_manifest, resolve
from .manifest import sha256 as hash_of
from .minisign import Signature
from .trust import check_signature, read_signature, trusted_keys

if TYPE_CHECKING:
    from .trust import Trust

# Codes of the errors that say who did not sign.
_UNTRUSTED = ("bundle-unsigned", "bundle-key", "bundle-signature")


class FileCheck(NamedTuple):
    """A file that the manifest lists; `problem` is None if it has that size and hash."""

    file: str
    size_bytes: int | None
    sha256: str
    problem: str | None


class Verification(NamedTuple):
    """What `verify` found.

    Attributes:
        folder: the bundle's folder.
        signature: the signature of a trusted key, or for a shipped bundle of the release key.
        claimed_key: the number of the key that the signature file names, if there is one; unless
            `signature` is set, that proves nothing.
        problem: why there is no `signature`.
        files: every file that the manifest lists.
    """

    folder: str
    signature: Signature | None
    claimed_key: str | None
    problem: BundleError | None
    files: tuple[FileCheck, ...]

    @property
    def verified(self) -> bool:
        """Whether a trusted key signed the bundle and every file is the one it lists."""
        return self.signature is not None and not self.wrong

    @property
    def wrong(self) -> list[FileCheck]:
        """The files with another size or hash, and those that are missing."""
        return [file for file in self.files if file.problem]

    def check(self) -> None:
        """Raise unless it is verified.

        Raises:
            GateError: it is not.
        """
        if self.problem:
            raise GateError(str(self.problem), code=self.problem.code)
        if self.wrong:
            raise GateError(
                f"Expected the {len(self.files)} files of {self.folder} as they were signed, got "
                f"{len(self.wrong)} that are not; copy the bundle again.",
                code="gate-verify",
            )

    def text(self) -> str:
        """Return what was found, for a terminal."""
        signer = {
            "bundle-unsigned": "nobody",
            "bundle-key": f"{self.claimed_key}, which you do not trust",
            "bundle-signature": "nobody: the signature is wrong",
        }
        lines = [f"{'verified' if self.verified else 'NOT VERIFIED'}: {self.folder}"]
        if self.problem:
            intact = "fits the manifest, for which nobody vouches"
            lines.append(f"signed by: {signer[self.problem.code]}")
        if self.signature:
            intact = "as signed"
            lines.append(f"signed by: {self.signature.key_id}")
            lines.append(f"comment: {_printable(self.signature.trusted_comment)}")
        width = max((len(file.file) for file in self.files), default=0)
        lines += [f"{file.file:<{width}}  {file.problem or intact}" for file in self.files]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return what was found, as JSON values."""
        return {
            "bundle": self.folder,
            "verified": self.verified,
            "signature": self.signature and self.signature._asdict(),
            "claimed_key": self.claimed_key,
            "problem": self.problem and str(self.problem),
            "files": [file._asdict() for file in self.files],
            "edge_mnist": __version__,
        }


def verify(folder: str, *, trust: Trust = None) -> Verification:
    """Check a bundle's signature, and the size and SHA-256 of every file that its manifest lists.

    Args:
        folder: the bundle's folder, or the name of a shipped one.
        trust: as for `read_bundle`.

    Raises:
        BundleError: it is no bundle, or a trusted key cannot be read.
    """
    folder = resolve(folder)
    folders, path = key_folders(), str(Path(folder, SIGNATURE))
    keys = trusted_keys(trust, folders)
    signature, problem = None, None
    try:
        if keys or is_shipped(folder):
            manifest, signature = read_manifest(folder, trust=trust if keys else RELEASE_KEY)
        else:
            manifest, _ = read_manifest(folder, trust=False)
            check_signature(b"", path, keys, folders=folders)  # Says whose key is missing.
    except BundleError as error:
        if error.code not in _UNTRUSTED:
            raise
        manifest, _ = read_manifest(folder, trust=False)
        problem = error
    return Verification(
        folder, signature, _claimed_key(path), problem, tuple(check_files(folder, manifest))
    )


def _claimed_key(path: str) -> str | None:
    try:
        found = read_signature(path)
    except BundleError:
        return None
    return found and found.key_id


def check_files(folder: str, manifest: Mapping[str, Any]) -> Iterator[FileCheck]:
    """Yield every file that a manifest lists: models, and programs of `export --format c,html`.

    Raises:
        BundleError: the manifest names no files, or files of other folders.
    """
    try:
        listed = list(_listed(manifest))
        if not listed:
            raise ValueError("no files")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleError(
            f"Expected the files of {folder} in its manifest, got a wrong or missing field "
            f"({repr(error)[:200]}); export the bundle again.",
            code="bundle-manifest",
        ) from error
    for file, size_bytes, digest in listed:
        problem = _problem(Path(folder, file), size_bytes, digest)
        yield FileCheck(file, size_bytes, digest, problem)


def _listed(manifest: Mapping[str, Any]) -> Iterator[tuple[str, int | None, str]]:
    """Yield path, size (None if it is not stated) and hash of each file."""
    for entry in manifest["artifacts"]:
        yield _own(entry["file"]), int(entry["size_bytes"]), str(entry["sha256"])
    for program in manifest.get("programs", ()):
        if "folder" in program:
            for name, digest in program["sha256"].items():
                yield _own(f"{program['folder']}/{name}"), None, str(digest)
        else:
            yield _own(program["file"]), int(program["size_bytes"]), str(program["sha256"])


def _own(name: str) -> str:
    """Return the path of a file in the bundle's folder; a manifest may name no other."""
    parts = name.split("/")
    if not all(parts) or {".", ".."} & {*parts} or not name.isprintable() or "\\" in name:
        raise ValueError(name[:80])
    return name


def _problem(path: Path, size_bytes: int | None, digest: str) -> str | None:
    try:
        if not path.is_file():
            return "missing"
        size = path.stat().st_size
        if size_bytes is not None and size != size_bytes:
            return f"{size:,} bytes instead of {size_bytes:,}"
        return None if hash_of(path.read_bytes()) == digest else "another SHA-256"
    except OSError as error:
        return str(error.strerror)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in text).replace("\t", "  ")
