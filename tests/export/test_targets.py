"""Targets and `loads_in`, checked against the oldest runtimes that Python 3.11 can install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from edge_mnist_export.conversion import targets
from edge_mnist_export.conversion.targets import TARGETS
from tests.conftest import REPOSITORY, SHIPPED, Cli, Install
from tests.errors import assert_error, error_line, raises

OLDEST = {"tflite-runtime": "2.14.0", "ai-edge-litert": "1.0.0", "onnxruntime": "1.15.0"}
BACKENDS = {"tflite": "tflite-runtime", "litert": "ai-edge-litert", "onnx": "onnxruntime"}
Device = Callable[..., subprocess.CompletedProcess[str]]

# Prints the files of a folder that an interpreter loads. It needs only the runtime.
TRY_ALL = """
import importlib, os, sys
Interpreter = importlib.import_module(sys.argv[1]).Interpreter
for name in os.listdir(sys.argv[2]):
    try:
        Interpreter(model_content=open(os.path.join(sys.argv[2], name), "rb").read())
    except ValueError as error:
        assert "Didn't find op" in str(error) or "out of range" in str(error), error
    else:
        print(name)
"""


@pytest.fixture(scope="session")
def old(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with numpy 1 and the oldest releases of all three runtimes."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs Python 3.11, the last with a wheel of tflite-runtime")
    environment = tmp_path_factory.mktemp("old") / "venv"
    wanted = [f"{name}=={version}" for name, version in OLDEST.items()]
    done = install(environment, "--no-deps", *wanted, "numpy==1.26.4", "pillow", "click")
    if done.returncode:
        pytest.skip(f"needs uv to fetch {', '.join(wanted)}: {done.stderr.strip()[-200:]}")
    return environment / "bin" / "python"


@pytest.fixture(scope="session")
def device(old: Path) -> Device:
    """Run `edge-mnist` in that Python, as on a Raspberry Pi without the host package."""

    def run(*arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [old, "-c", "from edge_mnist.cli import main; main()", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def pi32(host: Cli, run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bundle for 32-bit Raspberry Pi OS, and the stderr of its export."""
    folder = tmp_path_factory.mktemp("targets") / "pi32"
    done = host("export", run, "--dynamic", "--target", "raspberry-pi-32", "--out", folder)
    return folder, done.stderr


def entries(bundle: Path) -> list[dict[str, Any]]:
    return list(json.loads((bundle / "manifest.json").read_text())["artifacts"])


def evaluated(run: Callable[..., Any], model: Path, backend: str) -> list[dict[str, Any]]:
    asked = ("--data", "synthetic", "--limit", "200", "--backend", backend, "--json")
    return list(json.loads(run("evaluate", model, *asked).stdout)["results"])


