"""An inspection in; text and JSON for the command line out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..backends.environment import environment
from ..bundle import Artifact
from ..bundle.provenance import file_entries, model_json, statements
from ..system.text_table import percent, table
from .layer import Inspection, Layer, Times, Values

UNKNOWN = "–"
LAYER_HEADER = (
    *(
        "layer",
        "output shape",
        "parameters",
        "multiply-adds",
        "weight bytes",
        "weights",
        "output values",
    ),
    *("µs", "share"),
)


def inspection_text(
    artifact: Artifact, inspection: Inspection, *, artifacts: Sequence[Artifact]
) -> str:
    """Return provenance, the bundle's files, and the layers of one of them.

    Args:
        artifact: the file that was inspected.
        inspection: its layers.
        artifacts: all files of its bundle.
    """
    parts = ["\n".join(f"{name + ':':16}{value}" for name, value in statements(artifact))]
    if len(artifacts) > 1:
        parts.append(_files_table(artifacts))
    rows = layer_rows(inspection)
    parts.append(f"{artifact.name}\n" + table(("", *LAYER_HEADER), rows))
    parts.append("\n".join(remarks(inspection)))
    return "\n\n".join(parts)


def _files_table(artifacts: Sequence[Artifact]) -> str:
    rows = [
        [
            str(entry["file"]),
            str(entry["precision"]),
            f"{entry['size_bytes']:,}",
            UNKNOWN if entry["accuracy"] is None else percent(entry["accuracy"]),
        ]
        for entry in file_entries(artifacts)
    ]
    return table(("file", "precision", "bytes", "accuracy"), rows)


def layer_rows(inspection: Inspection) -> list[list[str]]:
    """Return the cells of the layers, numbered from 1, and of their sum."""
    times = inspection.times
    shares = _shares(times)
    rows = [
        [
            str(number + 1),
            layer.name,
            shape_text(layer.output.shape),
            f"{layer.parameters:,}" if layer.parameters else "0",
            UNKNOWN if layer.multiply_adds is None else f"{layer.multiply_adds:,}",
            f"{layer.weight_bytes:,}",
            weights_text(layer.weights),
            output_text(layer.output),
            f"{times.layers_us[number]:.2f}" if times else UNKNOWN,
            f"{shares[number]:.0%}".replace("%", " %") if times else UNKNOWN,
        ]
        for number, layer in enumerate(inspection.layers)
    ]
    total = inspection.multiply_adds
    sums = [f"{inspection.parameters:,}", UNKNOWN if total is None else f"{total:,}"]
    sums.append(f"{inspection.weight_bytes:,}")
    time = f"{sum(times.layers_us):.2f}" if times else UNKNOWN
    return [*rows, ["", "all layers", "", *sums, "", "", time, "100 %" if times else UNKNOWN]]


def _shares(times: Times | None) -> list[float]:
    """Return each layer's share of the time of all layers."""
    if times is None:
        return []
    total = sum(times.layers_us)
    return [one / total if total else 0.0 for one in times.layers_us]


def remarks(inspection: Inspection) -> list[str]:
    """Return sentences on how the layers were timed, or why they were not."""
    times = inspection.times
    if times is None:
        return [f"Layers were not timed: {inspection.untimed}."]
    return [
        f"The whole model takes {times.whole_us:.2f} µs on {inspection.backend} with one thread, "
        f"of which the call itself takes {times.call_us:.2f} µs.",
        f"A layer's time is the difference between the model cut off after it and cut off before "
        f"it: medians of {times.rounds} rounds.",
    ]


def shape_text(shape: tuple[int, ...] | None) -> str:
    """Return a shape such as "1×28×28×1"."""
    return UNKNOWN if shape is None else "×".join(map(str, shape)) or "scalar"


def weights_text(weights: Values | None) -> str:
    """Return the type of weights, and how many scales they have."""
    if weights is None:
        return ""
    scales = len(weights.scales)
    if not scales:
        return weights.dtype
    return f"{weights.dtype}, {'1 scale' if scales == 1 else f'{scales} scales'}"


def output_text(output: Values) -> str:
    """Return the type of an output and the value of a quantized one, "int8 0.0041·(q+128)"."""
    if len(output.scales) != 1:
        return output.dtype
    scale, zero_point = output.scales[0], output.zero_points[0]
    offset = f"(q{-zero_point:+d})".replace("-", "−") if zero_point else "q"
    return f"{output.dtype} {scale:.3g}·{offset}"


def inspection_json(
    artifact: Artifact, inspection: Inspection, *, artifacts: Sequence[Artifact]
) -> dict[str, Any]:
    """Return the document of `inspect --json`; arguments as of `inspection_text`."""
    times = inspection.times
    where = environment()
    return {
        "file": artifact.name,
        "backend": inspection.backend,
        "model": model_json(artifacts),
        "provenance": dict(statements(artifact)),
        "files": file_entries(artifacts),
        "layers": _layers_json(inspection.layers, times),
        "totals": {
            "parameters": inspection.parameters,
            "multiply_adds": inspection.multiply_adds,
            "weight_bytes": inspection.weight_bytes,
        },
        "timing": None
        if times is None
        else {"whole_us": times.whole_us, "call_us": times.call_us, "rounds": times.rounds},
        "untimed": inspection.untimed or None,
        "environment": {name: where[name] for name in ("cpu", "system", "python", "runtimes")},
    }


def _layers_json(layers: Sequence[Layer], times: Times | None) -> list[dict[str, Any]]:
    shares = _shares(times)
    return [
        {
            "layer": layer.name,
            "operators": list(layer.operators),
            "output": _values_json(layer.output),
            "weights": None if layer.weights is None else _values_json(layer.weights),
            "parameters": layer.parameters,
            "multiply_adds": layer.multiply_adds,
            "weight_bytes": layer.weight_bytes,
            "time_us": round(times.layers_us[number], 3) if times else None,
            "share": round(shares[number], 4) if times else None,
        }
        for number, layer in enumerate(layers)
    ]


def _values_json(values: Values) -> Mapping[str, Any]:
    return {
        "shape": None if values.shape is None else list(values.shape),
        "dtype": values.dtype,
        "scales": list(values.scales),
        "zero_points": list(values.zero_points),
    }
