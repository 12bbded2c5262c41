"""`edge-mnist train`: real runs, in processes of their own."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier, datasets
from edge_mnist.datasets import synthetic
from edge_mnist.errors import ModelError
from tests.conftest import Cli, error_line
from tests.export.conftest import SMALL

COMMAND = Path(sys.executable).with_name("edge-mnist")


def record(run: Path) -> dict[str, object]:
    return dict(json.loads((run / "run.json").read_text()))


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_holds_all_that_is_promised(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names == {"model.keras", "run.json", "history.csv", "curves.png"}
    entry = record(run)
    assert entry["status"] == "finished"
    assert entry["parameters"] == 225_034
    assert entry["recipe"] == {
        "arch": "seed",
        "activation": "relu",
        "data": "synthetic",
        "labels": "sparse",
        "augment": False,
        "epochs": 3,
        "seed": 0,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "warm_up_epochs": 0,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "variants": None,
        "teacher": None,
        "temperature": 1.0,
        "limit": 6000,
        "backend": "tensorflow",
    }
    assert entry["results"]["test_data"] == "synthetic-test"
    assert entry["results"]["test_accuracy"] > 0.8
    assert entry["device"]
    assert {"keras", "tensorflow", "numpy", "edge-mnist"} <= set(entry["tools"])
    rows = history(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    with Image.open(run / "curves.png") as picture:
        picture.load()


def test_another_seed_gives_another_model(cli: Cli, run: Path, tmp_path: Path) -> None:
    cli("train", *SMALL, "--seed", "1", "--out", tmp_path / "other")
    assert record(tmp_path / "other")["weights_sha256"] != record(run)["weights_sha256"]


MUON = ("--data", "synthetic", "--limit", "600", "--epochs", "12", "--arch", "edge")


@pytest.mark.parametrize(
    ("options", "how"), [(SMALL, signal.SIGKILL), (MUON, signal.SIGINT)], ids=["adam", "muon"]
)
def test_an_interrupted_run_continues_to_the_weights_of_its_seed(
    cli: Cli, run: Path, tmp_path: Path, options: tuple[str, ...], how: signal.Signals
) -> None:
    if options != SMALL:
        run = tmp_path / "whole"
        cli("train", *options, "--out", run)
    # Without --out, so that the same command has to find its unfinished run by itself.
    command = [COMMAND, "train", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/checkpoint-*.keras")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, how)
    _, errors = process.communicate(timeout=60)
    (folder,) = tmp_path.glob("runs/*")
    assert not (folder / "model.keras").exists()
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "the same command continues" in errors
        assert errors.endswith("edge-mnist: error: interrupted\n")
    done = cli("train", *options, cwd=tmp_path)
    assert list(tmp_path.glob("runs/*")) == [folder]
    assert "Continuing " in done.stderr
    assert record(folder)["weights_sha256"] == record(run)["weights_sha256"]
    assert {path.name for path in folder.iterdir()} == {path.name for path in run.iterdir()}


def test_one_hot_and_sparse_labels_are_the_same_loss(cli: Cli, run: Path, tmp_path: Path) -> None:
    cli("train", *SMALL, "--labels", "one-hot", "--out", tmp_path / "run")
    paths = (tmp_path / "run", run)
    one_hot, sparse = (record(path)["results"] for path in paths)
    # Equal but for the order of float32 sums, which three epochs let grow.
    assert one_hot["test_accuracy"] == pytest.approx(sparse["test_accuracy"], abs=0.01)
    one_hot, sparse = (float(history(path)[0]["accuracy"]) for path in paths)
    assert one_hot == pytest.approx(sparse, abs=0.01)


def test_augmented_models_load_in_plain_keras(cli: Cli, tmp_path: Path) -> None:
    small = ("--data", "synthetic", "--limit", "600", "--epochs", "2", "--arch", "edge")
    cli("train", *small, "--out", tmp_path / "run")
    assert all(0 < float(row["accuracy"]) <= 1 for row in history(tmp_path / "run"))
    program = "import sys, keras; keras.saving.load_model(sys.argv[1]); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program, tmp_path / "run/model.keras"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "edge_mnist" not in loaded


def test_the_shipped_teacher_teaches_on_mnist(cli: Cli, mnist: Path, tmp_path: Path) -> None:
    options = ("--arch", "nano", "--limit", "600", "--epochs", "1", "--out")
    done = cli("train", "--data", mnist, *options, tmp_path / "real")
    assert "The targets are what accurate/model-dynamic.tflite answers" in done.stderr
    assert record(tmp_path / "real")["recipe"]["temperature"] > 1
    # Of the stand-in it has learnt nothing.
    done = cli("train", "--data", "synthetic", *options, tmp_path / "drawn")
    assert "The targets" not in done.stderr
    assert record(tmp_path / "drawn")["recipe"]["teacher"] is None


SWAP = """
import sys, keras
model = keras.saving.load_model(sys.argv[1])
order = [0, 1, 2, 3, 9, 5, 6, 7, 8, 4]
dense = model.layers[-1]
dense.set_weights([weights[..., order] for weights in dense.get_weights()])
model.save(sys.argv[2])
"""


def test_a_student_learns_what_its_teacher_answers(cli: Cli, run: Path, tmp_path: Path) -> None:
    # The teacher calls every 4 a 9 and every 9 a 4, which no label says.
    swapped = tmp_path / "swapped.keras"
    subprocess.run([sys.executable, "-c", SWAP, run / "model.keras", swapped], check=True)
    data = ("--data", "synthetic")
    cli("export", swapped, *data, "--format", "tflite", "--out", tmp_path / "teacher")
    options = ("--arch", "nano", *data, "--limit", "6000", "--epochs", "6")
    done = cli("train", *options, "--teacher", tmp_path / "teacher", "--out", tmp_path / "taught")
    assert "The targets are what teacher/model-float32.tflite answers" in done.stderr
    manifest = json.loads((tmp_path / "teacher" / "manifest.json").read_text())
    assert record(tmp_path / "taught")["recipe"]["teacher"] == manifest["artifacts"][0]["sha256"]
    cli("export", tmp_path / "taught", "--format", "tflite", "--out", tmp_path / "bundle")
    images = synthetic.draw(np.full(200, 4), seed=5)
    digits = Classifier(tmp_path / "bundle").predict_batch(images)
    assert (digits == 9).mean() > 0.8 > 0.1 > (digits == 4).mean()


def test_limits_choose_the_architecture_and_say_why(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # tf2onnx sets it in whatever process imports it, this one included.
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    small = ("--data", "synthetic", "--limit", "600", "--epochs", "1")
    done = cli("train", *small, "--max-size", "10KB", "--out", tmp_path / "run")
    assert record(tmp_path / "run")["recipe"]["arch"] == "pico"
    assert "0000 00:00" not in done.stderr  # TensorFlow's own lines
    lines = {line.split()[0]: line for line in done.stderr.splitlines() if " bytes " in line}
    assert all("too large" in lines[arch] for arch in ("accurate", "edge", "nano"))
    assert "chosen: the most accurate that fits" in lines["pico"]
    cli("export", tmp_path / "run", "--int8", "--format", "tflite", "--out", tmp_path / "bundle",
        "--max-drop", "100", "--min-agreement", "0")  # fmt: skip
    # What was weighed before training is what comes out of it.
    stated = int(lines["pico"].split()[1].replace(",", ""))
    size = (tmp_path / "bundle" / "model-int8.tflite").stat().st_size
    assert size == pytest.approx(stated, rel=0.01)
    assert size <= 10_000


@pytest.mark.parametrize(
    ("text", "size"), [("10KB", 10_000), ("10 kib", 10_240), ("1.5MB", 1_500_000), ("900", 900)]
)
def test_sizes_are_read_as_they_are_written(text: str, size: int) -> None:
    from edge_mnist_export.training.architecture_search import parse_size

    assert parse_size(text) == size


def test_the_most_accurate_that_fits_is_chosen() -> None:
    from edge_mnist_export.training.architecture_search import Candidate, choose

    candidates = [Candidate("a", 400, 50.0), Candidate("b", 25, 10.0), Candidate("c", 12, 7.0)]
    assert choose(candidates, max_bytes=25, max_us=None)[0] == "b"
    assert choose(candidates, max_bytes=400, max_us=9.0)[0] == "c"
    assert choose(candidates, max_bytes=400, max_us=50.0)[0] == "a"
    with pytest.raises(ModelError, match=r"got 11 bytes and 8 µs; the smallest here is c with 12"):
        choose(candidates, max_bytes=11, max_us=8.0)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_other_activations_learn(cli: Cli, tmp_path: Path, activation: str) -> None:
    options = ("--arch", "edge", "--activation", activation)
    cli("train", *SMALL, *options, "--out", tmp_path / "run")
    losses = [float(row["loss"]) for row in history(tmp_path / "run")]
    assert losses[-1] < losses[0]
    assert record(tmp_path / "run")["recipe"]["activation"] == activation


def test_jax_trains_what_tensorflow_exports(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="needs jax: pip install jax")
    run = tmp_path / "run"
    options = ("--arch", "edge", "--out", run)
    done = cli("train", *SMALL, *options, env={"KERAS_BACKEND": "jax"})
    assert "with Keras\non jax, " in done.stderr
    assert record(run)["tools"]["jax"]
    table = cli("export", run, "--int8", "--max-drop", "2").stdout
    assert table.count("synthetic-test") == 1
    # The same weights: float32 differs from Keras by rounding alone.
    assert "float32    tflite" in table and "100.00 %" in table


SIDE_BY_SIDE = """
import importlib, keras, numpy as np
from edge_mnist_export.training import architectures, optimizers
name = "edge_mnist_export.training.epochs_" + keras.backend.backend()
Epochs = importlib.import_module(name).Epochs
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (300, 28, 28)).astype(np.uint8)
labels = rng.integers(0, 10, 300).astype(np.uint8)
models = []
for _ in range(2):
    keras.utils.set_random_seed(0)
    model = architectures.build("nano")
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizers.build("muon", 1e-3, 0.1), loss, metrics=["accuracy"])
    models.append(model)
