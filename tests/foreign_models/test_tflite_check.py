"""Static checks of a `.tflite` file without a manifest: each rule, and the files that pass."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_mnist import Classifier, ModelError
from edge_mnist.foreign_models import tflite_check
from edge_mnist.foreign_models.tflite_labels import labels
from edge_mnist.foreign_models.tflite_operators import check_transposed_convolution, is_known_safe
from edge_mnist.model_files.flatbuffer import Table, root
from edge_mnist.model_files.malformed import Malformed, TooLarge
from edge_mnist.model_files.tflite_file import Operator, Tensor, read
from tests.conftest import WHOLE

FLOAT = (WHOLE / "model-float32.tflite").read_bytes()
INT8 = (WHOLE / "model-int8.tflite").read_bytes()


def put(content: bytes, at: int, format: str, value: float) -> bytes:
    """Return the content with another number at a byte."""
    changed = bytearray(content)
    struct.pack_into(f"<{format}", changed, at, value)
    return bytes(changed)


def _graph(content: bytes) -> Table:
    return root(content, b"TFL3").tables(2)[0]


def _operator(content: bytes, number: int) -> Table:
    return _graph(content).tables(3)[number]


def _tensor(content: bytes, number: int) -> Table:
    return _graph(content).tables(0)[number]


def _option(content: bytes, number: int, field: int) -> int:
    """Return the position of an operator's option."""
    options = _operator(content, number).table(4)
    assert options is not None
    return options.start + options.fields[field]


def _constant(content: bytes) -> int:
    """Return the index of the first constant."""
    return next(t.index for t in read(content).graphs[0].tensors if t.constant)


def _convolution(content: bytes) -> int:
    """Return the number of the first CONV_2D."""
    operators = read(content).graphs[0].operators
    return next(number for number, operator in enumerate(operators) if operator.code == 3)


def _last(content: bytes) -> int:
    return read(content).graphs[0].outputs[0].index


def _buffer_field(content: bytes) -> int:
    table = _tensor(content, _constant(content))
    return table.start + table.fields[2]


_BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "no TFL3 mark at byte 4"),
    "short": (lambda c: c[:5000], r"an offset to byte \d+, of 5000 bytes"),
    "root": (lambda c: put(c, 0, "I", 2**31), r"an offset to byte 2147483648, of \d+ bytes"),
    "root 0": (lambda c: put(c, 0, "I", 0), "an offset of 0 at byte 0"),
    "vtable": (
        lambda c: put(c, _graph(c).start, "i", 2**31 - 1),
        r"an offset to byte -\d+, of \d+ bytes",
    ),
    "table": (
        lambda c: put(c, _graph(c).start - struct.unpack_from("<i", c, _graph(c).start)[0], "H", 3),
        r"a broken table at byte \d+",
    ),
    "vector": (
        lambda c: put(c, _tensor(c, 0).span(0, 4)[0] - 4, "I", 2**30),
        r"1073741824 items at byte \d+, past the end",
    ),
    # tflite-runtime follows these too: the offset of the signatures, and of a signature's key.
    "signatures": (
        lambda c: put(c, root(c, b"TFL3").start + root(c, b"TFL3").fields[7], "I", 2**24),
        r"an offset to byte \d+, of \d+ bytes",
    ),
    "signature": (
        lambda c: put(c, root(c, b"TFL3").tables(7)[0].span(2, 1)[0] - 4, "I", 2**24),
        r"16777216 items at byte \d+, past the end",
    ),
    "name": (
        lambda c: put(c, _tensor(c, 0).span(3, 1)[0], "B", 255),
        r"a name at byte \d+ that is not UTF-8",
    ),
    "shape": (lambda c: put(c, _tensor(c, 0).span(0, 4)[0], "i", -5), r"tensor 0 of shape \(-5, "),
    "constant": (
        lambda c: put(c, _tensor(c, _constant(c)).span(0, 4)[0], "i", 3),
        r"tensor \d+ of shape .*: \d+ bytes instead of \d+",
    ),
    "operator code": (
        lambda c: put(c, _operator(c, 1).start + _operator(c, 1).fields[0], "I", 99),
        r"operator code 99 of \d+",
    ),
    "input": (
        lambda c: put(c, _operator(c, 0).span(1, 4)[0], "i", 9999),
        r"tensor 9999 of \d+",
    ),
    "buffer": (lambda c: put(c, _buffer_field(c), "I", 7777), r"buffer 7777 of \d+"),
    "written": (
        lambda c: put(c, _operator(c, 1).span(2, 4)[0], "i", _constant(c)),
        r"operator 1 writing over tensor \d+",
    ),
    "input written": (
        lambda c: put(c, _graph(c).span(1, 4)[0], "i", _constant(c)),
        r"an input, tensor \d+, that is a constant",
    ),
    "backwards": (
        lambda c: put(c, _operator(c, 1).span(1, 4)[0], "i", _last(c)),
        r"operator 1 before its input, tensor \d+",
    ),
    "output": (
        # The last operator is left out.
        lambda c: put(c, _graph(c).span(3, 4)[0] - 4, "I", len(_graph(c).tables(3)) - 1),
        r"an output, tensor \d+, that no operator writes",
    ),
}


