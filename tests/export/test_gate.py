"""The gate's arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import GateError
from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist_export.verification.gate import Gate, VerifiedFile, check, tolerance
from tests.errors import raises


def verified(format: str = "onnx", **changes: object) -> VerifiedFile:
    artifact = Artifact(Path(f"model-int8.{format}"), format, "int8", ModelSpec())
    good = {
        "accuracy": 0.99,
        "drop": 0.1,
        "agreement": 0.995,
        "max_probability_error": 0.1,
        "mean_probability_error": 0.01,
        "tolerance": 0.2,
        "differing": (),
        "predicted": np.zeros(10_000, np.intp),
    }
    return VerifiedFile(artifact, {}, "onnx", **{**good, **changes})  # type: ignore[arg-type]


def test_files_within_the_limits_pass() -> None:
    check([verified(), verified(drop=0.3), verified(drop=-1.0), verified(agreement=0.99)], Gate())
    check([verified(drop=2.0, agreement=0.9)], Gate(max_drop=2, min_agreement=90))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": 0.31}, "model-int8.onnx dropped 0.31 points"),
        ({"agreement": 0.9899}, "model-int8.onnx agrees on 98.99 %"),
        ({"max_probability_error": 0.21}, "is off by 2.1e-01 in a probability, over its toler"),
    ],
)
def test_the_missed_limit_is_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(GateError, match=message):
        check([verified(), verified(**change)], Gate())


def differing(count: int) -> list[VerifiedFile]:
    """Two formats that predict different digits on `count` images."""
    predicted = np.zeros(10_000, np.intp)
    predicted[:count] = 1
    return [verified(), verified("tflite", predicted=predicted)]


def test_two_formats_may_differ_on_a_tenth_of_the_images_allowed_against_keras() -> None:
    check(differing(10), Gate())
    message = r"model-int8.onnx and model-int8.tflite agree on 99.89 %, under 99.90 %"
    with pytest.raises(GateError, match=message):
        check(differing(11), Gate())
    check(differing(11), Gate(min_agreement=98.0))
    # Five images may be chance.
    strict = Gate(min_agreement=100.0)
    check([replace(v, agreement=1.0) for v in differing(5)], strict)
    with raises("gate-export", "100", "agree on 99.94 %, under 100.00 %"):
        check([replace(v, agreement=1.0) for v in differing(6)], strict)


def test_nan_fails() -> None:
    nan = float("nan")
    with raises("gate-export", "dropped nan points", "is off by nan in a probability"):
        check([verified(drop=nan, max_probability_error=nan)], Gate())


def test_all_failures_are_named_at_once() -> None:
    with raises("gate-export", "dropped 5.00 points", "agrees on 50.00 %", "is off by"):
        check([verified(drop=5, agreement=0.5, max_probability_error=1.0)], Gate())


def test_tolerances_follow_from_the_effect_of_rounded_weights() -> None:
    assert tolerance("float32", weight_error=1e-7) == 1e-5
    assert tolerance("float32", weight_error=1e-5) == pytest.approx(8e-5)
    assert tolerance("float16", weight_error=0.0) == 2**-12
    assert tolerance("int8", weight_error=0.01) == pytest.approx(0.16 + 16 / 256)
    assert tolerance("dynamic", weight_error=0.9) == 1.0
