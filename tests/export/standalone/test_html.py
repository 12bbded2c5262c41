"""The page in a real browser, from a file: its arithmetic, its drawings, its use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier
from edge_mnist.bundle.model_spec import ModelSpec, spec_from_manifest
from edge_mnist.datasets import mnist, pen, synthetic
from edge_mnist.int8 import Graph, read_graph
from edge_mnist.int8.program import Program
from edge_mnist.vision import preprocess
from edge_mnist_export.standalone.html import _graph, html_page
from tests.conftest import SHIPPED, find_mnist
from tests.errors import raises
from tests.int8.graphs import ZOO, noise, singles
from tests.serve.test_page import CHROMIUM, DESKTOP, PHONE, strokes, with_finger, with_mouse

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of group test")

DEVICES = {
    "desktop": DESKTOP,
    "desktop-dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": {**PHONE, "color_scheme": "light"},
    "phone-dark": PHONE,
}
Open = Callable[..., Any]
Stroke = list[tuple[float, float]]


def shipped(name: str) -> tuple[Graph, ModelSpec]:
    folder = SHIPPED.parent / name
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return read_graph((folder / "model-int8.tflite").read_bytes()), spec_from_manifest(manifest)


def page_of(name: str) -> str:
    title = f"{name} (ships with edge-mnist), trained on mnist-train, 99.61 % on mnist-test"
    return html_page(*shipped(name), title=title)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs chromium to show the page in")
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open a page as a file; at the end there is no console message, and no other request."""
    contexts, complaints, requests = [], [], []

    def opened(content: str, device: dict[str, Any] = DESKTOP) -> Any:
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(content, encoding="utf-8")
        contexts.append(browser.new_context(**device))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    opened.complaints = complaints  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert not complaints
    assert len(requests) == len(contexts) and all(url.startswith("file:") for url in requests)


# Arrays travel as text, one character a byte: Playwright takes seconds for long lists.
_TEXT = (
    "const text = (bytes) => Array.from(bytes, (one) => String.fromCharCode(one & 255)).join('');"
)
_BYTES = "const bytes = (text) => Uint8Array.from(text, (one) => one.charCodeAt(0));"


def outputs(page: Any, graph: dict[str, Any] | None, images: Any) -> Any:
    """Return the bytes (n, size) of the output of the page's own model, or of another graph."""
    found = page.evaluate(
        f"([graph, images, count]) => {{ {_TEXT} {_BYTES}"
        "const all = bytes(images), compute = graph ? compile(graph) : run;"
        "const size = all.length / count, at = (i) => all.slice(i * size, (i + 1) * size);"
        "return Array.from({ length: count }, (_, i) => text(compute(at(i)))).join('') }",
        [graph, images.tobytes().decode("latin-1"), len(images)],
    )
    return np.frombuffer(found.encode("latin-1"), np.uint8).reshape(len(images), -1)


def computed(graph: Graph, images: Any) -> Any:
    """Return the bytes (n, size) that `Program` computes."""
    program = Program(graph, len(images))
    program.input[:] = images.reshape(program.input.shape).view(program.input.dtype)
    program.run()
    return program.output.view(np.uint8)


# ----- The arithmetic ----------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("name", ["nano", "edge"])
def test_the_page_equals_the_graph_to_the_byte(show: Open, name: str) -> None:
    folder = find_mnist()
    images = (mnist.load(folder, "test") if folder else synthetic.split("test", limit=1000))[0]
    images = images[:1000]
    found = outputs(show(page_of(name)), None, images)
    expected = computed(shipped(name)[0], images)
    assert len({row.tobytes() for row in expected}) > 50
    assert int((found != expected).any(axis=1).sum()) == 0


@pytest.mark.browser
def test_every_operator_equals_the_graph_to_the_byte(show: Open) -> None:
    page = show(page_of("nano"))
    graphs = [*singles().values(), *(make(seed)[0] for make in ZOO.values() for seed in (1, 2))]
    kinds = {type(operator) for graph in graphs for operator in graph.operators}
    assert len(kinds) == 9
    for graph in graphs:
        images = noise(graph, 20)
        expected = computed(graph, images)
        assert len(np.unique(expected)) > 2
        np.testing.assert_array_equal(outputs(page, _graph(graph), images), expected)


# ----- From a drawing to the model's input -------------------------------------------------------