plain, compiled = models
epochs = Epochs(compiled, keras.metrics.sparse_categorical_accuracy, 128)
for _ in range(2):
    floats = images[..., None] / np.float32(255)
    history = plain.fit(floats, labels, batch_size=128, shuffle=False, verbose=0).history
    row = epochs.fit(images, labels)
    for name, value in row.items():
        assert abs(value - history[name][0]) < 1e-4, (name, value, history)
pairs = zip(plain.get_weights(), compiled.get_weights(), strict=True)
print(max(float(abs(a - b).max()) for a, b in pairs), int(compiled.optimizer.iterations))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_an_epoch_that_is_compiled_trains_as_keras_does(backend: str) -> None:
    pytest.importorskip(backend, reason=f"needs {backend}: pip install {backend}")
    # On a CPU, where JAX's would not be used: a GPU does the same in another order of sums.
    done = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    farthest, steps = done.stdout.split()
    assert float(farthest) < 1e-3
    assert int(steps) == 2 * 3  # the third of each epoch takes the 44 that are left


def test_muon_steps_a_kernel_equally_in_all_directions_and_the_rest_as_adam_does() -> None:
    from edge_mnist_export.frameworks import load_keras

    load_keras("tensorflow")
    import keras

    from edge_mnist_export.training import optimizers

    rng = np.random.default_rng(0)
    shapes = (3, 3, 4, 8), (16, 10), (8,)
    gradients = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    steps = {}
    for name in ("adam", "muon"):
        weights = [keras.Variable(np.zeros(shape, np.float32)) for shape in shapes]
        optimizers.build(name, 0.01, weight_decay=0.0).apply(gradients, weights)
        steps[name] = [keras.ops.convert_to_numpy(weight) for weight in weights]
    assert np.allclose(steps["muon"][1], steps["adam"][1], atol=1e-6)
    assert np.allclose(steps["muon"][2], steps["adam"][2], atol=1e-6)
    kernel = steps["muon"][0].reshape(36, 8)
    sizes = np.linalg.svd(kernel, compute_uv=False)
    assert sizes.max() < 2 * sizes.min()  # a gradient's own differ by three times here
    assert np.sqrt((kernel**2).mean()) == pytest.approx(0.2 * 0.01, rel=0.2)


