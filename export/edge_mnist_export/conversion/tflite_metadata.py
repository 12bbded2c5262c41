"""A model spec in, the TFLite Metadata of a `.tflite` file out.

The metadata is a flatbuffer inside the model. The labels are a file `labels.txt` in a ZIP archive
appended to the model, which readers of the model ignore. The tables and field numbers are those of
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
The official writer, tflite-support, has no wheel for Python 3.12 and later.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence

import flatbuffers

from edge_mnist.bundle.model_spec import ModelSpec

BUFFER = b"TFLITE_METADATA"
_IDENTIFIER = b"M001"
_LABELS = "labels.txt"
# Values of the schema's enumerations ColorSpaceType and AssociatedFileType.
_RGB, _GRAYSCALE = 1, 2
_TENSOR_AXIS_LABELS = 2
# Members of the schema's unions ContentProperties and ProcessUnitOptions.
_IMAGE_PROPERTIES, _NORMALIZATION_OPTIONS = 2, 1


def metadata(spec: ModelSpec) -> bytes:
    """Return the flatbuffer that describes the input `image` and the output `probabilities`."""
    b = flatbuffers.Builder(1024)
    model = _table(
        b,
        8,
        {
            0: _offset(b.CreateString("edge-mnist")),
            3: _offset(_vector(b, [_subgraph(b, spec)])),
            7: _offset(b.CreateString("1.0.0")),
        },
    )
    b.Finish(model, file_identifier=_IDENTIFIER)
    return bytes(b.Output())


def with_labels(content: bytes, labels: Sequence[str]) -> bytes:
    """Return a model file with its labels appended, one per line."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        lines = [" ".join(label.split()) for label in labels]
        # ZipInfo has a fixed date, so that two exports are byte-identical.
        archive.writestr(zipfile.ZipInfo(_LABELS), "\n".join(lines) + "\n")
    return content + file.getvalue()


def _subgraph(b: flatbuffers.Builder, spec: ModelSpec) -> int:
    colour = _table(b, 2, {0: _byte(_RGB if spec.channels == 3 else _GRAYSCALE)})
    content = _table(b, 3, {0: _byte(_IMAGE_PROPERTIES), 1: _offset(colour)})
    # The schema has (pixel - mean) / std; a Scaling is (pixel * scale - mean) / std.
    scaling = spec.scaling
    mean, std = ([value / scaling.scale for value in v] for v in (scaling.mean, scaling.std))
    normalization = _table(b, 2, {0: _offset(_floats(b, mean)), 1: _offset(_floats(b, std))})
    unit = _table(b, 2, {0: _byte(_NORMALIZATION_OPTIONS), 1: _offset(normalization)})
    low, high = spec.range
    stats = _table(b, 2, {0: _offset(_floats(b, [high])), 1: _offset(_floats(b, [low]))})
    image = {
        0: _offset(b.CreateString("image")),
        3: _offset(content),
        4: _offset(_vector(b, [unit])),
        5: _offset(stats),
    }
    file = {0: _offset(b.CreateString(_LABELS)), 2: _byte(_TENSOR_AXIS_LABELS)}
    probabilities = {
        0: _offset(b.CreateString("probabilities")),
        6: _offset(_vector(b, [_table(b, 5, file)])),
    }
    inputs = _vector(b, [_table(b, 7, image)])
    outputs = _vector(b, [_table(b, 7, probabilities)])
    return _table(b, 10, {2: _offset(inputs), 3: _offset(outputs)})


def _table(b: flatbuffers.Builder, slots: int, fields: dict[int, Callable[..., None]]) -> int:
    b.StartObject(slots)
    for slot, add in fields.items():
        add(b, slot)
    return int(b.EndObject())


def _offset(value: int) -> Callable[[flatbuffers.Builder, int], None]:
    return lambda b, slot: b.PrependUOffsetTRelativeSlot(slot, value, 0)


def _byte(value: int) -> Callable[[flatbuffers.Builder, int], None]:
    return lambda b, slot: b.PrependInt8Slot(slot, value, 0)


def _vector(b: flatbuffers.Builder, tables: Sequence[int]) -> int:
    b.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        b.PrependUOffsetTRelative(table)
    return int(b.EndVector())


def _floats(b: flatbuffers.Builder, values: Sequence[float]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependFloat32(value)
    return int(b.EndVector())
