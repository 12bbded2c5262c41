"""The report: one page about a model, measured here."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from edge_mnist import datasets
from edge_mnist.inspection.html_report import as_html
from edge_mnist.inspection.report import Report, find_misread, measure
from edge_mnist.inspection.run_folder import find_subject
from tests.conftest import SHIPPED, Cli, drawn_bundle
from tests.errors import assert_error, raises
from tests.evaluation.test_accuracy import ANIMALS, animals

__all__ = ["animals"]
HISTORY = """epoch,loss,accuracy,val_loss,val_accuracy,seconds
1,0.5,0.86,0.11,0.96,6.6
2,0.06,0.98,nan,0.98,5.1
"""


class _Page(HTMLParser):
    """Checks that every element is closed, and collects attributes and headings."""

    VOID = ("meta", "img")

    # Elements that may be written <name/>: those of drawings.
    DRAWN = ("circle", "line", "path", "rect", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert tag in self.DRAWN
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "title", "h2"):
            self.headings.append(data)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with its history and a bundle."""
    run = tmp_path_factory.mktemp("runs") / "mine"
    shutil.copytree(SHIPPED, run / "bundle")
    (run / "run.json").write_text("{}")
    (run / "history.csv").write_text(HISTORY)
    return run


@pytest.fixture(scope="module")
def measured(run_folder: Path) -> Report:
    """The report of a run on 300 drawn digits, in one runtime."""
    return measure(
        find_subject(run_folder),
        data="synthetic",
        limit=300,
        backend="litert",
        show=lambda done, step: None,
    )


@pytest.mark.slow
def test_the_figures_belong_together(measured: Report) -> None:
    result = measured.detailed
    assert result.confusion.sum() == result.images == 300
    assert sum(one.images for one in measured.bins) == 300
    assert len(measured.misread) == result.errors > 0
    low, high = measured.interval(result)
    assert low < result.accuracy < high
    assert measured.inspection.parameters == 19_322
    assert measured.benchmark is not None
    assert [row["file"] for row in measured.benchmark["results"]] == ["model-int8.tflite"]


@pytest.mark.slow
def test_misread_images_are_misread_and_the_most_confident_come_first(measured: Report) -> None:
    split = datasets.load(datasets.find("synthetic"), "test", limit=300)
    confidences = [one.read[1] for one in measured.misread]
    assert confidences == sorted(confidences, reverse=True)
    for one in measured.misread:
        assert one.true[0] == str(split.labels[one.number]) != one.read[0]
        np.testing.assert_array_equal(one.image, split.images[one.number])
        assert one.read[1] == measured.detailed.probabilities[one.number].max()
    few = find_misread(measured.detailed, split.images, split.labels, most=2)
    assert [one.number for one in few] == [one.number for one in measured.misread[:2]]


@pytest.mark.slow
def test_the_page_is_well_formed_and_loads_nothing(measured: Report) -> None:
    text = as_html(measured)
    page = _Page(text)
    assert page.open == []
    markup = re.sub(r"base64,[^\"]*", "", text)
    assert not re.search(r"https?:|//\w|url\(|@import|<script|<link|\bNaN\b|\bnan\b|None<", markup)
    sources = [value for _, name, value in page.attributes if name == "src"]
    assert {name for _, name, _ in page.attributes}.isdisjoint({"href", "onload", "style"})
    assert len(sources) == len(measured.misread)
    for source, one in zip(sources, measured.misread, strict=True):
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            np.testing.assert_array_equal(np.asarray(picture), one.image)
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)
    assert "prefers-color-scheme: dark" in text