def test_augmentation_moves_digits_and_keeps_them_whole() -> None:
    from edge_mnist_export.training.augmentation import augment

    images = synthetic.draw(np.arange(10).repeat(30), seed=1)
    moved = augment(images, np.random.default_rng(0))
    assert moved.shape == images.shape
    assert moved.dtype == np.uint8
    assert not (moved == images).all(axis=(1, 2)).any()
    # Scaled by 0.88 to 1.12 each way, lines thinner or thicker.
    ratio = moved.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert 0.5 < ratio.min() < ratio.max() < 2.5
    assert 0.95 < np.median(ratio) < 1.1
    # Where there was nothing nothing comes, but what a thicker line adds around.
    assert (augment(np.zeros((300, 28, 28), np.uint8), np.random.default_rng(0)) == 0).all()
    assert np.array_equal(augment(images, np.random.default_rng(0)), moved)


def test_a_fifth_get_the_marks_of_a_camera_and_some_of_these_grain_all_over() -> None:
    from edge_mnist_export.training.augmentation import photograph

    images = synthetic.draw(np.arange(10).repeat(100), seed=1)
    marked = photograph(images, np.random.default_rng(0))
    assert marked.dtype == np.uint8
    changed = (marked != images).any(axis=(1, 2))
    assert 0.15 < changed.mean() < 0.25
    background = ((marked > 0) & (images == 0)).mean(axis=(1, 2))[changed]
    assert 0.15 < (background > 0.2).mean() < 0.35
    assert np.array_equal(photograph(images, np.random.default_rng(0)), marked)


