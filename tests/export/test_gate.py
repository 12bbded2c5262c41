"""The gate's arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist_export.bundles.bundle_writer import BundleWriter
from edge_mnist_export.conversion.converter import ConvertedFile
from edge_mnist_export.verification.gate import Gate, VerifiedFile, error, judge, tolerance
from tests.errors import check_message

DEFAULT = Gate()


def verified(format: str = "onnx", *, images: int = 10_000, **changes: object) -> VerifiedFile:
    artifact = Artifact(Path(f"model-int8.{format}"), format, "int8", ModelSpec())
    good = {
        "accuracy": 0.99,
        "drop": 0.1,
        "changed": 20,
        "agreement": 0.995,
        "max_probability_error": 0.1,
        "mean_probability_error": 0.01,
        "tolerance": 0.2,
        "differing": (),
        "predicted": np.zeros(images, np.intp),
    }
    return VerifiedFile(artifact, {}, "onnx", **{**good, **changes})  # type: ignore[arg-type]


def reasons(*files: VerifiedFile, gate: Gate = DEFAULT) -> dict[str, list[str]]:
    judged = judge(files, gate)
    return {name: [miss.reason for miss in misses] for name, misses in judged.items()}


def remedy(*files: VerifiedFile, gate: Gate = DEFAULT) -> str:
    """Return the end of the message; it begins with "to accept" or "no option"."""
    failure = error(judge(files, gate), gate, out=Path("b"))
    check_message(str(failure), "gate-export", "The other files are in b; ")
    return str(failure).partition("are in b; ")[2]


def test_files_within_the_limits_pass() -> None:
    assert reasons(verified()) == {}
    assert reasons(verified(drop=-1.0)) == {}
    assert reasons(verified(drop=2.0, agreement=0.9), gate=Gate(2, 90)) == {}


def test_a_limit_is_missed_only_by_the_whole_confidence_interval() -> None:
    assert reasons(verified(agreement=0.9881)) == {}
    assert reasons(verified(agreement=0.988)) == {"model-int8.onnx": ["agrees on 98.80 %"]}
    # The limit of 99 % is 5 of 500 images; chance explains 9.
    assert reasons(verified(images=500, agreement=0.982)) == {}
    assert reasons(verified(images=500, agreement=0.980)) != {}
    assert reasons(verified(images=500, agreement=0.998), gate=Gate(min_agreement=100)) != {}
    assert reasons(verified(images=500, agreement=1.0), gate=Gate(min_agreement=100)) == {}
    # Of 10,000 images 45 were lost and 5 gained; of 600 images 3 lost, or 12.
    assert reasons(verified(drop=0.4, changed=50)) == {}
    assert reasons(verified(drop=0.45, changed=50)) == {"model-int8.onnx": ["dropped 0.45 points"]}
    assert reasons(verified(images=600, drop=0.5, changed=3)) == {}
    assert reasons(verified(images=600, drop=2.0, changed=12)) != {}


def test_a_file_over_its_tolerance_fails_and_no_option_accepts_it() -> None:
    file = verified(max_probability_error=0.21)
    (reason,) = reasons(file)["model-int8.onnx"]
    assert reason == "is off by 2.1e-01 in a probability, over its tolerance of 2.0e-01"
    assert remedy(file).startswith("no option accepts")
    dropped = verified("tflite", drop=1.0)
    assert remedy(file, dropped) == "to accept those within tolerance: --max-drop 1."


def differing(count: int, *, images: int = 10_000, **first: object) -> list[VerifiedFile]:
    """Two formats that predict different digits on `count` images."""
    predicted = np.zeros(images, np.intp)
    predicted[:count] = 1
    return [
        verified(images=images, **first),
        verified("tflite", images=images, predicted=predicted),
    ]


def test_two_formats_may_differ_on_a_tenth_of_the_images_allowed_against_keras() -> None:
    # 10 of 10,000 images, and what chance explains.
    assert reasons(*differing(16)) == {}
    assert reasons(*differing(18)) == {
        "model-int8.onnx": ["agrees with model-int8.tflite on 99.82 %, under 99.90 %"],
        "model-int8.tflite": ["agrees with model-int8.onnx on 99.82 %, under 99.90 %"],
    }
    assert reasons(*differing(18), gate=Gate(min_agreement=98.0)) == {}
    # Five images may be chance.
    strict = Gate(min_agreement=100.0)
    same = (replace(v, agreement=1.0) for v in differing(5))
    assert reasons(*same, gate=strict) == {}
    other = (replace(v, agreement=1.0) for v in differing(6))
    assert len(reasons(*other, gate=strict)) == 2
    assert reasons(*differing(5, images=100)) == {}


def test_a_format_that_failed_by_itself_is_the_cause_of_a_difference() -> None:
    failed = reasons(*differing(2000, agreement=0.8))
    assert failed == {
        "model-int8.onnx": [
            "agrees on 80.00 %",
            "agrees with model-int8.tflite on 80.00 %, under 99.90 %",
        ]
    }


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"drop": 1.17}, "to accept: --max-drop 1.2."),
        ({"agreement": 0.9717}, "to accept: --min-agreement 97.1."),
        ({"drop": 5, "agreement": 0.5}, "to accept: --max-drop 5 --min-agreement 50."),
    ],
)
def test_the_named_options_accept_the_file(change: dict[str, float], options: str) -> None:
    file = verified(**change)
    assert remedy(file) == options
    _, _, values = options.removesuffix(".").partition(": ")
    given = dict(zip(*[iter(values.split())] * 2, strict=True))
    gate = Gate(float(given.get("--max-drop", 0.3)), float(given.get("--min-agreement", 99)))
    assert reasons(file, gate=gate) == {}


def test_the_named_options_accept_two_formats_that_differ() -> None:
    assert remedy(*differing(40)) == "to accept: --min-agreement 96."
    assert reasons(*differing(40), gate=Gate(min_agreement=96.0)) == {}
    assert remedy(*differing(2000)).startswith("no option accepts")


def test_nan_fails() -> None:
    nan = float("nan")
    file = verified(drop=nan, max_probability_error=nan)
    first, second = reasons(file)["model-int8.onnx"]
    assert first == "dropped nan points"
    assert second.startswith("is off by nan in a probability")
    assert remedy(file).startswith("no option accepts")


def test_all_failures_are_named_at_once() -> None:
    file = verified(drop=5, agreement=0.5, max_probability_error=1.0)
    failure = error(judge([verified("tflite"), file], DEFAULT), DEFAULT, out=None)
    details = ("model-int8.onnx dropped 5.00 points and agrees on 50.00 % and is off by",)
    check_message(str(failure), "gate-export", *details, "No bundle was written; no option")
    assert "tflite" not in str(failure)


def test_tolerances_follow_from_the_effect_of_rounded_weights() -> None:
    assert tolerance("float32", weight_error=1e-7) == 1e-5
    assert tolerance("float32", weight_error=1e-5) == pytest.approx(8e-5)
    assert tolerance("float16", weight_error=0.0) == 2**-12
    assert tolerance("int8", weight_error=0.01) == pytest.approx(0.16 + 16 / 256)
    assert tolerance("dynamic", weight_error=0.9) == 1.0


def test_only_files_that_the_export_made_are_vouched_for(tmp_path: Path) -> None:
    """They are verified in this process. A file from elsewhere is checked and tried first."""
    writer = BundleWriter(tmp_path)
    made = writer.add(ConvertedFile("tflite", "int8", b"x", {}), ModelSpec())
    foreign = writer.sign("mine.tflite", b"x", "tflite", "unknown", ModelSpec())
    assert made.vouched and not foreign.vouched
