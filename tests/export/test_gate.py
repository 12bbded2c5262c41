"""The gate's arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import GateError
from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist_export.verification.gate import Gate, Verdict, check, tolerance


def verdict(format: str = "onnx", **changes: object) -> Verdict:
    artifact = Artifact(Path(f"model-int8.{format}"), format, "int8", ModelSpec())
    good = {
        "accuracy": 0.99,
        "drop": 0.1,
        "agreement": 0.995,
        "max_probability_error": 0.1,
        "mean_probability_error": 0.01,
        "tolerance": 0.2,
        "differing": (),
        "digits": np.zeros(10_000, np.intp),
    }
    return Verdict(artifact, "onnx", **{**good, **changes})  # type: ignore[arg-type]


def test_what_is_kept_passes() -> None:
    check([verdict(), verdict(drop=0.3), verdict(drop=-1.0), verdict(agreement=0.99)], Gate())
    check([verdict(drop=2.0, agreement=0.9)], Gate(max_drop=2, min_agreement=90))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": 0.31}, "model-int8.onnx dropped 0.31 points"),
        ({"agreement": 0.9899}, "model-int8.onnx agrees on 98.99 %"),
        ({"max_probability_error": 0.21}, "is off by 2.1e-01 in a probability, over its toler"),
    ],
)
def test_what_is_lost_is_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(GateError, match=message):
        check([verdict(), verdict(**change)], Gate())


def apart(count: int) -> list[Verdict]:
    digits = np.zeros(10_000, np.intp)
    digits[:count] = 1
    return [verdict(), verdict("tflite", digits=digits)]


def test_two_formats_may_differ_on_a_tenth_of_what_either_may_from_keras() -> None:
    check(apart(10), Gate())
    message = r"model-int8.onnx and model-int8.tflite agree on 99.89 %, under 99.90 %"
    with pytest.raises(GateError, match=message):
        check(apart(11), Gate())
    check(apart(11), Gate(min_agreement=98.0))
    # Five images are no more than chance.
    strict = Gate(min_agreement=100.0)
    check([replace(v, agreement=1.0) for v in apart(5)], strict)
    with pytest.raises(GateError, match=r"agree on 99.94 %, under 100.00 %"):
        check([replace(v, agreement=1.0) for v in apart(6)], strict)


def test_what_is_no_number_is_lost() -> None:
    nan = float("nan")
    with pytest.raises(GateError, match=r"dropped nan points; .* is off by nan in a probability"):
        check([verdict(drop=nan, max_probability_error=nan)], Gate())


def test_all_failures_are_named_at_once() -> None:
    with pytest.raises(GateError, match=r"dropped 5.00 points; .* agrees on 50.00 %; .* is off by"):
        check([verdict(drop=5, agreement=0.5, max_probability_error=1.0)], Gate())


def test_tolerances_follow_from_what_rounded_weights_do() -> None:
    assert tolerance("float32", weight_error=1e-7) == 1e-5
    assert tolerance("float32", weight_error=1e-5) == pytest.approx(8e-5)
    assert tolerance("float16", weight_error=0.0) == 2**-12
    assert tolerance("int8", weight_error=0.01) == pytest.approx(0.16 + 16 / 256)
    assert tolerance("dynamic", weight_error=0.9) == 1.0
