"""Composed pictures in; accuracy, refusals, errors and calibration by set out.

    .uv/bin/uv run python benchmarks/pictures.py --split test --plot docs

Pictures of the tuning split hold MNIST's validation images, those of the test split its test images
and other fonts. Nothing is tuned on the test split; the temperature is chosen on the other one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from show import write_between

from edge_mnist import Classifier, datasets
from edge_mnist.evaluation.calibration import expected_calibration_error, reliability
from edge_mnist.system.files import write_atomically
from edge_mnist.system.text_table import percent
from edge_mnist_export.data import composed_pictures, ink
from edge_mnist_export.data.composed_pictures import FONT_SETS, SETS, Hand
from edge_mnist_export.data.drawn_photographs import Drawn
from edge_mnist_export.data.validation import hold_out
from edge_mnist_export.verification.rejection_threshold import Answers, curve

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.intp]

DOCS = Path("docs")
NOT_DIGITS, SEVERAL = "not digits", "several digits"
SINGLE = tuple(name for name in SETS if name not in (NOT_DIGITS, SEVERAL))
THRESHOLDS = (0.0, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 0.95, 0.98)
# An int8 model answers in steps of 1/256; a probability of 0 means less than half a step.
_LEAST = 1 / 512
_FAILURES = 60  # the most on a contact sheet
_FEW = 5  # a bin of fewer images is not drawn: its accuracy is a matter of chance


@dataclass(frozen=True, eq=False)
class Readings:
    """A model's answers to the pictures of one set.

    Attributes:
        conditions: (n,) names.
        texts: (n,) the true digits; "" without any.
        probabilities: (n, 10), zeros where no digit was found.
        accepted: (n,) whether the answer is a digit.
    """

    conditions: Sequence[str]
    texts: Sequence[str]
    probabilities: Floats
    accepted: NDArray[np.bool_]

    @property
    def labels(self) -> Ints:
        """The true digits (n,); -1 where there is not exactly one."""
        return np.array([int(text) if len(text) == 1 else -1 for text in self.texts], np.intp)

    @property
    def located(self) -> NDArray[np.bool_]:
        """Whether a digit was found, and the model asked (n,)."""
        return self.probabilities.any(axis=1)

    @property
    def confidence(self) -> Floats:
        """The largest probabilities (n,); 0 where no digit was found."""
        return self.probabilities.max(axis=1)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the digit is the true one, below the threshold too (n,)."""
        return self.located & (self.probabilities.argmax(axis=1) == self.labels)

    @property
    def answers(self) -> Answers:
        """Confidence and truth where a digit was found."""
        return Answers(self.confidence[self.located], self.right[self.located])

    def document(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "conditions": list(self.conditions),
            "texts": list(self.texts),
            "probabilities": [[round(p, 5) for p in row] for row in self.probabilities.tolist()],
            "accepted": self.accepted.tolist(),
        }


def read(classifier: Classifier, pictures: Iterable[Drawn]) -> Readings:
    """Return the answers of a model."""
    drawn, found = [], []
    for one in pictures:
        drawn.append((one.condition, one.text))
        found.append(classifier.detect(one.picture))
    return Readings(
        [condition for condition, _ in drawn],
        [text for _, text in drawn],
        np.array([one.prediction.probabilities for one in found], np.float64),
        np.array([one.prediction.digit is not None for one in found]),
    )


def read_images(classifier: Classifier, split: datasets.Split) -> Readings:
    """Return the answers to MNIST images."""
    probabilities = classifier.predict_probabilities(split.images).astype(np.float64)
    count = len(probabilities)
    return Readings(
        ["images"] * count,
        [str(label) for label in split.labels],
        probabilities,
        probabilities.max(axis=1) >= classifier.spec.threshold,
    )


def join(parts: Iterable[Readings]) -> Readings:
    """Return several sets as one."""
    parts = list(parts)
    return Readings(
        [name for part in parts for name in part.conditions],
        [text for part in parts for text in part.texts],
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.accepted for part in parts]),
    )


