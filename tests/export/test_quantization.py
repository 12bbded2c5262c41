"""Quantization: activation ranges, the scheme search, and the images that each may use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist.datasets import Split, find, load
from edge_mnist_export.data.validation import hold_out
from edge_mnist_export.quantization.calibration import check_pixels, representative
from edge_mnist_export.quantization.ranges import METHODS, Statistics, observe
from edge_mnist_export.quantization.search import (
    FormatResult,
    Scheme,
    SchemeResult,
    choose,
    search,
)
from tests.errors import raises


def statistics(values: np.ndarray) -> Statistics:
    images = values.reshape(10, -1).astype(np.float32)
    return observe(lambda image: {"x": image}, images, (10,))[10]["x"]


def normal(*, outlier: float = 0.0) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=200_000)
    values[7] = outlier
    return values


def test_min_max_is_the_smallest_and_the_largest_value() -> None:
    values = normal()
    low, high = statistics(values).range("min-max")
    # 10 significant bits: half a step of 2^-9 at the most
    assert low == pytest.approx(values.min(), rel=2**-10)
    assert high == pytest.approx(values.max(), rel=2**-10)


def test_values_that_differ_in_the_last_bits_have_one_range() -> None:
    values = normal()
    for method in METHODS:
        ranges = {statistics(values * (1 + k * 1e-7)).range(method) for k in range(-3, 4)}
        assert len(ranges) == 1


def test_percentile_clips_half_of_its_fraction_at_either_end() -> None:
    values = normal()
    low, high = statistics(values).range("percentile")
    # In a normal distribution 0.005 % of the values are beyond 3.89 deviations on either side.
    assert low == pytest.approx(np.quantile(values, 5e-5), abs=0.02)
    assert high == pytest.approx(np.quantile(values, 1 - 5e-5), abs=0.02)


def test_entropy_and_percentile_clip_an_outlier() -> None:
    observed = statistics(normal(outlier=40.0))
    assert observed.range("min-max")[1] == pytest.approx(40)
    assert observed.range("percentile")[1] < 4.5
    assert 2.5 < observed.range("entropy")[1] < 8


@pytest.mark.parametrize("method", METHODS)
def test_the_range_behind_a_relu_begins_at_zero(method: str) -> None:
    values = np.maximum(normal(), 0)
    low, high = statistics(values).range(method)
    assert low == 0
    assert 2 < high <= values.max() * (1 + 2**-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_tensor_has_a_range(method: str, value: float) -> None:
    low, high = statistics(np.full(1000, value)).range(method)
    assert low <= value <= high or np.isclose(high, value, rtol=1e-3)


def test_statistics_of_fewer_images_exclude_the_others() -> None:
    images = np.arange(1, 11, dtype=np.float32).reshape(10, 1)
    observed = observe(lambda image: {"x": image}, images, (2, 10))
    assert observed[2]["x"].range("min-max") == (1, 2)
    assert observed[10]["x"].range("min-max") == (1, 10)
    assert (observed[2]["x"].counts.sum(), observed[10]["x"].counts.sum()) == (2, 10)


def result(scheme: Scheme, error: float) -> SchemeResult:
    return SchemeResult(scheme, {"tflite": FormatResult(0.99, 1.0, error)})


def test_the_least_error_is_chosen_and_among_equal_ones_the_first() -> None:
    bad, plain, fine = (Scheme(500, method) for method in METHODS)
    assert choose([result(bad, 9e-4), result(plain, 4e-4), result(fine, 2e-4)]).scheme == fine
    assert choose([result(plain, 4.1e-4), result(fine, 4.0e-4)]).scheme == plain


def test_the_search_tries_methods_weights_and_fewer_images() -> None:
    tried: list[Scheme] = []

    def measure(scheme: Scheme) -> SchemeResult:
        tried.append(scheme)
        wanted = scheme.method == "entropy" and not scheme.per_channel
        return result(scheme, 1e-4 * scheme.images if wanted else 1.0)

    found = search(measure, (20, 100, 500))
    assert found.chosen == Scheme(20, "entropy", per_channel=False)
    assert len(set(tried)) == len(tried) == 8
    assert [r.scheme for r in found.results] == tried


def test_calibration_images_are_balanced_seeded_and_not_held_out() -> None:
    train, validation = hold_out(load(find("synthetic"), "train", limit=3000))
    assert (len(train.images), len(validation.images)) == (2750, 250)
    chosen, counts = representative(train, per_class=(2, 20), seed=4)
    assert counts == (20, 200)
    pairs = zip(train.images, train.labels, strict=True)
    labels = {image.tobytes(): label for image, label in pairs}
    for count in counts:
        classes = [labels[image.tobytes()] for image in chosen[:count]]
        assert np.bincount(classes, minlength=10).tolist() == [count // 10] * 10
    assert not {image.tobytes() for image in validation.images} & labels.keys()
    again, other = (representative(train, per_class=(2, 20), seed=seed)[0] for seed in (4, 5))
    assert np.array_equal(chosen, again)
    assert not np.array_equal(chosen, other)


def test_a_small_class_gives_all_its_images() -> None:
    images = np.arange(9, dtype=np.uint8).repeat(784).reshape(9, 28, 28)
    labels = np.array([0] * 6 + [1] * 3, np.uint8)
    split = Split("own-few-train", images, labels, "", ("a", "b", "none"))
    chosen, counts = representative(split, per_class=(2, 5), seed=0)
    assert (len(chosen), counts) == (8, (4, 8))
    assert sorted(chosen[:4, 0, 0] >= 6) == [False, False, True, True]


def test_pixels_scaled_twice_are_an_error() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
    check_pixels(images, "mine")
    with raises("data-pixel-span", "got 0 to 1 in mine"):
        check_pixels(images // 255, "mine")


def test_the_manifest_lists_the_schemes_tried(bundle: Path) -> None:
    calibration = json.loads((bundle / "manifest.json").read_text())["calibration"]
    # A twelfth of the run's 20,000 images, which its training held out.
    assert calibration["validation_images"] == 1666
    assert calibration["held_out_of_training"] is True
    tried = calibration["tried"]
    assert len(tried) == 8
    assert {row["method"] for row in tried} == set(METHODS)
    assert {row["weights"] for row in tried} == {"per channel", "per tensor"}
    assert {row["images"] for row in tried} == {20, 100, 500}
    chosen = {key: calibration[key] for key in ("method", "weights", "images")}
    (row,) = [row for row in tried if chosen.items() <= row.items()]

    def error(row: dict[str, dict[str, float]]) -> float:
        return row["tflite"]["mean_probability_error"] + row["onnx"]["mean_probability_error"]

    assert error(row) <= 1.06 * min(map(error, tried))
    # Schemes that give different files have different errors.
    assert len({error(row) for row in tried}) >= 6
    assert all(0.5 < row["tflite"]["accuracy"] <= 1 for row in tried)


def test_the_manifest_s_measurements_are_those_of_the_file(run: Path, bundle: Path) -> None:
    import keras

    calibration = json.loads((bundle / "manifest.json").read_text())["calibration"]
    _, validation = hold_out(load(find("synthetic"), "train", limit=20_000))
    chosen = {key: calibration[key] for key in ("method", "weights", "images")}
    (row,) = [row for row in calibration["tried"] if chosen.items() <= row.items()]
    keras_model = keras.saving.load_model(run / "model.keras", compile=False)
    expected = keras_model.predict(validation.images[..., np.newaxis] / np.float32(255), verbose=0)
    for format in ("tflite", "onnx"):
        classifier = Classifier(bundle / f"model-int8.{format}")
        probabilities = classifier.predict_probabilities(validation.images)
        accuracy = (probabilities.argmax(axis=1) == validation.labels).mean()
        assert accuracy == pytest.approx(row[format]["accuracy"], abs=1e-6)
        error = np.abs(probabilities - expected).mean()
        assert error == pytest.approx(row[format]["mean_probability_error"], rel=1e-3)


def test_a_scheme_gives_both_formats_the_same_scales(run: Path) -> None:
    import keras
    import onnx
    from ai_edge_litert.interpreter import Interpreter

    from edge_mnist_export.conversion import onnx as to_onnx
    from edge_mnist_export.conversion import tflite as to_tflite

    model = keras.saving.load_model(run / "model.keras", compile=False)
    images = load(find("synthetic"), "train", limit=40).images[..., np.newaxis] / np.float32(255)
    quantizers = []
    for to in (to_tflite, to_onnx):
        with to.trace(model) as graph:
            quantizers.append(to.Quantizer(graph, images, (20, 40), (0.0, 1.0)))
    for scheme in (Scheme(40), Scheme(40, "percentile", per_channel=False), Scheme(20, "entropy")):
        tflite, onnx_file = (quantizer.quantize(scheme) for quantizer in quantizers)
        interpreter = Interpreter(model_content=tflite)
        details = interpreter.get_tensor_details()
        scales = [d["quantization_parameters"]["scales"] for d in details]
        graph = onnx.load_from_string(onnx_file).graph
        values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        # Tensors with one scale: the input, two convolutions, two dense layers, the output.
        activations = {float(s[0]) for d, s in zip(details, scales, strict=True) if s.size == 1}
        for node in graph.node:
            if node.op_type == "QuantizeLinear" and node.output[0].startswith(("conv", "gemm")):
                scale = float(values[node.input[1]])
                assert min(abs(a / scale - 1) for a in activations) < 1e-4, (scheme, node.name)
        assert any(s.size == 24 for s in scales) == scheme.per_channel
        kernels = [v for n, v in values.items() if n.endswith("weight_scale")]
        assert kernels
        assert all((kernel.size > 1) == scheme.per_channel for kernel in kernels)
