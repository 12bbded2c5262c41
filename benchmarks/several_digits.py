"""Read pictures of several digits: how many are right, by kind, and the time a digit.

    .uv/bin/uv run python benchmarks/several_digits.py [--split test] [--limit 600]

Pictures are `composed_digits` of real MNIST digits, and drawn `strings`. Tune on `--split
validation`; report `--split test`. One thread, processor time; encoding
to PNG is not timed, decoding is.
"""

from __future__ import annotations

import difflib
import io
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator

import click

from edge_mnist import Classifier, EdgeMnistError
from edge_mnist.datasets import Split, find, load
from edge_mnist.system.text_table import percent, table
from edge_mnist_export.data import composed_digits, drawn_photographs
from edge_mnist_export.data.composed_digits import Composed
from edge_mnist_export.data.validation import hold_out


@click.command()
@click.option("--data", default="mnist", help="MNIST: its folder, or mnist.")
@click.option("--split", type=click.Choice(["validation", "test"]), default="test")
@click.option("--seed", default=0)
@click.option("--limit", default=600, help="Pictures of each set; pages and forms are a tenth.")
@click.option("--only", default="", help="Sets to read, such as pairs,forms.")
def main(data: str, split: str, seed: int, limit: int, only: str) -> None:
    """Print a table of sets and kinds."""
    source = find(data)
    digits = load(source, "test") if split == "test" else hold_out(load(source, "train"))[1]
    classifier = Classifier()
    rows = []
    for name, pictures in _sets(digits, seed, limit).items():
        if not only or name in only.split(","):
            rows += _measure(classifier, name, pictures)
    click.echo(table(("set", "kind", "pictures", "right", "digits or cells", "ms a digit"), rows))


def _sets(digits: Split, seed: int, limit: int) -> dict[str, Iterator[Composed]]:
    drawn = drawn_photographs.strings(limit, seed=seed)
    return {
        "pairs": composed_digits.touching_pairs(digits, limit, seed=seed),
        "singles": composed_digits.singles(digits, limit, seed=seed),
        "strings": (Composed(one.condition, [[one.text]], one.picture) for one in drawn),
        "pages": composed_digits.pages(digits, max(limit // 10, 1), seed=seed),
        "forms": composed_digits.forms(digits, max(limit // 10, 1), seed=seed),
    }


def _measure(
    classifier: Classifier, name: str, pictures: Iterator[Composed]
) -> list[tuple[str, ...]]:
    """Return a row for each kind of pictures. Singles are right if they are one detection."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0] * 6)
    for one in pictures:
        file = io.BytesIO()
        one.picture.save(file, "PNG")
        start = time.process_time()
        found = _read(classifier, file.getvalue(), grid=name == "forms")
        seconds = time.process_time() - start
        text = "".join(map("".join, found))
        if name == "forms":
            parts, good, right = (
                sum(map(len, one.rows)),
                _right_cells(found, one),
                found == one.rows,
            )
        else:
            matcher = difflib.SequenceMatcher(a=text, b=one.text, autojunk=False)
            good = sum(block.size for block in matcher.get_matching_blocks())
            parts, right = len(one.text), text == one.text
        if name == "singles":
            right = len(text) == 1
        values = (1, right, parts, good, len(one.text), seconds)
        for kind in (one.kind, "all"):
            sums[kind] = [a + b for a, b in zip(sums[kind], values, strict=True)]
    return [
        (
            *(name, kind, f"{count:.0f}", percent(right / count), percent(good / parts)),
            f"{1e3 * seconds / digits:.1f}",
        )
        for kind, (count, right, parts, good, digits, seconds) in sums.items()
    ]


def _right_cells(found: list[list[str]], one: Composed) -> int:
    """Return how many cells of a form were read right; none if rows or columns were missed."""
    if [len(row) for row in found] != [len(row) for row in one.rows]:
        return 0
    pairs = zip(itertools.chain(*found), itertools.chain(*one.rows), strict=True)
    return sum(a == b for a, b in pairs)


def _read(classifier: Classifier, picture: bytes, *, grid: bool) -> list[list[str]]:
    if grid:
        try:
            return classifier.read_grid(picture).texts
        except EdgeMnistError:
            return []
    found = classifier.predict_many(picture)
    return [["".join(one.prediction.label or "?" for one in found)]]


if __name__ == "__main__":
    main()