def loads(oldest: str | None, release: str) -> bool:
    def number(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    return oldest is not None and number(release) >= number(oldest.removeprefix(">="))


# Prints a file's metadata as TensorFlow's own reader understands it.
READ_METADATA = """
import sys, zipfile
from tensorflow_lite_support.metadata import metadata_schema_py_generated as m
from tensorflow_lite_support.metadata import schema_py_generated as s
content = open(sys.argv[1], "rb").read()
model = s.Model.GetRootAsModel(content, 0)
metadata = [model.Metadata(i) for i in range(model.MetadataLength())]
entries = {entry.Name(): entry.Buffer() for entry in metadata}
raw = model.Buffers(entries[b"TFLITE_METADATA"]).DataAsNumpy().tobytes()
assert m.ModelMetadata.ModelMetadataBufferHasIdentifier(raw, 0)
graph = m.ModelMetadata.GetRootAsModelMetadata(raw, 0).SubgraphMetadata(0)
image, scores = graph.InputTensorMetadata(0), graph.OutputTensorMetadata(0)
properties = m.ImageProperties()
content_table = image.Content()
properties.Init(content_table.ContentProperties().Bytes, content_table.ContentProperties().Pos)
options = m.NormalizationOptions()
union = image.ProcessUnits(0).Options()
options.Init(union.Bytes, union.Pos)
assert content_table.ContentPropertiesType() == m.ContentProperties.ImageProperties
assert image.ProcessUnits(0).OptionsType() == m.ProcessUnitOptions.NormalizationOptions
file = scores.AssociatedFiles(0)
assert file.Type() == m.AssociatedFileType.TENSOR_AXIS_LABELS
labels = zipfile.ZipFile(sys.argv[1]).read(file.Name().decode()).decode().split()
print(image.Name().decode(), properties.ColorSpace(), options.Mean(0), options.Std(0),
      image.Stats().Min(0), image.Stats().Max(0), scores.Name().decode(), *labels)
"""


@pytest.mark.install
def test_tflite_support_reads_the_metadata(
    bundle: Path, old: Path, install: Install, tmp_path: Path
) -> None:
    wanted = ("tflite-support==0.4.4", "flatbuffers==25.9.23")
    done = install(old.parents[1], "--no-deps", "--target", tmp_path, *wanted)
    if done.returncode:
        pytest.skip(f"needs uv to fetch {', '.join(wanted)}: {done.stderr.strip()[-200:]}")
    for name in ("model-float32.tflite", "model-int8.tflite"):
        done = subprocess.run(
            [old, "-c", READ_METADATA, bundle / name],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        words = "image 2 0.0 255.0 0.0 1.0 probabilities 0 1 2 3 4 5 6 7 8 9"
        assert done.stdout.split() == words.split()


def test_the_manifest_states_the_runtimes_of_each_file(bundle: Path) -> None:
    stated = {entry["file"]: entry["loads_in"] for entry in entries(bundle)}
    everywhere = {"tflite-runtime": ">=2.7.0", "ai-edge-litert": ">=1.0.0"}
    calibration = json.loads((bundle / "manifest.json").read_text())["calibration"]
    # Below 2.10 per-channel scales of a dense layer load, but the outputs are garbage.
    int8 = ">=2.10.0" if calibration["weights"] == "per channel" else ">=2.7.0"
    assert stated == {
        "model-float32.tflite": everywhere,
        "model-float16.tflite": everywhere,
        # It needs FULLY_CONNECTED version 12, which the last tflite-runtime does not have.
        "model-dynamic.tflite": {**everywhere, "tflite-runtime": None},
        "model-int8.tflite": {**everywhere, "tflite-runtime": int8},
        "model-float32.onnx": {"onnxruntime": ">=1.6.0"},
        "model-float16.onnx": {"onnxruntime": ">=1.6.0"},
        "model-dynamic.onnx": {"onnxruntime": ">=1.6.0"},
        "model-int8.onnx": {"onnxruntime": ">=1.7.0"},
    }
    ops = {entry["file"]: entry.get("ops") for entry in entries(bundle)}
    assert ops["model-dynamic.tflite"] == {
        "CONV_2D": 5,
        "RESHAPE": 1,
        "FULLY_CONNECTED": 12,
        "SOFTMAX": 1,
    }
    assert json.loads((bundle / "manifest.json").read_text())["target"] == "generic"


@pytest.mark.install
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_oldest_runtimes_confirm_the_manifest(
    bundle: Path, device: Device, cli: Cli, backend: str
) -> None:
    """Each file loads where the manifest says so, and predicts as in the newest runtime."""
    newest = "onnx" if backend == "onnx" else "litert"
    expected = {row["file"]: row["errors"] for row in evaluated(cli, bundle, newest)}
    runtime = BACKENDS[backend]
    files = [entry for entry in entries(bundle) if runtime in entry["loads_in"]]
    assert len(files) == 4
    for entry in files:
        path = bundle / entry["file"]
        if loads(entry["loads_in"][runtime], OLDEST[runtime]):
            (row,) = evaluated(device, path, backend)
            # Kernels round differently, so one image of 200 may change its digit.
            assert abs(row["errors"] - expected[entry["file"]]) <= 1, row
        else:
            done = device("predict", "x.png", "--model", path, "--backend", backend, status=2)
            assert_error(
                done,
                "model-too-new",
                "tflite-runtime",
                "2.14.0",
                "model-dynamic.tflite",
                "FULLY_CONNECTED version 12",
                "edge-mnist export --target raspberry-pi-64",
            )


def test_for_a_32_bit_pi_the_export_falls_back_and_reports_it(pi32: tuple[Path, str]) -> None:
    folder, stderr = pi32
    assert "No onnx files: raspberry-pi-32 has no runtime for them\n" in stderr
    assert (
        "model-dynamic.tflite needs FULLY_CONNECTED version 12, which tflite-runtime 2.14.0 does "
        "not have: for raspberry-pi-32 it gets one scale for all weights of a dense layer\n"
    ) in stderr
    assert json.loads((folder / "manifest.json").read_text())["target"] == "raspberry-pi-32"
    by_name = {entry["file"]: entry for entry in entries(folder)}
    assert set(by_name) == {"model-float32.tflite", "model-dynamic.tflite"}
    dynamic = by_name["model-dynamic.tflite"]
    assert dynamic["given_up"] == "one scale for all weights of a dense layer"
    assert dynamic["ops"]["FULLY_CONNECTED"] == 9
    assert dynamic["loads_in"]["tflite-runtime"] == ">=2.7.0"
    assert "given_up" not in by_name["model-float32.tflite"]


@pytest.mark.install
def test_the_fallback_runs_in_tflite_runtime(pi32: tuple[Path, str], device: Device) -> None:
    float32, dynamic = evaluated(device, pi32[0], "tflite")
    assert dynamic["file"] == "model-dynamic.tflite"
    assert abs(dynamic["errors"] - float32["errors"]) <= 2


def test_a_format_that_the_target_cannot_load_is_refused(
    host: Cli, run: Path, tmp_path: Path
) -> None:
    for formats in ("onnx", "tflite,onnx"):
        asked = ("--target", "raspberry-pi-32", "--format", formats, "--out", tmp_path / "b")
        assert_error(
            host("export", run, *asked, status=2),
            "model-target-format",
            "raspberry-pi-32",
            "tflite",
            "onnx",
        )
    assert not (tmp_path / "b").exists()


def edited(source: Path, op: str, *, version: int = 1, number: int = 0, name: bytes = b"") -> bytes:
    """Return a TFLite file in which `op` has another version, another number or another name."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(source))
    old = getattr(schema.BuiltinOperator, op)
    (code,) = (code for code in model.operatorCodes if code.builtinCode == old)
    code.version, code.builtinCode, code.customCode = version, number or old, name or None
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def test_a_need_without_a_fallback_is_named(bundle: Path) -> None:
    from edge_mnist_export.conversion import tflite

    content = edited(bundle / "model-int8.tflite", "SOFTMAX", version=40)
    needs = tflite.needs(content)
    assert targets.loads_in("tflite", needs) == {"tflite-runtime": None, "ai-edge-litert": None}
    with raises(
        "model-target",
        "raspberry-pi-32",
        "m.tflite, which needs SOFTMAX version 40",
        "tflite-runtime 2.14.0 does not have",
    ):
        TARGETS["raspberry-pi-32"].check("m.tflite", "tflite", needs)
    TARGETS["generic"].check("m.tflite", "tflite", needs)


@pytest.mark.install
def test_every_interpreter_names_an_unknown_operator(
    bundle: Path, device: Device, cli: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "strange.tflite"
    upgrade, never = "or export again with: edge-mnist export --target", "no release has that"
    for change, needs, remedy in (
        ({"version": 40}, "SOFTMAX version 40", upgrade),
        ({"number": 999}, "the builtin op of number 999", upgrade),
        ({"number": 32, "name": b"FlexSoftmax"}, "the custom op FlexSoftmax", never),
        ({"number": 32, "name": b"AcmeSoftmax"}, "the custom op AcmeSoftmax", never),
    ):
        path.write_bytes(edited(bundle / "model-int8.tflite", "SOFTMAX", **change))
        for run, backend in ((device, "tflite"), (device, "litert"), (cli, "litert")):
            asked = ("predict", "x.png", "--model", path, "--backend", backend)
            line = error_line(run(*asked, status=2))
            assert f"can load, got strange.tflite, which needs {needs}; " in line
            assert remedy in line


def stamped(source: Path, opset: int, ir_version: int) -> bytes:
    import onnx

    model = onnx.load(source)
    model.ir_version = ir_version
    next(entry for entry in model.opset_import if not entry.domain).version = opset
    return bytes(model.SerializeToString())


@pytest.mark.install
def test_an_onnx_file_too_new_is_named(
    bundle: Path, device: Device, cli: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "new.onnx"
    for run, release, opset, ir_version, needs in (
        (device, "1.15.0", 13, 14, "IR version 14"),
        (device, "1.15.0", 20, 9, "opset 20"),
        (cli, "1.32.0", 99, 9, "opset 99"),
    ):
        path.write_bytes(stamped(bundle / "model-float32.onnx", opset, ir_version))
        done = run("predict", "x.png", "--model", path, "--backend", "onnx", status=2)
        assert error_line(done) == (
            f"Expected a model that onnxruntime {release} can load, got new.onnx, which needs "
            f"{needs}; upgrade it with: pip install --upgrade onnxruntime, or export again with: "
            f"edge-mnist export --target raspberry-pi-64"
        )


@pytest.mark.install
@pytest.mark.parametrize(("opset", "ir_version"), [(18, 9), (19, 9), (18, 10)])
def test_the_table_of_onnx_runtime_agrees_with_1_15(
    bundle: Path, device: Device, tmp_path: Path, opset: int, ir_version: int
) -> None:
    (release,) = (r for r in targets.releases() if (r.format, r.version) == ("onnx", "1.15.0"))
    known = release.missing({"opset": opset, "IR": ir_version}) is None
    assert known == (opset == 18 and ir_version == 9)
    path = tmp_path / "stamped.onnx"
    path.write_bytes(stamped(bundle / "model-float32.onnx", opset, ir_version))
    picture = REPOSITORY / "examples" / "digits" / "7.png"
    device("predict", picture, "--model", path, status=0 if known else 2)


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for every builtin operator, at the first and last versions that a release knows."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    folder = tmp_path_factory.mktemp("probes")
    model = flatbuffer_utils.read_model(str(SHIPPED / "model-int8.tflite"))
    for name, number in vars(schema.BuiltinOperator).items():
        if name.startswith("_") or name in ("CUSTOM", "DELEGATE"):
            continue
        for version in _edges(name):
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
            code.version = version
            model.operatorCodes.append(code)
            content = flatbuffer_utils.convert_object_to_bytearray(model)
            (folder / f"{name}@{version}").write_bytes(content)
            model.operatorCodes.pop()
    return folder


def _edges(op: str) -> Iterable[int]:
    """Return the highest version that each measured release knows, and the one after it."""
    known = {r.has.get(op, 0) for r in targets.releases() if r.format == "tflite"}
    return {version + step for version in known for step in (0, 1)} - {0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "runtime", "release"),
    [
        pytest.param(
            *("tflite_runtime.interpreter", "tflite-runtime", "2.14.0"), marks=pytest.mark.install
        ),
        pytest.param(
            *("ai_edge_litert.interpreter", "ai-edge-litert", "1.0.0"), marks=pytest.mark.install
        ),
        ("ai_edge_litert.interpreter", "ai-edge-litert", "2.3.0"),
    ],
)
def test_the_table_of_operators_agrees_with_the_runtime(
    probes: Path, request: pytest.FixtureRequest, module: str, runtime: str, release: str
) -> None:
    python = sys.executable if release == "2.3.0" else request.getfixturevalue("old")
    done = subprocess.run(
        [python, "-c", TRY_ALL, module, probes], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    taken: dict[str, int] = {}
    for op, version in (name.split("@") for name in done.stdout.split()):
        taken[op] = max(int(version), taken.get(op, 0))
    (measured,) = (r for r in targets.releases() if (r.runtime, r.version) == (runtime, release))
    expected = {op: version for op, version in measured.has.items() if " " not in op}
    assert taken == expected


def test_every_target_names_measured_releases() -> None:
    for target in TARGETS.values():
        assert len(target.releases) == len(target.runtimes)
    assert TARGETS["raspberry-pi-32"].formats == ("tflite",)
    assert TARGETS["raspberry-pi-64"].formats == TARGETS["generic"].formats == ("tflite", "onnx")
