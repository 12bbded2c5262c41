"""A bundle's manifest in, the HTML that a notebook shows out."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ..system.text_table import percent

_HEADER = ("size (bytes)", "accuracy", "agreement")
# Notebooks align a table's cells to the right: good for figures only.
_LEFT = 'style="text-align: left"'


def bundle_html(folder: str, manifest: Mapping[str, Any]) -> str:
    """Return the folder, the training data and a table of the files, as HTML."""
    rows = "".join(_row(entry) for entry in manifest["artifacts"])
    failed = "".join(
        f"<tr><td {_LEFT}>{escape(str(entry['file']))}</td><td colspan=3 {_LEFT}>failed: "
        f"{escape('; '.join(map(str, entry['reasons'])))}</td></tr>"
        for entry in manifest.get("failed", ())
    )
    header = f"<th {_LEFT}>file</th>" + "".join(f"<th>{name}</th>" for name in _HEADER)
    return (
        f"<p>{escape(folder)}{escape(_origin(manifest))}</p>"
        f"<table><thead><tr>{header}</tr></thead><tbody>{rows}{failed}</tbody></table>"
    )


def _origin(manifest: Mapping[str, Any]) -> str:
    trained_on = manifest.get("training", {}).get("data", {}).get("name")
    evaluated_on = manifest.get("evaluation", {}).get("data")
    parts = (
        trained_on and f"trained on {trained_on}",
        evaluated_on and f"tested on {evaluated_on}",
    )
    return "".join(f", {part}" for part in parts if part)


def _row(entry: dict[str, Any]) -> str:
    figures = (entry.get("accuracy"), entry.get("agreement"))
    cells = (
        f"{entry['size_bytes']:,}",
        *("" if figure is None else percent(figure) for figure in figures),
    )
    file = f"<td {_LEFT}>{escape(str(entry['file']))}</td>"
    return f"<tr>{file}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
