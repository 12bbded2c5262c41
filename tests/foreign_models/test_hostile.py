"""Hostile files: each is refused in one line, and none ends the process. tests/fuzz has more."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist import BundleError, Classifier, ImageError, backends
from edge_mnist.bundle import MODELS, SHIPPED, Artifact, find_artifacts, sha256
from edge_mnist.foreign_models import onnx_check, sandbox, tflite_check
from edge_mnist.inspection.inspect import inspect
from edge_mnist.model_files.flatbuffer import root
from edge_mnist.model_files.malformed import Malformed
from tests.conftest import WHOLE
from tests.errors import error_line, raises
from tests.foreign_models.bundles import dense_model, sole_file
from tests.foreign_models.test_tflite_check import put
from tests.fuzz.targets import saved

# ----- In a child process ------------------------------------------------------------------------

# BuiltinOperator's numbers. Both operators take two inputs; the files below give them one.
SPLIT, BATCH_MATMUL = 49, 126


def uncommon(content: bytes, operator: int) -> bytes:
    """Return a file whose first SOFTMAX is another operator.

    SPLIT ends its process every time. BATCH_MATMUL reads past its inputs, so that it depends on
    the heap.
    """
    codes = root(content, b"TFL3").tables(1)
    code = next(c for c in codes if max(c.number(0, "b"), c.number(3, "i")) == 25)
    changed = put(content, code.start + code.fields[0], "b", operator)
    return put(changed, code.start + code.fields[3], "i", operator) if code.fields[3:4] else changed


@pytest.mark.parametrize("operator", [SPLIT, BATCH_MATMUL])
def test_a_file_that_crashes_a_runtime_crashes_only_the_child(
    operator: int, tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert, which this file crashes")
    path = tmp_path / "mine.tflite"
    content = uncommon((WHOLE / "model-float32.tflite").read_bytes(), operator)
    assert not tflite_check.check(content)
    path.write_bytes(content)
    with raises("model-malformed", "operators that end the process", "SIGSEGV); ex"):
        Classifier(path, backend="litert")


def test_a_file_that_a_manifest_lists_crashes_only_the_child(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert, which this file crashes")
    content = uncommon((WHOLE / "model-float32.tflite").read_bytes(), SPLIT)
    file = sole_file(tmp_path, "model-float32.tflite", content)
    message = "Expected a sound TFLite model, got model-float32.tflite with operators that end"
    for model in (tmp_path, file):
        with raises("model-malformed", message):
            Classifier(model, backend="litert")
    (artifact,) = find_artifacts(tmp_path)
    with raises("model-malformed", message):
        inspect(artifact, backends.get("litert"))


def test_a_child_uses_the_spec_of_the_manifest(tmp_path: Path) -> None:
    """Without it, the child would refuse the size: it takes images from 8 pixels a side."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    content = dense_model(side=4, operator="Celu")
    size = {"height": 4, "width": 4, "channels": 1, "range": [0, 1]}
    sole_file(tmp_path, "model-float32.onnx", content, input=size, output="logits")
    (artifact,) = find_artifacts(tmp_path)
    assert not onnx_check.check(content, artifact.path)
    before = set(sandbox._known_safe)
    classifier = Classifier(tmp_path)
    assert sandbox._known_safe - before == {("onnx", sha256(content), artifact.spec)}
    assert classifier.predict(np.full((4, 4), 255, np.uint8)).digit == 0


def test_an_operator_that_fails_when_it_runs_is_an_error_of_the_model(tmp_path: Path) -> None:
    """ONNX Runtime's call with bound arrays has an exception of its own: RuntimeError."""
    onnx = pytest.importorskip("onnx", reason="needs onnx to write the file")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    constants = [
        helper.make_tensor("w", kind, (10, 1, 28, 28), [0.0] * 7840),
        helper.make_tensor("b", kind, (3,), [0.0] * 3),  # For ten channels.
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["features"]),
        helper.make_node("Flatten", ["features"], ["probabilities"]),
    ]
    tensors = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, shape in (("image", [1, 1, 28, 28]), ("probabilities", [1, 10]))
    ]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    sole_file(tmp_path, "model-float32.onnx", model.SerializeToString())
    with raises("model-run", "bias"):
        Classifier(tmp_path).predict(np.zeros((28, 28), np.uint8))


def test_a_model_that_overflows_on_some_images_takes_batches_all_the_same(tmp_path: Path) -> None:
    """The tolerance was NaN, of which numpy warned."""
    path = tmp_path / "m.onnx"
    path.write_bytes(dense_model(operator="Sqrt", bias=(-10.0, *(1.0,) * 9)))
    classifier = Classifier(path)
    images = np.full((3, 28, 28), 255, np.uint8)
    assert np.isfinite(classifier.predict_probabilities(images)).all()
    with raises("model-not-finite"):
        classifier.predict(np.zeros((28, 28), np.uint8))


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 0.01)
    artifact = Artifact("m.onnx", "onnx", "unknown", None)
    with pytest.raises(Malformed, match=r"no end within 0\.01 s of running it"):
        sandbox.check(artifact, b"", backend="onnx", threads=1)


def test_no_child_is_started_for_files_of_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("known to be safe")

    monkeypatch.setattr(sandbox, "check", never)
    for file in WHOLE.glob("model-*"):
        assert not find_artifacts(file)[0].vouched
        Classifier(file)


