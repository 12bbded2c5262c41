"""`export --format triton`: Triton's own schema reads it, and its file answers as the bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_mnist import Classifier, datasets
from edge_mnist.backends import RUNTIMES
from edge_mnist.bundle import read_bundle
from edge_mnist.bundle.model_spec import ModelSpec, Scaling
from edge_mnist.datasets import synthetic
from edge_mnist.store import copying
from edge_mnist_export.bundles import triton
from tests.conftest import SHIPPED, WHOLE, Cli
from tests.errors import error_line

text_format = pytest.importorskip("google.protobuf.text_format")
schema = pytest.importorskip(
    "tritonclient.grpc.model_config_pb2", reason="needs tritonclient, of the group test"
)
TYPES = {"tensor(float)": "TYPE_FP32", "tensor(uint8)": "TYPE_UINT8"}
DTYPES = {"TYPE_FP32": np.float32, "TYPE_UINT8": np.uint8}
IMAGES = synthetic.draw(np.arange(200) % 10, seed=5)


class Served:
    """A model as Triton serves it: everything comes from its folder in the repository."""

    def __init__(self, folder: Path) -> None:
        self.config = text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())
        assert self.config.name == folder.name
        (self.version,) = (path for path in folder.iterdir() if path.is_dir())
        self.session = onnxruntime.InferenceSession(
            self.version / "model.onnx", providers=["CPUExecutionProvider"]
        )
        (self.input,), (self.output,) = self.config.input, self.config.output
        self.labels = (folder / self.output.label_filename).read_text().splitlines()

    def numbers(self, key: str) -> list[float]:
        text = self.config.parameters[key].string_value
        return [float(part) for part in text.split(",")] if text else []

    def infer(self, images: Any) -> Any:
        """Return probabilities, computed as the comment in the configuration says."""
        scale, mean, std = (self.numbers(f"pixel_{name}") for name in ("scale", "mean", "std"))
        values = (images.reshape(-1, *self.input.dims[-3:]) * scale - np.array(mean)) / std
        kind = DTYPES[schema.DataType.Name(self.input.data_type)]
        if step := self.numbers("image.scale"):
            values = np.rint(values / step + self.numbers("image.zero_point"))
        (raw,) = self.session.run([self.output.name], {self.input.name: values.astype(kind)})
        if step := self.numbers("probabilities.scale"):
            return (raw - self.numbers("probabilities.zero_point")) * step
        return raw


def assert_fits(served: Served, *, batch: int | None = None) -> None:
    """Expect names, types and shapes of the file, and Triton's rules for a batch."""
    config = served.config
    assert config.backend == "onnxruntime"
    arguments = (*served.session.get_inputs(), *served.session.get_outputs())
    for tensor, argument in zip((served.input, served.output), arguments, strict=True):
        assert tensor.name == argument.name
        assert schema.DataType.Name(tensor.data_type) == TYPES[argument.type]
        sizes = argument.shape if batch else argument.shape[1:]
        assert list(tensor.dims) == sizes
        assert argument.shape[0] == (batch or "batch")
    assert config.max_batch_size == (0 if batch else 64)
    assert config.HasField("dynamic_batching") == (batch is None)
    assert len(served.labels) == served.output.dims[-1]


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_repository_answers_as_the_bundle(host: Cli, tmp_path: Path, precision: str) -> None:
    bundle = Path(shutil.copytree(WHOLE, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    if precision == "float32":  # As of an export without --int8.
        manifest["artifacts"] = [a for a in manifest["artifacts"] if a["precision"] != "int8"]
        (bundle / "manifest.json").write_text(json.dumps(manifest))
    out = tmp_path / "out"
    done = host("export", bundle, "--format", "triton", "--out", out)
    assert f"Writing triton/edge/ from model-{precision}.onnx" in done.stderr
    served = Served(out / "triton" / "edge")
    assert_fits(served)
    assert served.labels == list("0123456789")
    assert served.numbers("rejection_threshold") == [manifest["refusal"]["threshold"]]
    # Without the model repository, from the same file.
    classifier = Classifier(bundle, backend="onnx", precision=precision)
    expected = classifier.predict_probabilities(IMAGES)
    # ONNX Runtime sums floats in another order under other options.
    np.testing.assert_allclose(served.infer(IMAGES), expected, rtol=0, atol=1e-6)
    (artifact,) = read_bundle(out).artifacts
    assert (served.version / "model.onnx").read_bytes() == artifact.read()
    copying.verify(out)


def test_on_mnist_it_is_as_accurate_as_the_manifest_says(
    host: Cli, tmp_path: Path, mnist: Path
) -> None:
    out = tmp_path / "out"
    host("export", "edge", "--format", "html,triton", "--out", out)
    assert {path.name for path in out.iterdir()} == {
        *("manifest.json", "examples.npz", "digit.html", "triton"),
        *("model-int8.onnx", "model-int8.tflite"),
    }
    copying.verify(out)
    served = Served(out / "triton" / "edge")
    test = datasets.load(datasets.find(str(mnist), splits=("test",)), "test")
    right = served.infer(test.images).argmax(axis=1) == test.labels
    onnx_entry = read_bundle(SHIPPED).manifest["artifacts"][1]
    assert right.mean() == onnx_entry["accuracy"]
    # A digit is a pixel's byte: clients of this file send MNIST's bytes as they are.
    (raw,) = served.session.run(None, {"image": test.images[:100, ..., None]})
    assert (raw == served.infer(test.images[:100]) * 256).all()


def test_a_fixed_batch_is_part_of_the_shape(tmp_path: Path) -> None:
    artifact = next(a for a in read_bundle(WHOLE).artifacts if a.name == "model-float32.onnx")
    # A channel's mean and deviation are known to clients, and odd labels keep their lines.
    spec = ModelSpec(scaling=Scaling(1 / 127.5, (1.0,), (0.5,)), labels=("a\nb", *"123456789"))
    model = onnx.load(artifact.path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "fixed.onnx")
    fixed = artifact._replace(
        file=tmp_path / "fixed.onnx", spec=spec, size_bytes=None, sha256=None, vouched=True
    )
    for name, file in triton.repository(fixed, "my-model").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(file)
    served = Served(tmp_path / "my-model")
    assert_fits(served, batch=4)
    assert served.labels[:2] == ["a b", "1"]
    expected = Classifier.from_artifact(fixed, RUNTIMES["onnx"]).predict_probabilities(IMAGES[:4])
    np.testing.assert_allclose(served.infer(IMAGES[:4]), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "name"),
    [("edge", "edge"), ("my model (3)", "my-model-3"), ("../../é", "model"), ("", "model")],
)
def test_a_model_has_a_name_that_is_a_folder(text: str, name: str) -> None:
    assert triton.model_name(text) == name


def test_a_bundle_without_onnx_names_the_way(host: Cli, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(WHOLE, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["artifacts"] = [a for a in manifest["artifacts"] if a["format"] == "tflite"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = host("export", bundle, "--format", "triton", "--out", tmp_path / "out", status=2)
    assert "Expected an int8 or float32 .onnx file in a bundle" in error_line(done)
    assert not (tmp_path / "out").exists()