def drawings(count: int, seed: int) -> list[list[Stroke]]:
    """Return digits as the strokes of a hand, of all sizes and places, in shares of the paper."""
    rng, found = np.random.default_rng(seed), []
    for number in range(count):
        ways = pen.DIGIT_GLYPHS[number % 10]
        glyph = pen.parse_glyphs((ways[rng.integers(len(ways))],))
        normal = [
            rng.standard_normal((1, size)).astype(np.float32)
            for size in (pen.JITTER, pen.BEND, pen.PLACEMENT)
        ]
        path = pen.distort(glyph, *normal)[0]
        low, high = path.min(axis=0), path.max(axis=0)
        scale = rng.uniform(0.15 if number % 4 == 0 else 0.45, 0.8) / (high - low).max()
        half = scale * (high - low) / 2 + 0.03
        path = (path - (low + high) / 2) * scale + rng.uniform(half, 1 - half)
        parts = np.split(path, np.flatnonzero(glyph.pen_down[0] == 0) + 1)
        found.append([[(float(x), float(y)) for x, y in part] for part in parts])
    return found


def scribbles(count: int, seed: int) -> list[list[Stroke]]:
    """Return lines between random points: no digits, or hardly."""
    rng = np.random.default_rng(seed)
    points = (rng.uniform(0.1, 0.9, (rng.integers(1, 9), 2)) for _ in range(count))
    return [[[(float(x), float(y)) for x, y in line]] for line in points]


def read_by_page(page: Any, lines: list[list[Stroke]]) -> Iterator[tuple[Any, Any, str]]:
    """Yield each drawing (288, 288) uint8, the model's input or None, and the answer."""
    rows = page.evaluate(
        f"(all) => {{ {_TEXT} return all.map((given) => {{ strokes = given;"
        "const drawing = grey(), { image, digit } = read(drawing);"
        "return [text(drawing), image && text(image), digit] }) }",
        lines,
    )
    for drawing, image, answer in rows:
        yield pixels(drawing, 288), None if image is None else pixels(image, 28), answer


def pixels(text: str, side: int) -> Any:
    return np.frombuffer(text.encode("latin-1"), np.uint8).reshape(side, side)