def test_only_the_packages_own_bundles_are_vouched_for(tmp_path: Path) -> None:
    assert all(one.vouched for name in MODELS for one in find_artifacts(name))
    assert all(one.vouched for one in find_artifacts(Path(SHIPPED) / "model-int8.tflite"))
    shutil.copytree(SHIPPED, tmp_path / "edge")
    (tmp_path / "link").symlink_to(tmp_path / "edge")
    for model in (tmp_path / "edge", tmp_path / "link", tmp_path / "edge" / "model-int8.tflite"):
        assert not any(one.vouched for one in find_artifacts(model))


def test_checks_are_not_imported_for_a_bundle() -> None:
    code = (
        "import sys; from edge_mnist import Classifier; Classifier();"
        "print([m for m in sys.modules if m.startswith('edge_mnist.foreign_models')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ----- Bombs -------------------------------------------------------------------------------------


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, *more: bytes, rows: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = _chunk(b"IHDR", header) + b"".join(more) + _chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b"")


def _white(format: str, mode: str = "L", side: int = 7000, **options: object) -> bytes:
    return saved(Image.new(mode, (side, side), 255), format, **options)


def _many_frames() -> bytes:
    shades = [Image.new("L", (300, 300), shade % 250) for shade in range(2000)]
    return saved(shades[0], "GIF", save_all=True, append_images=shades[1:])


def _zeros() -> bytes:
    return zlib.compress(bytes(100_000_000), 9)


_TOO_LARGE = r"^Expected a picture of at most (50|25) megapixels, got .*; make it smaller first"
_WHOLE = r"^Expected a whole picture, got a (truncated or )?broken one: "
_BLANK = r"^no digit: no ink"
# Name: (content, expected message, bound on the memory that it takes, in MB).
_BOMBS: dict[str, tuple[Callable[[], bytes], str, int]] = {
    "png header": (lambda: _png(2**31 - 1, 2**31 - 1), _TOO_LARGE, 20),
    "png no rows": (lambda: _png(7000, 7000), _WHOLE, 80),
    "png text": (lambda: _png(60, 60, _chunk(b"zTXt", b"x\0\0" + _zeros())), _WHOLE, 20),
    "png profile": (lambda: _png(60, 60, _chunk(b"iCCP", b"x\0\0" + _zeros())), _WHOLE, 20),
    "png rows": (lambda: _png(60, 60, rows=bytes(100_000_000)), _BLANK, 20),
    "gif frames": (_many_frames, _BLANK, 20),
    "gif header": (
        lambda: b"GIF89a\xff\xff\xff\xff" + saved(Image.new("L", (9, 9)), "GIF")[10:],
        _TOO_LARGE,
        20,
    ),
    "pgm header": (lambda: b"P5 99999 99999 255\n" + bytes(100), _TOO_LARGE, 20),
    "webp header": (lambda: _white("WEBP", side=8000, lossless=True), _TOO_LARGE, 40),
    "webp": (lambda: _white("WEBP", side=5000, lossless=True), _BLANK, 500),
    "tiff": (lambda: _white("TIFF", side=8000, compression="tiff_deflate"), _TOO_LARGE, 20),
    "tiff floats": (lambda: _white("TIFF", "F", compression="tiff_deflate"), _BLANK, 600),
    "transparent": (lambda: _white("PNG", "LA"), _BLANK, 800),
    "drawing": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 60\n%%EndComments\n",
        r"^Expected a picture of pixels, got a drawing \(EPS\) in .*; save it as PNG first",
        40,
    ),
}
_MEASURE = """
import sys, time
from edge_mnist import Classifier, EdgeMnistError
def peak():
    line = next(l for l in open("/proc/self/status") if l.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
classifier, content = Classifier(), open(sys.argv[1], "rb").read()
import edge_mnist.vision.preprocess
before = peak()
try:
    prediction = classifier.predict(content)
    print(f"no digit: {prediction.reason}" if prediction.digit is None else prediction.digit)
except EdgeMnistError as error:
    print(error)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to read a process's peak memory")
@pytest.mark.slow
@pytest.mark.parametrize("name", _BOMBS)
def test_a_bomb_is_refused_or_stays_small(name: str, tmp_path: Path) -> None:
    make, message, megabytes = _BOMBS[name]
    (tmp_path / "bomb").write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, tmp_path / "bomb"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said, grown = done.stdout.strip().rsplit("\n", 1)
    with pytest.raises(ImageError, match=message):
        raise ImageError(said)
    assert "\n" not in said
    assert float(grown) < megabytes


def test_standard_input_without_end_is_refused() -> None:
    command = Path(sys.executable).with_name("edge-mnist")
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(
            [command, "predict", "-"],
            stdin=endless,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    expected = "Expected a picture of at most 150 MB on standard input, got more; make it smaller"
    assert error_line(done).startswith(expected)


def test_a_manifest_of_long_values_is_refused_in_a_short_line(tmp_path: Path) -> None:
    for change in ({"schema": "a" * 9000}, {"labels": ["a" * 9000], "schema": 1}):
        manifest = json.loads((WHOLE / "manifest.json").read_text()) | change
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(BundleError) as raised:
            Classifier(tmp_path)
        assert len(str(raised.value)) < 700 + len(str(tmp_path))


@pytest.mark.parametrize("file", ["a" * 300, "\ud800", "a\0b", "", "."])
def test_a_manifest_of_names_that_are_none_is_refused(file: str, tmp_path: Path) -> None:
    manifest = json.loads((WHOLE / "manifest.json").read_text())
    manifest["artifacts"][0]["file"] = file
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with raises("bundle-manifest"):
        Classifier(tmp_path)


def test_an_image_of_another_kind_than_a_picture_is_refused() -> None:
    with raises("image-type"):
        Classifier().predict(np)  # type: ignore[arg-type]
