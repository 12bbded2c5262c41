"""The output bytes of int8 files beside the written arithmetic, and beside the manifest."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import backends, datasets
from edge_mnist.bundle import find_artifacts, read_bundle
from edge_mnist.evaluation import evaluate
from edge_mnist.evaluation.output_bytes import compare_outputs, output_bytes
from tests.conftest import SHIPPED, WHOLE, Cli

SPLIT = datasets.load(datasets.find("synthetic", splits=("test",)), "test", limit=200)


def test_every_installed_runtime_equals_the_arithmetic() -> None:
    artifacts = read_bundle(SHIPPED).artifacts
    results = [
        evaluate(artifact, runtime, SPLIT)
        for artifact in artifacts
        for runtime in backends.installed(artifact.format, artifact.precision)
    ]
    compared = compare_outputs(results, artifacts, SPLIT)
    assert {backend for _, backend in compared} >= {"numpy", "litert", "onnx"}
    assert {outputs.text for outputs in compared.values()} == {"equal to the byte"}
    assert len({outputs.sha256 for outputs in compared.values()}) == 1


def test_differences_are_counted_in_images_and_steps() -> None:
    artifacts = find_artifacts(SHIPPED)
    result = evaluate(artifacts[0], backends.get("litert"), SPLIT)
    raw = output_bytes(result).astype(int)
    raw[3, 0] += 2 if raw[3, 0] < 128 else -2
    raw[5, 1] += 1 if raw[5, 1] < 128 else -1
    changed = replace(result, probabilities=(raw / 256).astype(np.float32))
    (outputs,) = compare_outputs([changed], artifacts, SPLIT).values()
    assert (outputs.differing, outputs.most_steps) == (2, 2)
    assert outputs.text == "2 images differ, by at most 2 steps"


def test_float_files_and_foreign_files_are_not_compared() -> None:
    artifacts = find_artifacts(WHOLE / "model-float32.tflite")
    result = evaluate(artifacts[0], backends.get("litert"), SPLIT)
    assert compare_outputs([result], artifacts, SPLIT) == {}


def test_other_outputs_than_recorded_are_one_line_a_runtime(cli: Cli, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    recorded = {"images": 200, "sha256": SPLIT.sha256, "int8_outputs_sha256": "0" * 64}
    manifest["evaluation"] |= recorded
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    options = ("--data", "synthetic", "--limit", "200")
    warnings = cli("evaluate", bundle, *options).stderr
    for backend in ("litert", "numpy"):
        assert (
            f"warning: Expected model-int8.tflite on {backend} to give the outputs that its "
            f"manifest records, got others: of 200 images none differs from the written arithmetic."
        ) in warnings
    # Of other images nothing is recorded.
    assert "records" not in cli("evaluate", bundle, *options[:3], "100").stderr


@pytest.mark.slow
def test_the_shipped_manifests_record_the_outputs_on_mnist(mnist: Path) -> None:
    test = datasets.load(datasets.find(str(mnist), splits=("test",)), "test")
    for name in ("edge", "nano"):
        artifacts = find_artifacts(SHIPPED.parent / name)
        result = evaluate(artifacts[0], backends.get("numpy"), test)
        (outputs,) = compare_outputs([result], artifacts, test).values()
        assert outputs.recorded == outputs.sha256
