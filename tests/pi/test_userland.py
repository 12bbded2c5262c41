"""edge-mnist in a Raspberry Pi's userland: installed by pip, and all its commands run."""

from __future__ import annotations

import json
from concurrent.futures import Future
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_mnist import Classifier
from edge_mnist.backends.diagnosis import text
from tests.conftest import find_mnist
from tests.pi.conftest import BUNDLES, DIGITS, IMAGES, SETUPS, Outputs, Pi

# Emulation is slow, so that some setups do not do everything.
by_pip = pytest.mark.parametrize("pi", [n for n, s in SETUPS.items() if s.pip], indirect=True)


def runs(command: str) -> pytest.MarkDecorator:
    """Ask only the setups that run a command."""
    names = [name for name, setup in SETUPS.items() if command in setup.commands]
    return pytest.mark.parametrize("pi", names, indirect=True)


@by_pip
def test_pip_brings_one_runtime_and_what_debian_lacks(pi: Pi) -> None:
    wanted = {wheel.partition("==")[0].lower().replace("-", "_") for wheel in pi.setup.wheels}
    installed = {name.replace(".", "_").replace("-", "_") for name in pi.packages}
    assert installed == {"edge_mnist"} | {name.replace(".", "_") for name in wanted}
    if pi.setup.debian:
        assert installed == {"edge_mnist", "click", "tflite_runtime"}


def test_doctor_knows_the_system_and_advises_what_it_can_have(pi: Pi) -> None:
    said = json.loads(pi.answers["doctor"].stdout)
    system = pi.setup.system
    assert said["environment"]["machine"] == system.machine
    assert said["environment"]["python"].startswith(f"{system.python}.")
    debians = {"bookworm": "1.24.", "trixie": "2.2."}[system.suite]
    assert said["environment"]["numpy"].startswith(debians if pi.setup.debian else "2.")
    state = {row["backend"]: row for row in said["runtimes"]}
    assert [name for name, row in state.items() if row["works"]] == pi.setup.backends
    assert said["uses"] == {"file": "model-int8.tflite", "backend": pi.setup.backends[0]}
    for name in {"litert", "onnx"} - set(pi.setup.backends):
        advice = f"pip install 'edge-mnist[{name}]'"
        if system.architecture != "arm64":
            advice = f"{state[name]['distribution']} has no wheel for a 32-bit Python"
        assert state[name]["advice"] == f"not installed; {advice}"


@pytest.mark.parametrize(
    ("setup", "lacks"), [("32-bit trixie", "Python 3.12 and later"), ("ARMv6", "ARMv6")]
)
def test_doctor_advises_no_runtime_where_none_has_a_wheel(
    pis: dict[str, Future[Pi]], setup: str, lacks: str
) -> None:
    said = json.loads(pis[setup].result().answers["doctor"].stdout)
    state = {row["backend"]: row for row in said["runtimes"]}
    assert state["tflite"]["advice"] == f"not installed; tflite-runtime has no wheel for {lacks}"
    assert not any("pip install" in (row["advice"] or "") for row in state.values())
    assert text(said).endswith(
        "\nNo other runtime has a wheel for this machine. numpy runs int8 files only."
    )


def test_predict_reads_the_example_digits(pi: Pi) -> None:
    rows = [json.loads(line) for line in pi.answers["predict"].stdout.splitlines()]
    assert [row["digit"] for row in rows] == list(range(10)), pi.answers["predict"].stderr
    # As sure as on this machine, to a step of the uint8 probability; the JSON has six decimals.
    here = Classifier(backend="litert")
    for row in rows:
        expected = here.predict(DIGITS / Path(row["image"]).name).confidence
        assert row["confidence"] == pytest.approx(expected, abs=1 / 256 + 1e-6)


@runs("example")
def test_the_example_script_runs(pi: Pi) -> None:
    assert "7.png: 7 (" in pi.answers["example"].stdout, pi.answers["example"].stderr


@runs("evaluate")
def test_evaluate_reads_images_in_every_runtime(pi: Pi) -> None:
    done = pi.answers["evaluate"]
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["images"] == pi.setup.evaluated
    assert [row["backend"] for row in said["results"]].count("numpy") == 1
    assert {row["backend"] for row in said["results"]} == set(pi.setup.backends)
    assert len(said["results"]) == _rows(pi)
    # The shipped models misread none of MNIST's first 100; of drawn digits, no MNIST, some.
    least = 1 if said["data"] == "mnist-test" else 0.9
    assert all(row["accuracy"] >= least for row in said["results"]), said
    for row in said["results"]:
        assert ("outputs" in row) == ("int8" in row["file"])
        if row["backend"] == "numpy":
            assert row["outputs"]["differing_images"] == row["outputs"]["most_steps"] == 0