def table(sets: Mapping[str, Readings], *, conditions: bool) -> str:
    """Return Markdown: accuracy, refusals and errors by set, or by condition."""
    lines = [
        "| | pictures | right | right without refusals | refused | wrong |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in sets.items():
        if name in SINGLE:
            lines.append(_row(f"**{name}**" if conditions else name, one))
            lines += [_row(*part) for part in _by_condition(one) if conditions]
    lines.append("")
    if NOT_DIGITS in sets:
        lines += ["| not digits | pictures | accepted |", "|---|---|---|"]
        for kind, one in [("all", sets[NOT_DIGITS]), *_by_condition(sets[NOT_DIGITS])]:
            lines.append(f"| {kind} | {len(one.texts)} | {percent(float(one.accepted.mean()))} |")
    if SEVERAL in sets:
        one = sets[SEVERAL]
        single = percent(float(one.accepted.mean()))
        lines += ["", f"Several digits: {len(one.texts)} pictures, {single} read as one digit."]
    return "\n".join(lines)


def _by_condition(one: Readings) -> Iterator[tuple[str, Readings]]:
    names = np.array(one.conditions)
    for name in dict.fromkeys(one.conditions):
        yield str(name), select(one, np.flatnonzero(names == name))


def select(one: Readings, indices: Ints) -> Readings:
    """Return some of the pictures."""
    return Readings(
        [one.conditions[index] for index in indices],
        [one.texts[index] for index in indices],
        one.probabilities[indices],
        one.accepted[indices],
    )


def _row(name: str, one: Readings) -> str:
    shares = (
        one.right & one.accepted,
        one.right,
        ~one.accepted,
        ~one.right & one.accepted,
    )
    cells = " | ".join(percent(float(share.mean())) for share in shares)
    return f"| {name} | {len(one.texts)} | {cells} |"


def curve_table(one: Readings, others: Readings | None) -> str:
    """Return the curve of refusals against errors as Markdown."""
    empty = others.confidence if others else np.zeros(0)
    lines = [
        "| threshold | right, refused | wrong, refused | wrong, accepted | not digits, accepted |",
        "|---|---|---|---|---|",
    ]
    for row in curve(one.answers, empty, THRESHOLDS):
        accepted = percent(row["no_digit_accepted"] / len(empty)) if len(empty) else "–"
        lines.append(
            f"| {row['threshold']:.2f} | {row['right_refused']} | {row['wrong_refused']} | "
            f"{row['wrong_accepted']} | {accepted} |"
        )
    return "\n".join(lines)


def soften(probabilities: Floats, temperature: float) -> Floats:
    """Return softmax(log(p) / temperature) for probabilities (n, 10), row by row."""
    powers = np.maximum(probabilities, _LEAST) ** (1 / temperature)
    softened: Floats = powers / powers.sum(axis=1, keepdims=True)
    return softened


def choose_temperature(one: Readings) -> float:
    """Return the temperature, in steps of 2 %, with the least negative log-likelihood."""
    probabilities, labels = one.probabilities[one.located], one.labels[one.located]
    rows = np.arange(len(labels))
    return min(
        (float(1.02**step) for step in range(-60, 61)),
        key=lambda t: -np.log(soften(probabilities, t)[rows, labels]).mean(),
    )


def calibration_error(one: Readings, temperature: float = 1.0) -> float:
    """Return the expected calibration error of the pictures in which a digit was found."""
    found = one.located
    probabilities = soften(one.probabilities[found], temperature)
    bins = reliability(probabilities.astype(np.float32), one.labels[found])
    return expected_calibration_error(bins)


def calibration_table(sets: Mapping[str, Readings], temperature: float) -> str:
    """Return the calibration error of every set before and after temperature scaling."""
    lines = [
        f"| | pictures | ECE | ECE, temperature {temperature:.2f} |",
        "|---|---|---|---|",
    ]
    for name, one in sets.items():
        before, after = calibration_error(one), calibration_error(one, temperature)
        lines.append(f"| {name} | {int(one.located.sum())} | {before:.4f} | {after:.4f} |")
    return "\n".join(lines)


def draw_curve(sets: Mapping[str, Readings], others: Readings, threshold: float) -> bytes:
    """Draw errors against refusals of right answers, by set, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    thresholds = [*np.linspace(0.001, 0.999, 300).tolist(), threshold]
    nothing = np.zeros(0)
    for name, one in sets.items():
        rows = curve(one.answers, nothing, thresholds)
        xs, ys = (
            [100 * row[key] / len(one.texts) for row in rows]
            for key in ("right_refused", "wrong_accepted")
        )
        (drawn,) = left.plot(xs[:-1], ys[:-1], label=name)
        left.plot(xs[-1], ys[-1], "o", color=drawn.get_color())
    left.set_xlabel("right answers that are refused (%)")
    left.set_ylabel("wrong answers that are accepted (%)")
    left.set_xlim(-0.1, 6)
    left.set_ylim(-0.2, 8)
    left.legend(frameon=False)
    for kind, one in _by_condition(others):
        rows = curve(one.answers, one.confidence, thresholds[:-1])
        accepted = [100 * row["no_digit_accepted"] / len(one.texts) for row in rows]
        right.plot(thresholds[:-1], accepted, label=kind)
    right.axvline(threshold, color="#888", linestyle=":")
    right.set_xlabel("threshold")
    right.set_ylabel("pictures without a digit that are accepted (%)")
    right.legend(frameon=False)
    return _svg(figure, (left, right))


def draw_reliability(groups: Mapping[str, Readings], temperature: float) -> bytes:
    """Draw accuracy against confidence, before and after temperature scaling, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(groups), 4.4), layout="constrained")
    plots = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, (name, one) in zip(plots, groups.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="#888", linestyle=":")
        for label, value, colour in (
            ("as it is", 1.0, "#2a6f97"),
            (f"temperature {temperature:.2f}", temperature, "#b45309"),
        ):
            probabilities = soften(one.probabilities[one.located], value)
            bins = reliability(probabilities.astype(np.float32), one.labels[one.located])
            full = [bin for bin in bins if bin.images >= _FEW]
            error = expected_calibration_error(bins)
            axes.plot(
                [bin.confidence for bin in full],
                [bin.accuracy for bin in full],
                "-",
                color=colour,
                label=f"{label}: ECE {error:.4f}",
            )
            axes.scatter(
                [bin.confidence for bin in full],
                [bin.accuracy for bin in full],
                [6 + 12 * np.log10(bin.images) for bin in full],
                color=colour,
            )
        axes.set_title(f"{name}, {int(one.located.sum()):,} images", fontsize=10)
        axes.set_xlabel("confidence")
        axes.legend(frameon=False, loc="lower right")
        axes.set_xlim(0.2, 1.02)
        axes.set_ylim(0, 1.05)
    plots[0].set_ylabel("accuracy")
    return _svg(figure, plots)


