"""`Classifier` on the shipped bundle, in every runtime that is installed."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import BundleError, Classifier, backends
from edge_mnist.bundle import MODELS, find_artifacts, read_bundle
from edge_mnist.classifier import choose
from edge_mnist.datasets import synthetic
from tests.conftest import SHIPPED, WHOLE
from tests.errors import raises

INSTALLED = [runtime.backend for runtime in backends.installed()]
PAIRS = [
    (artifact.path.name, runtime.backend)
    for artifact in find_artifacts()
    for runtime in backends.installed(artifact.format)
]


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """200 drawn digits (200, 28, 28) uint8 with their labels."""
    labels = np.tile(np.arange(10), 20)
    return synthetic.draw(labels, seed=11), labels


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped bundle, to be broken."""
    return Path(shutil.copytree(WHOLE, tmp_path / "bundle"))


@pytest.mark.parametrize(("file", "backend"), PAIRS)
def test_every_file_reads_digits_in_every_runtime(
    file: str, backend: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = digits
    classifier = Classifier(WHOLE / file, backend=backend)
    probabilities = classifier.predict_probabilities(images)
    assert probabilities.shape == (200, 10)
    assert probabilities.dtype == np.float32
    # A softmax sums to 1; in int8 every one of ten values may be half a step of 1/256 off.
    assert np.abs(probabilities.sum(axis=1) - 1).max() <= 10 * 0.5 / 256 + 1e-6
    # Drawn digits are no MNIST; far above chance shows that pixels and outputs are wired right.
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.85
    assert np.array_equal(classifier.predict_batch(images), probabilities.argmax(axis=1))
    prediction = classifier.predict(images[0])
    assert prediction.digit == probabilities[0].argmax()
    assert prediction.confidence == pytest.approx(probabilities[0].max())
    assert np.array_equal(prediction.probabilities, probabilities[0])


def test_files_of_one_precision_agree_across_formats(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = digits
    by_format = [
        Classifier(WHOLE / f"model-float32.{format}").predict_probabilities(images)
        for format in ("tflite", "onnx")
    ]
    # The same float32 arithmetic in another order: 1e-5 is a hundred float32 steps at 1.
    assert np.abs(by_format[0] - by_format[1]).max() < 1e-5


def test_the_default_is_the_int8_file_of_the_shipped_bundle() -> None:
    classifier = Classifier()
    assert classifier.artifact.path.parent == SHIPPED
    assert classifier.artifact.precision == "int8"
    assert classifier.backend == INSTALLED[0]


@pytest.mark.parametrize("name", MODELS)
def test_bundles_of_the_package_have_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    classifier = Classifier(name)
    assert classifier.artifact.path == SHIPPED.parent / name / "model-int8.tflite"
    # A path of that name comes first.
    shutil.copytree(WHOLE, tmp_path / name)
    assert Classifier(name, precision="float32").artifact.path.resolve().is_relative_to(tmp_path)


def test_the_bundles_of_the_package_are_small() -> None:
    files = [path for path in SHIPPED.parent.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {*MODELS, SHIPPED.parent.name}  # And a key.
    assert sum(path.stat().st_size for path in files) < 150_000


def test_int8_takes_the_pixels_as_they_are() -> None:
    classifier = Classifier(precision="int8")
    images = np.arange(28 * 28, dtype=np.uint8).reshape(1, 28, 28)
    encoded = classifier.encode(images)
    assert encoded.dtype == np.uint8
    assert np.shares_memory(encoded, images)


def test_a_negative_stride_or_a_slice_is_read_like_its_copy(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    images, _ = digits
    classifier = Classifier()
    flipped = images[0][::-1, ::-1]
    expected = classifier.predict(flipped.copy()).probabilities
    assert np.array_equal(classifier.predict(flipped).probabilities, expected)


def test_results_outlive_the_next_prediction(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = digits
    for backend in INSTALLED:
        classifier = Classifier(backend=backend)
        first = classifier.predict(images[0]).probabilities
        kept = first.copy()
        classifier.predict(images[1])
        assert np.array_equal(first, kept)


def test_classifiers_of_their_own_work_in_threads(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = digits
    expected = Classifier().predict_batch(images)
    results: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        results[number] = Classifier().predict_batch(images)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(results[number], expected) for number in range(4))


def test_no_images_give_no_digits() -> None:
    assert Classifier().predict_batch(np.empty((0, 28, 28), np.uint8)).shape == (0,)


@pytest.mark.parametrize(
    "images", [np.zeros((28, 28), np.uint8), np.zeros((2, 28, 28)), np.zeros((2, 27, 28), np.uint8)]
)
def test_a_batch_of_another_shape_or_dtype_is_refused(images: np.ndarray) -> None:
    with raises("image-shape", "n, 28, 28", "uint8"):
        Classifier().predict_batch(images)


def test_wrong_names_are_refused() -> None:
    with raises("backend-unknown", "litert, tflite, onnx", "'cuda'"):
        Classifier(backend="cuda")
    with raises("model-precision", "int4", "int8"):
        Classifier(precision="int4")
    with raises("backend-threads", "256"):
        Classifier(threads=0)
    with raises("model-format", "onnx", "'onnx'"):
        Classifier(WHOLE / "model-int8.tflite", backend="onnx")


def remedy(backend: str) -> str:
    """Return the advice on a runtime that is missing."""
    if backend == "tflite" and sys.version_info >= (3, 12):
        return "tflite-runtime has no wheel for Python 3.12 and later"
    return f"pip install 'edge-mnist[{backend}]'"


def test_a_missing_runtime_is_named_with_its_install_line() -> None:
    missing = [name for name in backends.RUNTIMES if name not in INSTALLED]
    if not missing:
        pytest.skip("every runtime is installed here")
    with raises("backend-missing", remedy(missing[0])) as caught:
        Classifier(backend=missing[0])
    assert missing[0] in str(caught.value)


def test_a_missing_place_is_named(tmp_path: Path) -> None:
    with raises("bundle-missing", "none"):
        Classifier(tmp_path / "none")
    with raises("bundle-missing", "manifest.json"):
        Classifier(tmp_path)
    keras = tmp_path / "model.keras"
    keras.touch()
    with raises("model-format", "model.keras; make one with: edge-mnist export"):
        Classifier(keras)


def test_a_file_that_is_not_the_manifests_never_reaches_a_runtime(bundle: Path) -> None:
    file = bundle / "model-int8.tflite"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with raises("bundle-hash", "the"):
        Classifier(bundle)
    # Also where the file is named itself.
    with raises("bundle-hash"):
        Classifier(file)
    file.write_bytes(content[:-1])
    with pytest.raises(BundleError, match=rf"{len(content)} bytes .* got {len(content) - 1}"):
        Classifier(bundle)
    file.unlink()
    with raises("bundle-file-missing", "model-int8.tflite", "file"):
        Classifier(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "Expected JSON in"),
        ("[]", "Expected schema 1 in .* got None"),
        ({"schema": 2}, "Expected schema 1 in .* got 2"),
        ({"artifacts": []}, "Expected model files in .* got none"),
        ({"artifacts": [{"file": "../x"}]}, "got a wrong or missing field"),
        ({"artifacts": None}, "got a wrong or missing field"),
        ({"input": {}}, "got a wrong or missing field"),
    ],
)
def test_a_bad_manifest_is_named(
    bundle: Path, change: str | dict[str, object], message: str
) -> None:
    manifest = bundle / "manifest.json"
    if isinstance(change, dict):
        change = json.dumps({**json.loads(manifest.read_text()), **change})
    manifest.write_text(change)
    with pytest.raises(BundleError, match=message):
        Classifier(bundle)


def test_a_manifest_cannot_name_a_file_elsewhere(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    shutil.copy(bundle / "model-int8.tflite", bundle.parent / "outside.tflite")
    manifest["artifacts"][0]["file"] = "../outside.tflite"
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with raises("bundle-manifest"):
        read_bundle(bundle)


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_a_bare_file_that_is_no_model_is_named(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"model.{suffix}"
    file.write_bytes(b"this is not a model, whatever its name says")
    with raises("model-malformed", "model"):
        Classifier(file)


def test_a_bare_file_works_without_its_manifest(
    tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    images, _ = digits
    for artifact in find_artifacts():
        alone = tmp_path / artifact.path.name
        shutil.copy(artifact.path, alone)
        expected = Classifier(artifact.path).predict_batch(images)
        assert np.array_equal(Classifier(alone).predict_batch(images), expected)


def test_the_best_precision_that_a_runtime_can_take_is_chosen() -> None:
    artifacts = [a for a in find_artifacts() if (a.precision, a.format) != ("int8", "tflite")]
    artifact, runtime = choose(artifacts, backend=None)
    assert (artifact.precision, artifact.format, runtime.format) == ("int8", "onnx", "onnx")


def test_what_is_no_model_or_thread_count_is_refused() -> None:
    for model in (5, ["a"], "x" * 5000, "nul\0byte"):
        with pytest.raises(BundleError, match=r"Expected (the path of )?a bundle"):
            Classifier(model)  # type: ignore[arg-type]
    for threads in (0, -1, 10**6, None, "2"):
        with raises("backend-threads", "256"):
            Classifier(threads=threads)  # type: ignore[arg-type]
    ragged = [np.zeros((28, 28), np.uint8), np.zeros((5, 5), np.uint8)]
    with raises("image-shape", "s o"):
        Classifier().predict_probabilities(ragged)