@pytest.mark.browser
def test_a_drawing_is_read_as_predict_reads_its_picture(show: Open) -> None:
    page, classifier = show(page_of("edge")), Classifier("edge")
    count = int(os.environ.get("EDGE_MNIST_DRAWINGS", "48"))
    lines = drawings(count, seed=4) + scribbles(count // 4, seed=4)
    equal, answers = [], []
    for drawing, image, answer in read_by_page(page, lines):
        seen = classifier.detect(Image.fromarray(drawing))
        digit = seen.prediction.digit
        answers.append((answer, "" if seen.image is None else "?" if digit is None else str(digit)))
        if seen.image is not None and image is not None:
            # The page searches always, as `preprocess` does.
            searched = preprocess.preprocess(Image.fromarray(drawing)).astype(int)
            equal.append(int(np.abs(image.astype(int) - searched).max()) <= 1)
    different = [pair for pair in answers if pair[0] != pair[1]]
    report = f"{sum(equal)} of {len(equal)} images equal, {len(different)} answers different"
    if folder := os.environ.get("EDGE_MNIST_SCREENSHOTS"):
        (Path(folder) / "drawings.txt").write_text(report, "utf-8")
    # A sum rounded in another order may change a level by more than one.
    assert sum(equal) >= 0.99 * len(equal) and len(equal) > count, report
    assert len(different) <= len(lines) // 250, different
    right = [answer == str(i % 10) for i, (answer, _) in enumerate(answers[:count])]
    assert sum(right) > 0.85 * count
    # Scribbles are rejected by the threshold, or hold no digit.
    assert {"?", ""} <= {answer for answer, _ in answers[count:]}


@pytest.mark.browser
def test_other_sizes_and_inputs(show: Open) -> None:
    page, images = show(page_of("nano")), synthetic.draw(np.arange(10), seed=3)
    for height, width in ((32, 32), (20, 24), (45, 33)):
        spec = ModelSpec(height, width)
        found = [
            page.evaluate(
                f"(image) => Array.from(fit(Uint8ClampedArray.from(image), {height}, {width}))",
                image.ravel().tolist(),
            )
            for image in images
        ]
        np.testing.assert_array_equal(
            np.array(found).reshape(-1, height, width), preprocess.fit(images, spec)
        )


# ----- In use ------------------------------------------------------------------------------------


def settled(page: Any) -> str:
    page.locator("#answer[aria-busy=false]").wait_for()
    while not page.evaluate("timer === null"):
        page.wait_for_timeout(10)
    return str(page.locator("#digit").inner_text())


@pytest.mark.browser
@pytest.mark.parametrize("device", DEVICES)
def test_every_digit_drawn_is_read(show: Open, device: str) -> None:
    page = show(page_of("edge"), DEVICES[device])
    assert page.locator("#sure").inner_text() == "Draw a digit from 0 to 9."
    draw = with_finger if device.startswith("phone") else with_mouse
    # All with the mouse, some with a finger: a stroke takes a second.
    digits, read = {"desktop": range(10), "phone": (1, 4, 8)}.get(device, (8,)), []
    for digit in digits:
        page.get_by_role("button", name="Clear").click()
        assert settled(page) == ""
        draw(page, strokes(digit))
        read.append(settled(page))
        assert page.locator("#sure").inner_text().endswith("%")
        assert page.locator("#bars tr.best th").inner_text() == read[-1]
    assert read == [str(digit) for digit in digits]
    assert float(page.locator("#time").inner_text().split()[2]) > 0
    if folder := os.environ.get("EDGE_MNIST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"html-{device}.png", full_page=True)
    # Nothing scrolled, and the answer is visible with its bars.
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bars = page.locator("#bars").bounding_box()
    assert bars["y"] + bars["height"] <= DEVICES[device]["viewport"]["height"]
    bar = page.locator("#bars tr.best .bar").bounding_box()["width"]
    assert bar > 0.8 * page.locator("#bars tr.best td").first.bounding_box()["width"] > 60
    ink = page.evaluate(
        "[...$('seen').getContext('2d').getImageData(0, 0, 28, 28).data]"
        ".filter((_, place) => place % 4 === 0)"
    )
    assert max(ink) > 200 and max(ink[:28]) == 0


@pytest.mark.browser
def test_keys_clear_and_undo(show: Open) -> None:
    page = show(page_of("nano"))
    with_mouse(page, strokes(7))
    assert settled(page) == "7"
    for key in ("Escape", "Delete"):
        page.keyboard.press(key)
        assert settled(page) == ""
        with_mouse(page, strokes(1))
        assert settled(page) == "1"
    page.keyboard.press("Backspace")
    assert settled(page) == ""
    assert page.locator("#sure").inner_text() == "Draw a digit from 0 to 9."
    # A stroke that goes on when it is cleared is gone.
    box = page.locator("#paper").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    page.keyboard.press("Escape")
    page.mouse.move(box["x"] + 250, box["y"] + 150)
    page.mouse.up()
    assert settled(page) == "" and page.evaluate("strokes.length") == 0


@pytest.mark.browser
def test_it_says_when_it_is_not_sure(show: Open) -> None:
    graph, spec = shipped("nano")
    page = show(html_page(graph, spec._replace(threshold=0.9999), title="strict"))
    with_mouse(page, strokes(4))
    assert settled(page) == "?"
    assert page.locator("#sure").inner_text().startswith("Not sure: is it a 4? 99.")
    assert page.locator("#bars tr.best").count() == 0
    page.get_by_role("button", name="Clear").click()
    with_mouse(page, [[(0.5, 0.5)]])
    assert settled(page) == ""
    assert page.locator("#sure").inner_text() == "No digit: a blob as wide as it is long."


@pytest.mark.browser
def test_names_for_a_screen_reader(show: Open) -> None:
    page = show(page_of("nano"))
    for role, name in (
        ("img", "Paper to draw on with mouse, finger or pen"),
        ("button", "Clear Esc"),
        ("button", "Undo"),
        ("img", "Input of the model"),
        ("table", "Probability of each digit"),
        ("heading", "Draw a digit"),
    ):
        assert page.get_by_role(role, name=name, exact=True).count() == 1, name
    assert page.locator("#answer").get_attribute("aria-live") == "polite"
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.browser
def test_the_policy_forbids_other_scripts_and_requests(show: Open) -> None:
    page = show(page_of("nano"))
    denied = page.evaluate(
        "new Promise((done) => { const seen = [];"
        "addEventListener('securitypolicyviolation', (event) => {"
        "seen.push(event.effectiveDirective); if (seen.length === 2) done(seen.sort()) });"
        "fetch('https://example.org/').catch(() => 0);"
        "const other = document.createElement('script'); other.textContent = 'strokes = 1';"
        "document.body.append(other) })"
    )
    assert denied == ["connect-src", "script-src-elem"]
    assert page.evaluate("strokes") == []
    # The browser itself logs both.
    show.complaints.clear()  # type: ignore[attr-defined]


# ----- The file ----------------------------------------------------------------------------------


def test_the_page_is_one_small_file() -> None:
    sizes = {name: len(page_of(name).encode()) for name in ("nano", "edge")}
    assert sizes["nano"] < 45_000 and sizes["edge"] < 60_000, sizes
    page = page_of("edge")
    assert "://" not in page and "19,216 weights of 8 bits. Below 68 % it is not sure." in page
    assert page.count("<script") == page.count("</script>") == 2


def test_a_title_is_text() -> None:
    page = html_page(*shipped("nano"), title="</p><b>&")
    assert "&lt;/p&gt;&lt;b&gt;&amp;. " in page


def test_a_model_of_other_pictures_is_refused() -> None:
    graph, spec = shipped("nano")
    for other in (
        spec._replace(channels=3),
        spec._replace(labels=tuple("ABCDEFGHIJ")),
        spec._replace(height=30),
    ):
        with raises("model-html", f"{other.height}×28×{other.channels}"):
            html_page(graph, other, title="other")
