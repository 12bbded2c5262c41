"""C programs on this machine and on others answer the bytes of the arithmetic in numpy."""

from __future__ import annotations

import functools
import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import datasets
from edge_mnist.bundle import read_bundle
from edge_mnist.bundle.model_spec import ModelSpec, Scaling
from edge_mnist.int8 import Graph, Window, read_graph
from edge_mnist_export.standalone.c_files import c_files, known_bytes
from edge_mnist_export.standalone.pixel_graph import expected_outputs, pixel_graph
from tests.conftest import SHIPPED, find_mnist
from tests.errors import raises
from tests.export.standalone.programs import (
    HERE,
    WARNINGS,
    Array,
    answers,
    compiled,
    run,
    write_files,
)
from tests.int8.graphs import ZOO, Builder

MODELS = ("nano", "edge")
STREAM = HERE / "stream.c"
# gnu99 lets GCC contract products and sums, which c99 forbids.
VARIANTS = {
    "O0": ("-std=c99", "-O0"),
    "fast-math": ("-std=gnu99", "-O2", "-ffast-math"),
    "native": ("-std=gnu99", "-O3", "-march=native", "-ffast-math"),
}
ZIG = (sys.executable, "-m", "ziglang")
# The processor, and the emulator. The last has no SSE: its registers hold 80 bits.
PROCESSORS = {
    "arm1176": (("arm-linux-musleabihf", "arm1176jzf_s"), ("qemu-arm-static", "-cpu", "arm1176")),
    "armv7": (("arm-linux-musleabihf", "cortex_a7"), ("qemu-arm-static",)),
    "aarch64": (("aarch64-linux-musl", "generic"), ("qemu-aarch64-static",)),
    "riscv32": (("riscv32-linux-musl", "generic_rv32+m+a+f"), ("qemu-riscv32-static",)),
    "riscv64": (("riscv64-linux-musl", "generic_rv64+m+a+f"), ("qemu-riscv64-static",)),
    "x87": (("x86-linux-musl", "pentium"), ()),
}


@dataclass(frozen=True)
class Subject:
    """A model, images for it, and the bytes that it has to answer."""

    graph: Graph
    spec: ModelSpec
    files: Mapping[str, str]
    images: Array
    expected: Array


@functools.cache
def subject(name: str, limit: int = 300) -> Subject:
    """Return a shipped model with images of MNIST's test set, or a graph of the zoo with noise."""
    if name in MODELS:
        artifacts = read_bundle(SHIPPED.parent / name).artifacts
        artifact = next(a for a in artifacts if a.format == "tflite")
        graph, spec = read_graph(artifact.read()), artifact.spec
        assert spec
        source = datasets.find(str(find_mnist() or "synthetic"), splits=("test",))
        images = datasets.load(source, "test", limit=limit).images
    else:
        graph, spec = ZOO[name](3)
        images = np.random.default_rng(4).integers(0, 256, (200, *spec.size), np.uint8)
    files = c_files(graph, spec, images=images[:8], title=f"{name}: a model's */ title")
    return Subject(graph, spec, files, images, expected_outputs(pixel_graph(graph, spec), images))


def check(command: list[str], subject: Subject, count: int | None = None) -> None:
    """Expect the right bytes for the first images."""
    images, expected = subject.images[:count], subject.expected[:count]
    got = answers(command, images, expected.shape[1])
    wrong = int((got != expected).any(axis=1).sum())
    assert wrong == 0, f"{wrong} of {len(images)} images differ"


@pytest.fixture(scope="module")
def cc() -> str:
    """The C compiler of this machine."""
    found = shutil.which("cc")
    if found is None:
        pytest.skip("needs a C compiler: cc")
    return found


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ZOO)
def test_every_operator_gives_the_bytes_of_the_arithmetic(
    name: str, variant: str, cc: str, tmp_path: Path
) -> None:
    model = subject(name)
    assert len(np.unique(model.expected, axis=0)) > 20, "a graph whose answers do not differ"
    folder = write_files(model.files, tmp_path)
    sources = [folder / "src" / "digit.c", STREAM]
    program = compiled([cc, *VARIANTS[variant], *WARNINGS], folder, sources, "program")
    check([str(program)], model)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", MODELS)
