"""`export --format c,html`: from a run, and from a bundle without TensorFlow."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_mnist import Classifier
from edge_mnist.bundle import read_bundle
from edge_mnist.store import copying
from tests.conftest import REPOSITORY, SHIPPED, WHOLE, Cli
from tests.errors import error_line

slow = pytest.mark.slow


def assert_programs(bundle: Path, *, compiled: bool) -> None:
    """Expect both programs, whole, as the manifest lists them."""
    c, html, *_ = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["programs"]
    assert (c["format"], html["format"]) == ("c", "html")
    hashes = {f"{c['folder']}/{name}": digest for name, digest in c["sha256"].items()}
    for name, digest in {**hashes, html["file"]: html["sha256"]}.items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest, name
    assert "c/src/digit.c" in hashes
    assert 0 < c["scratch_bytes"] < c["constant_bytes"]
    assert ("compiler" in c) == compiled
    assert html["size_bytes"] < 60_000
    # The device still reads it as a bundle of one file.
    assert Classifier(bundle).predict(REPOSITORY / "examples/digits/7.png").digit == 7


def test_a_shipped_bundle_becomes_programs_without_tensorflow(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-c", "from edge_mnist.cli import main; main()"]
    out = tmp_path / "programs"
    done = subprocess.run(
        [*command, "export", "nano", "--format", "c,html", "--data", "synthetic", "--out", out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tensorflow" not in done.stderr and "keras" not in done.stderr
    assert_programs(out, compiled=shutil.which("cc") is not None)
    (artifact,) = read_bundle(out).artifacts
    assert artifact.read() == (SHIPPED.parent / "nano" / artifact.name).read_bytes()
    copying.verify(out)
    assert (out / "examples.npz").is_file()


def test_without_a_compiler_it_says_what_was_not_checked(
    host: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "programs"
    done = host("export", "nano", "--format", "c", "--data", "synthetic", "--out", out)
    assert "Expected a C compiler (cc, gcc, clang), got none" in done.stderr
    assert "Flash, RAM and stack are not measured: that needs arm-none-eabi-gcc" in done.stderr
    (c,) = json.loads((tmp_path / "programs" / "manifest.json").read_text())["programs"]
    assert not {"compiler", "cores"} & set(c)


def test_a_bundle_without_int8_names_the_way(host: Cli, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(WHOLE, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["artifacts"] = [a for a in manifest["artifacts"] if a["precision"] != "int8"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = host("export", bundle, "--format", "html", "--out", tmp_path / "out", status=2)
    assert "Expected an int8 .tflite file in a bundle" in error_line(done)
    assert not (tmp_path / "out").exists()


def test_a_bundle_gives_programs_alone(host: Cli, tmp_path: Path) -> None:
    done = host("export", "nano", "--format", "c,onnx", "--out", tmp_path / "out", status=2)
    assert "Expected only c, html, triton as --format of a bundle, got onnx" in error_line(done)


def test_a_folder_for_the_hub_has_the_programs_too(host: Cli, tmp_path: Path) -> None:
    out, hub = tmp_path / "out", tmp_path / "hub"
    host("export", "nano", "--format", "c,html", "--data", "synthetic", "--out", out, "--hf", hub)
    for name in ("digit.html", "c/src/digit.c", "c/CMakeLists.txt"):
        assert (hub / name).read_bytes() == (out / name).read_bytes()


def test_an_output_folder_in_use_is_left_alone(host: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    done = host("export", "nano", "--format", "html", "--out", tmp_path, status=2)
    assert "Expected a new or empty folder" in error_line(done)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@slow
def test_a_run_is_exported_with_programs(host: Cli, run: Path, tmp_path: Path) -> None:
    done = host("export", run, "--format", "c,html,triton", "--out", tmp_path / "bundle")
    assert "--format c,html needs the int8 .tflite file: exporting it" in done.stderr
    assert "--format triton needs an .onnx file: exporting it" in done.stderr
    bundle = tmp_path / "bundle"
    assert {"model-float32.tflite", "model-int8.tflite", "digit.html", "c"} <= {
        path.name for path in bundle.iterdir()
    }
    served = bundle / "triton" / "edge" / "1" / "model.onnx"
    assert served.read_bytes() == (bundle / "model-int8.onnx").read_bytes()
    copying.verify(bundle)
    assert_programs(bundle, compiled=shutil.which("cc") is not None)
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert len(manifest["evaluation"]["int8_outputs_sha256"]) == 64
