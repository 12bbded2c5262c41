"""An integer graph in; one HTML page that draws, reads and shows a digit out.

The page holds the weights, the arithmetic in JavaScript and a drawing area. It fetches nothing.
Its sources are the files of `page/`.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import fields
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.errors import ModelError
from edge_mnist.int8 import Graph, Operator, Table, Window
from edge_mnist.system.version import __version__

from .pixel_graph import pixel_graph

_SCRIPTS = ("arithmetic.js", "drawing.js", "page.js")
# Comments and indentation are an eighth of the scripts; they stay in the sources.
_MARGIN = re.compile(r"^ *//.*\n|^ +", re.MULTILINE)


def html_page(graph: Graph, spec: ModelSpec, *, title: str) -> str:
    """Return a page that runs a model on drawings: one offline file.

    It reads a drawing as `Classifier.predict` reads a picture of it. The arithmetic is the
    graph's, equal to the byte.

    Args:
        graph: the integer graph of the model's file.
        spec: its input, labels and rejection threshold.
        title: one line on the model, such as its name, data and accuracy.

    Raises:
        ModelError: the model does not read grey digits.
    """
    _check(graph, spec)
    graph = pixel_graph(graph, spec)
    sources = files(__package__) / "page"
    read = {name: (sources / name).read_text("utf-8") for name in (*_SCRIPTS, "style.css")}
    script, style = (
        "\n" + _MARGIN.sub("", "".join(read[name] for name in names))
        for names in (_SCRIPTS, ("style.css",))
    )
    document = {"graph": _graph(graph), "spec": _spec(graph, spec)}
    return Template((sources / "page.html").read_text("utf-8")).substitute(
        policy=f"default-src 'none'; img-src data:; script-src {_hash(script)}; "
        f"style-src {_hash(style)}",
        version=__version__,
        title=html.escape(title),
        facts=_facts(graph, spec),
        style=style,
        # Without "<" no text can end the element.
        model=json.dumps(document, separators=(",", ":")).replace("<", "\\u003c"),
        script=script,
    )


def _check(graph: Graph, spec: ModelSpec) -> None:
    size, classes = (graph.values[index].size for index in (graph.input, graph.output))
    if not spec.digits or (size, classes) != (spec.height * spec.width, len(spec.labels)):
        raise ModelError(
            f"Expected a model of grey digits 0 to 9 for a page to draw on, got images of "
            f"{spec.height}×{spec.width}×{spec.channels}, the labels "
            f"{', '.join(spec.labels[:3])}, … and an input of {size} values; leave out the "
            f"format html.",
            code="model-html",
        )


def _hash(text: str) -> str:
    """Return a source of the Content Security Policy: an element with this text only."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _facts(graph: Graph, spec: ModelSpec) -> str:
    weights = sum(getattr(op, "weights", np.empty(0)).size for op in graph.operators)
    unsure = f" Below {100 * spec.threshold:.0f} % it is not sure." if spec.threshold else ""
    return f"{weights:,} weights of 8 bits.{unsure}"


def _spec(graph: Graph, spec: ModelSpec) -> dict[str, Any]:
    result = graph.values[graph.output]
    return {
        "height": spec.height,
        "width": spec.width,
        "labels": spec.labels,
        "threshold": spec.threshold,
        "scale": result.scale,
        "zero_point": result.zero_point,
    }


def _graph(graph: Graph) -> dict[str, Any]:
    """Return a graph as the page takes it: the same names, arrays as their bytes in base 85."""
    return {
        "values": [{"size": value.size, "signed": value.signed} for value in graph.values],
        "operators": [_operator(operator) for operator in graph.operators],
        "input": graph.input,
        "output": graph.output,
    }


def _operator(operator: Operator) -> dict[str, Any]:
    """Return an operator; a table that only flips the sign has no bytes."""
    document = {field.name: _plain(getattr(operator, field.name)) for field in fields(operator)}
    if isinstance(operator, Table) and operator.flips_sign:
        del document["bytes"]
    return {"type": type(operator).__name__, **document}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        little = value.astype(value.dtype.newbyteorder("<"))
        # HTML gives "<" a meaning, so that its place is taken by a comma.
        return base64.b85encode(little.tobytes(), pad=True).decode().replace("<", ",")
    return value._asdict() if isinstance(value, Window) else value