# Text of drawings that the window cuts off, and the width of the page: [names, width].
_CUT_OFF = """() => [
  [...document.querySelectorAll('svg text, td, th, figcaption')].filter(one => {
    if (one.closest('.wide')) return false;
    const box = one.getBoundingClientRect();
    return box.left < 0 || box.right > innerWidth;
  }).map(one => one.textContent),
  document.documentElement.scrollWidth
]"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_whole(
    width: int, scheme: str, measured: Report, tmp_path: Path
) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium to show the report")
    file = tmp_path / "report.html"
    file.write_text(as_html(measured), encoding="utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        cut_off, page_width = page.evaluate(_CUT_OFF)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        # Every picture was decoded, and a section has no other section in it.
        assert page.evaluate("[...document.images].every(one => one.naturalWidth === 28)")
        assert (
            page.evaluate("document.querySelectorAll('section section, .pair .pair').length") == 0
        )
        browser.close()
    assert cut_off == []
    assert page_width == width
    assert background == {"light": "rgb(246, 247, 249)", "dark": "rgb(17, 21, 27)"}[scheme]
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.mark.slow
def test_the_page_names_the_run_and_its_data(measured: Report) -> None:
    text = as_html(measured)
    assert _Page(text).headings[:2] == ["mine: model report", "mine"]
    assert "Loss while training" in text
    assert "epoch 2: 0.06" in text
    assert "synthetic-test are drawn digits, not MNIST" in text
    assert "drawn digits only" not in text  # the model itself saw MNIST
    assert str(measured.artifact.path.parent) not in text


@pytest.mark.slow
def test_a_model_of_drawn_digits_is_called_that(cli: Cli, tmp_path: Path) -> None:
    drawn_bundle(tmp_path / "scrawl")
    options = ("--data", "synthetic", "--limit", "50", "--backend", "onnx")
    done = cli("report", "scrawl", *options, cwd=tmp_path)
    assert done.stdout == "Wrote report.html\n"
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert _Page(text).headings[:2] == ["scrawl: model report", "scrawl"]
    assert "scrawl, trained on synthetic-train (drawn digits, not MNIST), " in text
    assert "This model was trained on drawn digits only, not on MNIST." in text
    assert "while training" not in text


@pytest.mark.slow
def test_a_run_gets_its_page_into_its_folder(cli: Cli, run_folder: Path) -> None:
    (run_folder / "report.html").write_text("an older one")
    options = ("--data", "synthetic", "--limit", "20", "--backend", "onnx", "--quiet")
    done = cli("report", run_folder, *options)
    assert done.stdout == f"Wrote {run_folder / 'report.html'}\n"
    assert (run_folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not list(run_folder.glob(".report*"))


@pytest.mark.slow
def test_own_labels_are_those_of_the_model(
    animals: tuple[Path, Path], cli: Cli, tmp_path: Path
) -> None:
    bundle, data = animals
    cli("report", bundle, "--data", data, "--out", tmp_path / "own.html")
    text = (tmp_path / "own.html").read_text(encoding="utf-8")
    assert re.findall(r'<th scope="row">(.*?)</th>', text) == list(ANIMALS)
    # Of the four test images of each class, the model misreads every dog.
    assert len(re.findall(r"<img [^>]*read as \w+, is dog", text)) == 4
    assert "20 images" in text
    # A run knows its data.
    shutil.copytree(bundle, tmp_path / "run" / "bundle")
    record = {"data": {"name": "own", "path": str(data)}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    cli("report", tmp_path / "run")
    assert "20 images" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    # Other commands name the run's bundle.
    done = cli("evaluate", tmp_path / "run", status=2)
    assert_error(done, "bundle-missing", f"give the bundle in it: {tmp_path / 'run' / 'bundle'}")


@pytest.mark.slow
def test_a_foreign_file_has_a_report_too(cli: Cli, tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "model-int8.onnx", tmp_path / "found.onnx")
    cli("report", "found.onnx", "--data", "synthetic", "--limit", "60", cwd=tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert _Page(text).headings[1] == "found.onnx"
    assert "found.onnx (no manifest)" in text


def test_errors_are_found_before_anything_is_measured(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with raises("bundle-run-unexported"):
        find_subject(tmp_path)
    assert_error(cli("report", tmp_path, status=2), "bundle-run-unexported", str(tmp_path))
    assert_error(cli("report", "--out", tmp_path, status=2), "output-is-a-folder")
    shutil.copytree(SHIPPED, tmp_path / "bundle")
    (tmp_path / "history.csv").write_text("epoch,loss\n1,2\n")
    with raises("data-history"):
        find_subject(tmp_path / "bundle")
    (tmp_path / "history.csv").unlink()
    assert find_subject(tmp_path / "bundle").history == ()


def test_the_newest_bundle_of_a_run_is_taken(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    for number, name in enumerate(("bundle-2", "bundle")):
        shutil.copytree(SHIPPED, run / name)
        manifest = run / name / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text())))
        os.utime(manifest, (1000 - number, 1000 - number))
    (run / "run.json").write_text("{}")
    subject = find_subject(run)
    assert subject.artifacts[0].path.parent.name == "bundle-2"
    assert (subject.name, subject.folder) == ("mine/bundle-2", run)
    assert find_subject(None).name == "edge"
    assert find_subject(None).folder is None