@pytest.mark.parametrize("name", _BROKEN)
def test_a_broken_file_is_refused(name: str) -> None:
    change, message = _BROKEN[name]
    for content in (FLOAT, INT8):
        with pytest.raises(Malformed, match=message):
            tflite_check.check(change(content))


def test_a_file_of_too_much_memory_is_refused() -> None:
    with pytest.raises(TooLarge, match="tensors of more than 512 MB in all"):
        tflite_check.check(put(FLOAT, _tensor(FLOAT, 0).span(0, 4)[0], "i", 2**30))
    # A million operators in a vector that is there: refused before they are read.
    tables = _graph(FLOAT).span(3, 4)[0] - 4
    with pytest.raises(TooLarge, match="1000000 tables in a vector, at most 20000 are read"):
        tflite_check.check(put(FLOAT, tables, "I", 10**6) + bytes(4 * 10**6))


def test_the_error_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "mine.tflite"
    path.write_bytes(FLOAT[:5000])
    message = r"^Expected a sound TFLite model, got mine\.tflite with .*; copy it again, or export"
    with pytest.raises(ModelError, match=message):
        Classifier(path)


# ----- Known to be safe, or left to the child process ---------------------------------------------


def test_shipped_files_are_known_to_be_safe() -> None:
    files = [*WHOLE.glob("*.tflite"), *Path(tflite_check.__file__).parents[1].rglob("*.tflite")]
    assert len(files) > 2
    for file in files:
        assert tflite_check.check(file.read_bytes())


_UNUSUAL: dict[str, Callable[[bytes], bytes]] = {
    "stride 0": lambda c: put(c, _option(c, _convolution(c), 1), "i", 0),
    "stride 5000": lambda c: put(c, _option(c, _convolution(c), 2), "i", 5000),
    "stride 2": lambda c: put(c, _option(c, _convolution(c), 1), "i", 2),
    "activation": lambda c: put(c, _option(c, _convolution(c), 3), "b", 4),
}


@pytest.mark.parametrize("name", _UNUSUAL)
def test_unusual_use_of_a_common_operator_is_left_to_the_child(name: str) -> None:
    assert not tflite_check.check(_UNUSUAL[name](FLOAT))


@pytest.mark.parametrize(
    ("field", "format", "value"), [(2, "f", 0.0), (2, "f", -1.0), (3, "q", 999)]
)
def test_an_unusual_quantization_is_left_to_the_child(
    field: int, format: str, value: float
) -> None:
    quantization = _tensor(INT8, read(INT8).graphs[0].inputs[0].index).table(4)
    assert quantization is not None
    start, count = quantization.span(field, struct.calcsize(format))
    assert count == 1
    assert not tflite_check.check(put(INT8, start, format, value))


def _transposed(width: int) -> Operator:
    """Return a TRANSPOSE_CONV of 2×2 and stride 1 from 9×9 to 9×`width`."""

    def tensor(shape: tuple[int, ...], integers: tuple[int, ...] | None) -> Tensor:
        return Tensor(0, shape, 0, 0, integers is not None, False, (), (), 0, integers)

    # Padding SAME, and both strides.
    options = Table(struct.pack("<iiii", 0, 0, 1, 1), 0, 16, (4, 8, 12))
    inputs = tensor((4,), (1, 9, width, 4)), tensor((4, 2, 2, 4), None), tensor((1, 9, 9, 4), None)
    return Operator(67, inputs, (tensor((1, 9, width, 4), None),), options, 49)


def test_a_transposed_convolution_writes_only_into_its_output() -> None:
    check_transposed_convolution(_transposed(9))
    assert not is_known_safe(_transposed(9))
    with pytest.raises(Malformed, match=r"of \(1, 9, 9, 4\) to \(1, 9, 1862, 4\)"):
        check_transposed_convolution(_transposed(1862))


# ----- Labels -------------------------------------------------------------------------------------


def test_labels_that_unpack_to_too_much_are_cut() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", b"a\n" * 50_000_000)
    assert len(labels(buffer.getvalue())) == 50_000