@runs("benchmark")
def test_benchmark_measures_every_file_in_every_runtime(pi: Pi) -> None:
    done = pi.answers["benchmark"]
    assert done.returncode == 0, done.stderr
    document = json.loads((pi.venv.parent / "benchmark.json").read_text(encoding="utf-8"))
    rows = document["results"]
    assert len(rows) == _rows(pi)
    assert all(row["predict_us"]["n"] == 10 and row["peak_rss_mb"] > 10 for row in rows)
    # What the emulated processor says of itself, not this machine's.
    assert "avx2" not in document["environment"]["cpu_features"]
    assert (pi.venv.parent / "benchmark.html").read_text(encoding="utf-8").endswith("</html>\n")


def _rows(pi: Pi) -> int:
    """Two files in each runtime, and the int8 file in numpy."""
    return 2 * (len(pi.setup.backends) - 1) + 1


@pytest.mark.parametrize("bundle", BUNDLES)
def test_numpy_outputs_are_those_of_x86_64_to_the_byte(
    pi: Pi, arithmetic: Outputs, bundle: str
) -> None:
    """Five Debians on three processors: with numpy 1 and 2, Debian's reference BLAS, OpenBLAS."""
    raw = pi.outputs[f"{Path(bundle).name} model-int8.tflite numpy"]
    expected = arithmetic[Path(bundle).name][: pi.setup.images]
    assert raw.dtype == np.uint8
    assert raw.shape == (pi.setup.images, 10)
    assert raw.tobytes() == expected.tobytes()


# Of 300 images, those whose output bytes may differ from the arithmetic, and by how many steps of
# 1/256; as observed. The releases are those of SETUPS. LiteRT differs in none on x86-64.
MOST_MNIST = {"numpy": (0, 0), "onnx": (0, 0), "litert": (1, 1), "tflite": (1, 1)}
MOST_DRAWN = MOST_MNIST | {"litert": (4, 1), "tflite": (10, 11)}


def test_int8_runtimes_are_close_to_the_arithmetic(pi: Pi, arithmetic: Outputs) -> None:
    most = MOST_MNIST if find_mnist() else MOST_DRAWN
    for name, raw in pi.outputs.items():
        bundle, file, backend = name.split()
        if "int8" in file:
            steps = np.abs(raw.astype(int) - arithmetic[bundle][: len(raw)]).max(axis=1)
            assert np.count_nonzero(steps) <= most[backend][0], (name, steps)
            assert steps.max() <= most[backend][1], (name, steps)


def test_int8_outputs_are_those_of_x86_64_to_the_byte(
    pis: dict[str, Future[Pi]], reference: Outputs
) -> None:
    """tflite-runtime 2.14.0 on three processors; integers leave no room for rounding."""
    for bundle in ("bundle", "nano"):
        name = f"{bundle} model-int8.tflite tflite"
        assert reference[name].dtype == np.uint8
        assert reference[name].shape == (IMAGES, 10)
        for setup in ("32-bit", "64-bit Debian"):
            assert pis[setup].result().outputs[name].tobytes() == reference[name].tobytes(), setup


@pytest.mark.parametrize(("bundle", "files"), [("bundle", 2), ("nano", 1)])
def test_all_runtimes_read_the_same_digits(
    pis: dict[str, Future[Pi]], reference: Outputs, bundle: str, files: int
) -> None:
    named = {"x86-64": reference, **{name: pi.result().outputs for name, pi in pis.items()}}
    raws = {
        f"{setup} {name}": raw
        for setup, outputs in named.items()
        for name, raw in outputs.items()
        if name.startswith(f"{bundle} ")
    }
    # x86-64 has one runtime, as have two of the setups; one has two. numpy runs one file in each.
    assert len(raws) == files * (1 + 1 + 1 + 2) + (1 + len(pis))
    for a, b in combinations(raws, 2):
        both = min(len(raws[a]), len(raws[b]))
        digits = raws[a][:both].argmax(axis=1), raws[b][:both].argmax(axis=1)
        differing = np.flatnonzero(digits[0] != digits[1])
        # int8 may read otherwise what float32 is in doubt of: an export's gate allows 1 %.
        allowed = IMAGES // 100
        if ("int8" in a) == ("int8" in b):
            allowed = 0
            if find_mnist() is None:  # drawn digits, one of which is as likely another
                allowed = sum(_in_doubt(raws[a][i]) and _in_doubt(raws[b][i]) for i in differing)
        assert len(differing) <= allowed, (a, b, differing)


def _in_doubt(raw: NDArray[np.generic]) -> bool:
    """Whether two digits are about as likely in int8: to a step of the last layer's sums.

    tflite-runtime 2.14.0 rounds some of them otherwise than LiteRT and ONNX Runtime do.
    """
    second, first = np.sort(raw)[-2:].tolist()
    return raw.dtype == np.uint8 and second > 0.8 * first