def test_a_teacher_is_asked_about_images_without_the_marks_of_a_camera() -> None:
    from edge_mnist_export.runs import Recipe
    from edge_mnist_export.training import augmentation
    from edge_mnist_export.training.epoch_data import EpochData

    kept = datasets.load(datasets.find("synthetic"), "train", limit=200)
    recipe = Recipe(
        arch="edge",
        activation="relu",
        data="synthetic",
        labels="one-hot",
        augment=True,
        epochs=1,
        seed=0,
        teacher="a hash",
    )
    teacher = Classifier()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "_CAMERA", 0.0)
        plain, answers = EpochData(kept, recipe, teacher).epoch(0)
        patch.setattr(augmentation, "_CAMERA", 1.0)
        marked, same = EpochData(kept, recipe, teacher).epoch(0)
    assert (marked != plain).any(axis=(1, 2)).mean() > 0.9
    assert np.array_equal(answers, same)
    assert np.array_equal(answers, teacher.predict_probabilities(plain))


def test_what_mnist_lacks_is_drawn_anew_every_time() -> None:
    from edge_mnist_export.training import outliers

    images, targets = outliers.draw(1800, np.random.default_rng(1))
    assert images.shape == (outliers.count(1800), 28, 28) == (500, 28, 28)
    assert images.dtype == np.uint8
    assert images[:300].any(axis=(1, 2)).all()
    assert np.array_equal(targets.max(axis=1) == 1, np.arange(500) < 300)
    assert np.allclose(targets.sum(axis=1), 1)
    again, _ = outliers.draw(1800, np.random.default_rng(1))
    other, _ = outliers.draw(1800, np.random.default_rng(2))
    assert np.array_equal(images, again)
    assert not (images == other)[:300].all(axis=(1, 2)).any()


def test_the_shipped_model_reads_other_hands_and_refuses_what_is_no_digit() -> None:
    from edge_mnist_export.training import outliers

    rng, classifier = np.random.default_rng(12345), Classifier()
    images, labels = outliers.other_digits(600, rng)
    read = [classifier.predict(image).digit for image in images]
    assert np.mean([digit == label for digit, label in zip(read, labels, strict=True)]) > 0.93
    nothings = outliers.no_digits(600, rng)
    assert np.mean([classifier.predict(image).digit is None for image in nothings]) > 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "0 is not in the range x>=1"),
        (["--data", "synthetic", "--labels", "sparse"], "Expected --labels one-hot with an aug"),
        (["--arch", "resnet"], "'resnet' is not one of 'pico', 'nano', 'edge', 'accurate', 'seed'"),
        (["--arch", "edge", "--max-size", "10KB"], "Expected --arch or limits to choose it by"),
        (["--max-size", "ten"], "expected a size such as 15KB or 15KiB, got 'ten'"),
        (["--max-latency-us", "0"], "0 is not in the range x>0"),
        (["--data", "synthetic", "--max-size", "0"], "Expected limits that some architecture"),
        (["--recipe", "best"], "'best' is not one of 'plain', 'standard', 'full'"),
        (["--data", "synthetic", "--teacher", "none.tflite"], "got none.tflite, which does not"),
        (
            ["--data", "synthetic", "--arch", "seed", "--teacher", "edge"],
            "Expected --teacher with an augmented recipe",
        ),
        (["--data", "nowhere"], "got nowhere, which does not exist"),
        (["--data", "synthetic", "--out", "taken"], "got taken, which holds something"),
        (["--data", "synthetic", "--out", "taken/file"], "got the file taken/file"),
        (["--data", "synthetic", "--out", "taken/file/run"], "Expected to write taken/file/run"),
        (["--data", "synthetic", "--out", "/proc/run"], "Expected to write /proc/run"),
    ],
)
def test_bad_use_ends_in_one_line_and_writes_nothing(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    done = cli("train", *arguments, cwd=tmp_path, status=2)
    assert message in error_line(done)
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "file"]


def test_a_wrong_keras_backend_is_named(cli: Cli) -> None:
    done = cli("train", "--data", "synthetic", env={"KERAS_BACKEND": "torch"}, status=2)
    assert error_line(done) == "Expected KERAS_BACKEND to be tensorflow or jax, got 'torch'."


def test_a_finished_run_is_not_trained_over(cli: Cli, run: Path) -> None:
    before = (run / "run.json").read_bytes()
    done = cli("train", *SMALL, "--out", run, status=2)
    assert "which holds a finished run; choose another with --out" in error_line(done)
    assert (run / "run.json").read_bytes() == before


def test_an_unfinished_run_of_other_settings_is_kept(cli: Cli, run: Path, tmp_path: Path) -> None:
    entry = {**record(run), "status": "running"}
    (tmp_path / "run.json").write_text(json.dumps(entry))
    done = cli("train", *SMALL, "--seed", "7", "--out", tmp_path, status=2)
    assert "got other settings (it has seed 0)" in error_line(done)
    assert list(tmp_path.iterdir()) == [tmp_path / "run.json"]
