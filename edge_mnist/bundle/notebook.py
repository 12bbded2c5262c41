"""A bundle's manifest in, the HTML that a notebook shows out."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ..system.text_table import percent
from .fields import text_value

_HEADER = ("size (bytes)", "accuracy", "agreement")
# Notebooks align a table's cells to the right: good for figures only.
_LEFT = 'style="text-align: left"'


def bundle_html(folder: str, manifest: Mapping[str, Any]) -> str:
    """Return the folder, the training data and a table of the files, as HTML."""
    rows = "".join(_row(entry) for entry in manifest["artifacts"])
    failed = manifest.get("failed")
    rows += "".join(map(_failed_row, failed if isinstance(failed, list) else ()))
    header = f"<th {_LEFT}>file</th>" + "".join(f"<th>{name}</th>" for name in _HEADER)
    return (
        f"<p>{escape(folder)}{escape(_origin(manifest))}</p>"
        f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _origin(manifest: Mapping[str, Any]) -> str:
    trained_on = text_value(manifest, "training", "data", "name")
    evaluated_on = text_value(manifest, "evaluation", "data")
    parts = (
        trained_on and f"trained on {trained_on}",
        evaluated_on and f"tested on {evaluated_on}",
    )
    return "".join(f", {part}" for part in parts if part)


def _failed_row(entry: object) -> str:
    """Return the row of a file that failed the gate; "" for anything else."""
    if not isinstance(entry, Mapping) or not isinstance(reasons := entry.get("reasons"), list):
        return ""
    return (
        f"<tr><td {_LEFT}>{escape(str(entry.get('file')))}</td><td colspan=3 {_LEFT}>failed: "
        f"{escape('; '.join(map(str, reasons)))}</td></tr>"
    )


def _row(entry: Mapping[str, Any]) -> str:
    figures = (entry.get("accuracy"), entry.get("agreement"))
    cells = (
        f"{int(entry['size_bytes']):,}",
        *(percent(one) if isinstance(one, float) else "" for one in figures),
    )
    file = f"<td {_LEFT}>{escape(str(entry['file']))}</td>"
    return f"<tr>{file}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