def test_the_shipped_models_give_the_bytes_of_the_arithmetic(
    name: str, variant: str, cc: str, tmp_path: Path
) -> None:
    model = subject(name, 300 if variant == "O0" else 10_000)
    folder = write_files(model.files, tmp_path)
    sources = [folder / "src" / "digit.c", STREAM]
    program = compiled([cc, *VARIANTS[variant], *WARNINGS], folder, sources, "program")
    check([str(program)], model)


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_other_processors_give_the_same_bytes(processor: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("needs the package ziglang: uv sync --group test")
    (target, cpu), emulator = PROCESSORS[processor]
    if emulator and shutil.which(emulator[0]) is None:
        pytest.skip(f"needs {emulator[0]}: Debian's package qemu-user-static")
    if not emulator and platform.machine() != "x86_64":
        pytest.skip("needs an x86-64 processor")
    # An ARMv6 divides in a library, which pools would need.
    zoo = ["great sums"] if processor == "arm1176" else list(ZOO)
    for name, count in (("nano", 50), ("edge", 20), *((name, 50) for name in zoo)):
        model = subject(name)
        program = cross_compiled(target, cpu, write_files(model.files, tmp_path / name))
        check([*emulator, str(program)], model, count)


def cross_compiled(target: str, cpu: str, folder: Path) -> Path:
    """Compile and link without a C library, which zig would have to compile first: a minute."""
    options = ["-target", target, f"-mcpu={cpu}", "-O2", "-std=gnu99", "-ffp-contract=fast"]
    options += ["-fno-sanitize=all", "-fno-stack-protector", "-fno-builtin", "-c"]
    for source in (folder / "src" / "digit.c", HERE / "linux.c"):
        compiled([*ZIG, "cc", *options, *WARNINGS], folder, [source], f"{source.stem}.o")
    objects = [str(folder / "digit.o"), str(folder / "linux.o")]
    run([*ZIG, "ld.lld", "-static", "-o", str(folder / "program"), *objects])
    return folder / "program"


@pytest.mark.parametrize("command", ["cc -std=c99", "c++ -x c++ -std=c++11"])
def test_the_sources_compile_as_c_and_as_cpp(command: str, tmp_path: Path) -> None:
    words = command.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs a compiler: {words[0]}")
    for name in ("nano", *ZOO):
        folder = write_files(subject(name).files, tmp_path / name)
        sources = [folder / "src" / "digit.c", folder / "examples" / "main.c"]
        compiled([*words, "-O2", *WARNINGS], folder, sources, "program")


def test_cmake_builds_and_tests_the_library(cc: str, tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    folder = write_files(subject("nano").files, tmp_path)
    commands = "cmake -B build && cmake --build build && ctest --test-dir build"
    assert commands in subject("nano").files["README.md"]
    done = subprocess.run(
        ["sh", "-c", commands], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "100% tests passed" in done.stdout, done.stdout + done.stderr


def test_the_self_test_finds_a_wrong_byte(cc: str, tmp_path: Path) -> None:
    folder = write_files(subject("nano").files, tmp_path)
    source = folder / "src" / "digit.c"
    # A bias that makes every image a 0.
    start = "layer_5_bias[10] = {\n    "
    source.write_text(source.read_text().replace(start, f"{start} 99999 +"))
    sources = [source, folder / "examples" / "main.c"]
    program = compiled([cc, "-O2"], folder, sources, "program")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "WRONG BYTES" in done.stdout


def test_a_prediction_is_the_label_or_none_below_the_threshold(cc: str, tmp_path: Path) -> None:
    model = subject("nano")
    threshold = 0.9
    spec = model.spec._replace(threshold=threshold)
    images, expected = model.images[:300], model.expected[:300]
    confidence = expected.max(axis=1) / 256
    unsure = np.flatnonzero(confidence < threshold)
    chosen = np.concatenate([unsure[:4], np.flatnonzero(confidence >= threshold)[:4]])
    files = c_files(model.graph, spec, images=images[chosen], title="nano")
    folder = write_files(files, tmp_path)
    sources = [folder / "src" / "digit.c", folder / "examples" / "main.c"]
    program = compiled([cc, "-O2", *WARNINGS], folder, sources, "program")
    lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert len(unsure) > 0
    assert lines.splitlines() == [
        f"image {place}: {'none' if index in unsure else expected[index].argmax()}, "
        f"confidence {expected[index].max()}/256"
        for place, index in enumerate(chosen)
    ]


def test_another_scaling_becomes_a_table_and_logits_a_softmax(cc: str, tmp_path: Path) -> None:
    model = subject("nano")
    spec = model.spec._replace(scaling=Scaling(1 / 300, (0.1,)))
    graph = pixel_graph(model.graph, spec)
    values = (model.images[:50] * (1 / 300) - 0.1) / model.graph.values[0].scale
    encoded = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    expected = expected_outputs(pixel_graph(model.graph, model.spec), encoded)
    assert np.array_equal(expected_outputs(graph, model.images[:50]), expected)

    builder = Builder((6, 6, 1), 5)
    logits = builder.convolution(0, 4, Window((6, 6)))
    graph, spec = builder.graph(logits)
    files = c_files(graph, spec._replace(output="logits"), images=noise(spec), title="logits")
    folder = write_files(files, tmp_path)
    sources = [folder / "src" / "digit.c", folder / "examples" / "main.c"]
    program = compiled([cc, "-O2", *WARNINGS], folder, sources, "program")
    assert subprocess.run([program], check=False, capture_output=True).returncode == 0


def noise(spec: ModelSpec) -> Array:
    return np.random.default_rng(6).integers(0, 256, (8, *spec.size), np.uint8)


def test_sizes_that_need_no_compiler() -> None:
    """The memory plan: values of `edge` alone would take 3,136 bytes."""
    for name, constant, scratch in (("nano", 8896, 1056), ("edge", 21328, 2184)):
        model = subject(name)
        assert known_bytes(model.graph, model.spec) == {
            "constant_bytes": constant,
            "scratch_bytes": scratch,
        }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output": "scores"}, "scores instead of probabilities or logits"),
        ({"labels": ("a", "b")}, "10 outputs for 2 labels"),
        ({"height": 27}, "an input of 784 values"),
    ],
)
def test_a_model_that_c_cannot_follow_is_refused(change: dict[str, object], reason: str) -> None:
    model = subject("nano")
    with raises("model-program", reason):
        c_files(model.graph, model.spec._replace(**change), images=model.images[:1], title="")