def _svg(figure: Any, plots: Iterable[Any]) -> bytes:
    import matplotlib

    for axes in plots:
        axes.grid(alpha=0.2)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    svg = io.BytesIO()
    # Text stays text, and the same figures give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "edge-mnist"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()


def contact_sheet(pictures: Iterable[Drawn], one: Readings) -> Image.Image:
    """Return the pictures that are refused or read wrongly, the most confident errors first."""
    is_one_digit = len(one.texts[0]) == 1
    failed = ~(one.right & one.accepted) if is_one_digit else one.accepted
    order = np.flatnonzero(failed)
    order = order[np.argsort(-(one.confidence * one.accepted + one.accepted)[order])][:_FAILURES]
    kept = {number: drawn for number, drawn in enumerate(pictures) if number in set(order)}
    side, columns = 150, 10
    sheet = Image.new("RGB", (columns * side, (len(order) // columns + 1) * (side + 26)), "#456")
    for place, number in enumerate(order):
        picture = kept[number].picture
        opened = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
        shown = opened.convert("RGB")
        scale = (side - 4) / max(shown.size)
        shown = shown.resize([max(1, round(length * scale)) for length in shown.size])
        x, y = place % columns * side, place // columns * (side + 26)
        sheet.paste(shown, (x, y))
        best = int(one.probabilities[number].argmax())
        answer = f"{best} {one.confidence[number]:.2f}" if one.located[number] else "nothing"
        verdict = "accepted" if one.accepted[number] else "refused"
        draw = ImageDraw.Draw(sheet)
        draw.text((x, y + side - 3), f"{one.texts[number]}: {answer}, {verdict}", fill="white")
        draw.text((x, y + side + 9), f"{number} {one.conditions[number]}"[:24], fill="#bcd")
    return sheet


def _hands(data: str) -> dict[str, tuple[Callable[[], Hand], int, Callable[[], datasets.Split]]]:
    """Return by split: the hand, the seed of the pictures, and the images of MNIST."""
    source = datasets.find(data)
    training, test = (
        (lambda: datasets.load(source, "train")),
        (lambda: datasets.load(source, "test")),
    )
    return {
        "tuning": (
            lambda: composed_pictures.tuning_hand(training()),
            composed_pictures.TUNING_SEED,
            lambda: hold_out(training())[1],
        ),
        "test": (lambda: composed_pictures.test_hand(test()), composed_pictures.TEST_SEED, test),
    }


def check_names(names: Sequence[str], hand: Hand) -> None:
    """Refuse unknown sets, and sets of fonts where none is installed."""
    for name in names:
        if name not in SETS:
            raise click.ClickException(
                f"Expected names out of {', '.join(SETS)} for --sets, got {name!r}."
            )
        if name in FONT_SETS and not hand.fonts:
            packages = ", ".join([*ink.TUNING_FONTS, *ink.TEST_FONTS])
            raise click.ClickException(
                f"Expected handwriting fonts for the set {name!r}, got none; "
                f"install these packages of Debian: {packages}."
            )


def report(
    found: Mapping[str, Readings], images: Readings, temperature: float, **options: Any
) -> str:
    """Return all tables as Markdown."""
    parts = [table(found, **options)]
    singles = {name: one for name, one in found.items() if name in SINGLE}
    if singles:
        parts.append(curve_table(join(singles.values()), found.get(NOT_DIGITS)))
        parts.append(calibration_table({"MNIST's images": images, **singles}, temperature))
    return "\n\n".join(parts)


def plot_all(
    folder: Path,
    found: Mapping[str, Readings],
    images: Readings,
    temperature: float,
    threshold: float,
) -> None:
    """Write the reliability diagrams and the curves of refusals against errors."""
    singles = {name: one for name, one in found.items() if name in SINGLE}
    folder.mkdir(parents=True, exist_ok=True)
    if singles:
        groups = {"MNIST": images, "composed pictures": join(singles.values())}
        write_atomically(folder / "reliability.svg", draw_reliability(groups, temperature))
    if singles and NOT_DIGITS in found:
        write_atomically(folder / "refusals.svg", draw_curve(singles, found[NOT_DIGITS], threshold))


@click.command()
@click.option("--split", type=click.Choice(["tuning", "test"]), default="tuning", show_default=True)
@click.option("--sets", default=",".join(SETS), help="Names, separated by commas.  [default: all]")
@click.option("--count", type=click.IntRange(1), default=480, show_default=True, help="Per set.")
@click.option("--model", default="edge", show_default=True, help="As for edge-mnist predict.")
@click.option("--data", default="mnist", show_default=True, help="As for edge-mnist evaluate.")
@click.option("--conditions", is_flag=True, help="Show each condition of a set.")
@click.option("--temperature", type=float, help="As chosen on the tuning split.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all answers.")
@click.option("--plot", type=click.Path(path_type=Path, file_okay=False), help="Write the plots.")
@click.option("--sheets", type=click.Path(path_type=Path, file_okay=False), help="Write failures.")
@click.option("--keep", is_flag=True, help="Write the tables and plots into docs/.")
def main(
    split: str,
    sets: str,
    count: int,
    model: str,
    data: str,
    conditions: bool,
    temperature: float | None,
    file: Path | None,
    plot: Path | None,
    sheets: Path | None,
    keep: bool,
) -> None:
    """Read the pictures of a split; print the tables, write the plots and the contact sheets."""
    classifier = Classifier(model)
    make_hand, seed, load_images = _hands(data)[split]
    hand = make_hand()
    check_names(sets.split(","), hand)
    found: dict[str, Readings] = {}
    for name in sets.split(","):
        pictures = [*composed_pictures.pictures(name, hand, count, seed=seed)]
        found[name] = read(classifier, pictures)
        if sheets:
            sheets.mkdir(parents=True, exist_ok=True)
            sheet = contact_sheet(pictures, found[name])
            sheet.save(sheets / f"{name.replace(' ', '-')}.png")
    images = read_images(classifier, load_images())
    singles = [one for name, one in found.items() if name in SINGLE]
    temperature = temperature or choose_temperature(join([images, *singles]))
    threshold = classifier.spec.threshold
    text = report(found, images, temperature, conditions=conditions)
    click.echo(f"{classifier.artifact.name}, threshold {threshold}, {split} split\n\n{text}")
    for folder in [*([plot] if plot else []), *([DOCS] if keep else [])]:
        plot_all(folder, found, images, temperature, threshold)
    if keep:
        write_between(DOCS / "explanation" / "confidence.md", "pictures", text)
    if file:
        document = {name: one.document() for name, one in {"images": images, **found}.items()}
        write_atomically(file, json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
