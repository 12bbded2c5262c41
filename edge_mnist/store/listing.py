"""A store in; its generations as JSON and as a table out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..bundle import PRECISIONS, SIGNATURE, Artifact, read_bundle
from ..bundle.installed import SHOWN_DIGITS
from ..bundle.provenance import DRAWN, Provenance, provenance
from ..bundle.trust import read_signature
from ..errors import BundleError
from ..system.text_table import percent, table
from .layout import Generation, Store

_HEADER = ("", "generation", "version", "model", "trained on", "accuracy", "key", "installed")


def document(store: Store) -> dict[str, Any]:
    """Return the generations, the oldest first, as `installed --json` prints them."""
    current = store.current()
    return {
        "store": str(store.folder),
        "current": current and current.number,
        "generations": [_entry(generation, current) for generation in store.generations()],
    }


def text(listed: Mapping[str, Any]) -> str:
    """Return the document as a table, with a line for each bundle that cannot be read."""
    generations = listed["generations"]
    if not generations:
        return f"Nothing is installed in {listed['store']}"
    errors = [
        f"\nGeneration {entry['generation']}: {entry['error']}"
        for entry in generations
        if entry["error"]
    ]
    return table(_HEADER, [_row(entry) for entry in generations]) + "".join(errors)


def preferred(folder: Path) -> Artifact:
    """Return the file of a bundle that a `Classifier` prefers."""
    artifacts = read_bundle(folder, trust=False).artifacts
    known = [a for p in PRECISIONS for a in artifacts if a.precision == p]
    return (known or artifacts)[0]


def _entry(generation: Generation, current: Generation | None) -> dict[str, Any]:
    """Return the JSON of a generation. `error` says why a bundle cannot be loaded here."""
    origin, key_id, error = Provenance(""), None, None
    try:
        origin = provenance(preferred(generation.folder))
        found = read_signature(str(generation.folder / SIGNATURE))
        key_id = found and found.key_id
        # A bundle that cannot be loaded here says why, in the words of the other commands.
        read_bundle(generation.folder)
    except BundleError as problem:
        error = str(problem)
    installed_at = datetime.fromtimestamp(int(generation.installed_at), UTC)
    return {
        "generation": generation.number,
        "current": generation == current,
        "manifest_sha256": generation.sha256,
        "folder": str(generation.folder),
        "model": origin.architecture,
        "trained_on": origin.trained_on,
        "accuracy": origin.accuracy,
        "accuracy_data": origin.accuracy_data,
        "key_id": key_id,
        "installed_at": installed_at.isoformat(),
        "error": error,
    }


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    trained_on, accuracy = entry["trained_on"], entry["accuracy"]
    drawn = trained_on is not None and trained_on.startswith(DRAWN)
    return (
        "*" if entry["current"] else "",
        str(entry["generation"]),
        entry["manifest_sha256"][:SHOWN_DIGITS],
        "unusable" if entry["error"] else entry["model"] or "not stated",
        f"{trained_on or 'not stated'}{' (drawn digits, not MNIST)' if drawn else ''}",
        "–" if accuracy is None else f"{percent(accuracy)} on {entry['accuracy_data']}",
        entry["key_id"] or "–",
        datetime.fromisoformat(entry["installed_at"]).astimezone().strftime("%Y-%m-%d %H:%M"),
    )
