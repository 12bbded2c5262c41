"""A sweep over architectures and seeds in; docs/models.md, its plot and the model cards out.

    .uv/bin/uv run edge-mnist sweep benchmarks/seeds.yaml --out runs/seeds
    .uv/bin/uv run python benchmarks/models.py runs/seeds

Each trial of the sweep is exported first, if it has no bundle yet. The export measures it on the
test set, after the sweep is over. The run with the best validation accuracy ships and has the model
card.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from show import write_between

import edge_mnist_export
from edge_mnist import Classifier, datasets
from edge_mnist.bundle import read_bundle
from edge_mnist.system.info import cpu_model
from edge_mnist.system.text_table import percent

Images = NDArray[np.uint8]
ARCHS = ("pico", "nano", "edge", "accurate", "seed")
CARDS = ("nano", "edge", "accurate")  # architectures with a model card
DOCS = Path("docs")
# Published float results of small networks, whose best epoch was picked on the test set:
# parameters, error in %, offset of the label in points.
PUBLISHED = ((15_578, 0.57, (7, -9)), (7_000, 0.6, (-3, 8)))
SINGLE = 0.2  # error in % of the best single networks, with millions of parameters
ROUNDS, RUNS = 60, 100  # the first five rounds are warm-up


@dataclass(frozen=True)
class Model:
    """A run and its bundle."""

    path: Path
    record: Mapping[str, Any]
    manifest: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return int(self.record["recipe"]["seed"])

    @property
    def validation(self) -> float:
        """Accuracy of the float model on held-out images."""
        return float(self.record["results"]["validation_accuracy"])

    @property
    def float_accuracy(self) -> float:
        """Accuracy of the Keras model on the test set."""
        return float(self.manifest["evaluation"]["keras_accuracy"])

    @property
    def int8(self) -> Mapping[str, Any]:
        """The manifest's entry for the int8 TFLite file."""
        entries = self.manifest["artifacts"]
        wanted = ("int8", "tflite")
        return next(e for e in entries if (e["precision"], e["format"]) == wanted)

    @property
    def classifier(self) -> Classifier:
        """The int8 TFLite file, loaded on one thread."""
        return Classifier(self.path / "bundle" / self.int8["file"], backend="litert")


def collect(runs: Path) -> dict[str, list[Model]]:
    """Return the models of each architecture, in order of their seeds; export what is not yet."""
    models: dict[str, list[Model]] = {arch: [] for arch in ARCHS}
    for path in sorted(runs.glob("*/run.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["status"] != "finished":
            continue
        if not (path.parent / "bundle").is_dir():
            edge_mnist_export.export(path.parent, int8=True, out=path.parent / "bundle")
        manifest = read_bundle(path.parent / "bundle").manifest
        models[record["recipe"]["arch"]].append(Model(path.parent, record, manifest))
    missing = [arch for arch, own in models.items() if not own]
    if missing:
        raise click.ClickException(
            f"Expected a finished run in {runs} for every architecture, got none of "
            f"{', '.join(missing)}; the commands are at the top of benchmarks/models.py."
        )
    return {arch: sorted(own, key=lambda m: m.seed) for arch, own in models.items()}


def best(models: Sequence[Model]) -> Model:
    """Return the model with the best validation accuracy, which ships."""
    return max(models, key=lambda model: model.validation)


def latencies_us(models: Mapping[str, Model]) -> dict[str, float]:
    """Return the median latency of one invoke of each model; the models take turns."""
    calls = {}
    image = np.zeros((1, 28, 28), np.uint8)
    for name, model in models.items():
        classifier = model.classifier
        calls[name] = (classifier.session.run, classifier.encode(image))
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, (run, values) in calls.items():
            start = time.perf_counter()
            for _ in range(RUNS):
                run(values)
            rounds[name].append((time.perf_counter() - start) / RUNS * 1e6)
    return {name: statistics.median(times[5:]) for name, times in rounds.items()}


def _each(change: Callable[[Image.Image], Image.Image]) -> Callable[[Images], Images]:
    return lambda images: np.stack([np.asarray(change(Image.fromarray(i))) for i in images])


def _rotated(degrees: float) -> Callable[[Images], Images]:
    return _each(lambda image: image.rotate(degrees, Image.Resampling.BILINEAR))


def _shifted(pixels: int) -> Callable[[Images], Images]:
    def shift(images: Images) -> Images:
        moved = np.zeros_like(images)
        moved[:, pixels:, pixels:] = images[:, :-pixels, :-pixels]
        return moved

    return shift


def _noisy(deviation: float) -> Callable[[Images], Images]:
    def noise(images: Images) -> Images:
        grain = np.random.default_rng(0).normal(0, deviation, images.shape)
        return np.clip(np.rint(images + grain), 0, 255).astype(np.uint8)

    return noise


def _faded(share: float) -> Callable[[Images], Images]:
    return lambda images: np.rint(images * share).astype(np.uint8)


CHANGES: dict[str, Callable[[Images], Images]] = {
    "as they are": lambda images: images,
    "turned by 15°": _rotated(15),
    "turned by -15°": _rotated(-15),
    "turned by 30°": _rotated(30),
    "shifted by 2, 2 pixels": _shifted(2),
    "shifted by 4, 4 pixels": _shifted(4),
    "noise, deviation 32": _noisy(32),
    "noise, deviation 64": _noisy(64),
    "blur, radius 1": _each(lambda image: image.filter(ImageFilter.GaussianBlur(1))),
    "blur, radius 1.5": _each(lambda image: image.filter(ImageFilter.GaussianBlur(1.5))),
    "ink at 50 %": _faded(0.5),
    "ink at 25 %": _faded(0.25),
    "thresholded at 128": lambda images: np.where(images >= 128, 255, 0).astype(np.uint8),
}


def robustness(
    classifiers: Mapping[str, Classifier], test: datasets.Split
) -> dict[str, list[float]]:
    """Return the accuracy of every classifier for each change of the test images."""
    rows = {}
    for name, change in CHANGES.items():
        images = change(test.images)
        rows[name] = [
            float((c.predict_batch(images) == test.labels).mean()) for c in classifiers.values()
        ]
    return rows


def calibration(
    probabilities: NDArray[np.float32], labels: NDArray[np.integer]
) -> tuple[float, list[tuple[str, int, float, float]]]:
    """Return the expected calibration error (15 bins; Guo et al., 2017) and a reliability table."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * 15).astype(int), 14)
    error = sum(
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )
    edges = ((0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 0.99), (0.99, 1.01))
    table = []
    for low, high in edges:
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            name = f"{low * 100:g} to {min(high, 1) * 100:g} %"
            table.append(
                (
                    name,
                    int(inside.sum()),
                    float(confidence[inside].mean()),
                    float(right[inside].mean()),
                )
            )
    return float(error), table


def confusion(digits: NDArray[np.integer], labels: NDArray[np.integer]) -> str:
    """Return the confusion matrix as Markdown: a row per label, a column per digit."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, digits), 1)
    head = "| | " + " | ".join(map(str, range(10))) + " |\n|" + "---|" * 11
    rows = (
        f"| **{label}** | " + " | ".join(str(n or "·") for n in row) + " |"
        for label, row in enumerate(counts)
    )
    return "\n".join([head, *rows])


def misread(images: Images, path: Path) -> None:
    """Write misclassified images side by side, at twice their size."""
    columns = 16
    blank = np.zeros((-len(images) % columns, 28, 28), np.uint8)
    grid = np.concatenate([images, blank]).reshape(-1, columns, 28, 28)
    sheet = 255 - grid.transpose(0, 2, 1, 3).reshape(-1, columns * 28)
    picture = Image.fromarray(sheet)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((picture.width * 2, picture.height * 2)).save(path, optimize=True)


def _mean(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{percent(values[0])} (one seed)"
    deviation = statistics.stdev(values) * 100
    mean = 100 * statistics.mean(values)
    return f"{mean:.2f} ± {deviation:.2f} %, worst {percent(min(values))}"


def overview(models: Mapping[str, list[Model]], times: Mapping[str, float], machine: str) -> str:
    """Return the tables of docs/models.md."""
    lines = [
        "| | parameters | int8 TFLite (bytes) | µs a run | of seed | int8, test | "
        "float, test | runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arch, own in models.items():
        int8 = [float(model.int8["accuracy"]) for model in own]
        sizes = max(int(model.int8["size_bytes"]) for model in own)
        lines.append(
            f"| {arch} | {own[0].record['parameters']:,} | {sizes:,} | {times[arch]:.1f} | "
            f"{times[arch] / times['seed']:.2f} | {_mean(int8)} | "
            f"{_mean([model.float_accuracy for model in own])} | {len(own)} |"
        )
    lines += ["", f"Time: median of {ROUNDS} rounds in turn, LiteRT, one thread, {machine}.", ""]
    lines += [
        "| run | validation | float, test | int8, test | trained (s) |",
        "|---|---|---|---|---|",
    ]
    for own in models.values():
        for model in own:
            arch = model.record["recipe"]["arch"]
            mark = ", shipped" if model is best(own) and arch in CARDS else ""
            lines.append(
                f"| {arch}, seed {model.seed}{mark} | {percent(model.validation)} | "
                f"{percent(model.float_accuracy)} | {percent(model.int8['accuracy'])} | "
                f"{model.record['seconds']:,.0f} |"
            )
    return "\n".join(lines)


def plot(models: Mapping[str, list[Model]], times: Mapping[str, float], path: Path) -> None:
    """Draw the error against size and against latency."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    by_size, by_time = figure.subplots(1, 2, sharey=True)
    for arch, own in models.items():
        errors = [100 - 100 * float(model.int8["accuracy"]) for model in own]
        middle, size = statistics.mean(errors), own[0].int8["size_bytes"] / 1000
        for axes, x in ((by_size, size), (by_time, times[arch])):
            axes.plot([x] * len(errors), errors, "_", color="#2563eb", alpha=0.6)
            axes.plot(x, middle, "o", color="#2563eb")
            axes.annotate(arch, (x, middle), (7, 3), textcoords="offset points")
    for parameters, error, place in PUBLISHED:
        by_size.plot(parameters / 1000, error, "D", color="#b45309", fillstyle="none")
        note = f"{100 - error:.2f} %, {parameters:,} parameters"
        by_size.annotate(
            note, (parameters / 1000, error), place, textcoords="offset points", fontsize=7
        )
    for axes in (by_size, by_time):
        axes.axhline(SINGLE, color="#b45309", linestyle=":", linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_yticks([0.2, 0.3, 0.4, 0.6, 1.0], ["0.2", "0.3", "0.4", "0.6", "1.0"])
        axes.minorticks_off()
        axes.grid(alpha=0.2)
    by_size.set_xlim(5, 1000)
    by_size.set_xticks([10, 25, 100, 250, 500], ["10", "25", "100", "250", "500"])
    by_time.set_xlim(4, 120)
    by_time.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    by_size.set_xlabel("int8 TFLite, kB (public marks: parameters / 1000)")
    by_time.set_xlabel("µs a run, LiteRT, one thread")
    by_size.set_ylabel("test error, %")
    by_time.text(5, SINGLE * 1.03, "the best single networks, about", fontsize=7, color="#b45309")
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    path.write_text(
        "\n".join(line.rstrip() for line in content.getvalue().splitlines()) + "\n",
        encoding="utf-8",
    )


def card(arch: str, own: Sequence[Model], seed: Model, test: datasets.Split) -> str:
    """Return the measured part of a model card."""
    model = best(own)
    classifier = model.classifier
    probabilities = classifier.predict_probabilities(test.images)
    digits = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(digits != test.labels)
    misread(test.images[wrong], DOCS / "models" / f"{arch}-misread.png")
    error, table = calibration(probabilities, test.labels)
    recipe = model.record["recipe"]
    facts = {
        "parameters": f"{model.record['parameters']:,}",
        "int8 files": ", ".join(
            f"{e['format']} {e['size_bytes']:,} bytes"
            for e in model.manifest["artifacts"]
            if e["precision"] == "int8"
        ),
        "input": "28×28 uint8, white ink on black; output: 10 probabilities",
        "data": "MNIST's training images: 55,000, and 5,000 held out for validation",
        "epochs, rate, seed": f"{recipe['epochs']}, {recipe['learning_rate']:g}, {recipe['seed']}",
        "trained in": f"{model.record['seconds']:,.0f} s on {model.record['device']}",
        "int8 on the test set": _mean([float(m.int8["accuracy"]) for m in own]),
        "this one, int8": percent(model.int8["accuracy"]),
        "this one, float": percent(model.float_accuracy),
        "refuses below": f"{model.manifest['refusal']['threshold']:.3f}",
        "refused of what is no digit": ", ".join(
            f"{k} {v * 100:.0f} %" for k, v in model.manifest["refusal"]["refused"].items()
        ),
    }
    lines = ["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in facts.items()), ""]
    lines += [
        f"### Read as (columns), of each label (rows): {len(wrong)} misread",
        "",
        confusion(digits, test.labels),
        "",
    ]
    pairs = [
        f"{label}→{digit}" for label, digit in zip(test.labels[wrong], digits[wrong], strict=True)
    ]
    lines += [
        f"![What it misreads]({arch}-misread.png)",
        "",
        "In this order, label→read: " + ", ".join(pairs) + ".",
        "",
    ]
    lines += [f"### Confidence: expected calibration error {error:.4f}", ""]
    lines += ["| confidence | images | mean | right |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {count:,} | {percent(mean)} | {percent(right)} |"
        for name, count, mean, right in table
    ]
    rows = robustness({arch: classifier, "seed": seed.classifier}, test)
    lines += ["", "### Changed test images, accuracy", "", f"| | {arch} | seed |", "|---|---|---|"]
    lines += [
        f"| {name} | {percent(mine)} | {percent(theirs)} |" for name, (mine, theirs) in rows.items()
    ]
    return "\n".join(lines)


@click.command()
@click.argument("runs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--data", default="mnist", show_default=True, help="As for edge-mnist evaluate.")
def main(runs: Path, data: str) -> None:
    """Measure the models in RUNS, a sweep; write docs/models.md, its plot and the model cards."""
    models = collect(runs)
    test = datasets.load(datasets.find(data), "test")
    shipped = {arch: best(own) for arch, own in models.items()}
    times = latencies_us(shipped)
    machine = cpu_model()
    write_between(DOCS / "models.md", "measured", overview(models, times, machine))
    plot(models, times, DOCS / "models.svg")
    for arch in CARDS:
        write_between(
            DOCS / "models" / f"{arch}.md",
            "measured",
            card(arch, models[arch], shipped["seed"], test),
        )
    click.echo(overview(models, times, machine))


if __name__ == "__main__":
    main()
