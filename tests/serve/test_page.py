"""The page in a real browser: digits drawn with mouse, finger, pen and keys."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from edge_mnist.datasets import pen
from tests.conftest import CLIP_DIGITS, WHOLE, drawn_bundle
from tests.serve.conftest import DIGITS, Server, Start

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of group test")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.browser

DESKTOP = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "color_scheme": "dark",
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
DEVICES = {"desktop": DESKTOP, "phone": PHONE}
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """Start Chromium with options; all are closed at the end."""
    if CHROMIUM is None:
        pytest.skip("needs chromium to show the page in")
    browsers = []
    with playwright.sync_playwright() as driver:

        def begin(*options: str) -> Any:
            arguments = ["--no-sandbox", *options]
            browsers.append(driver.chromium.launch(executable_path=CHROMIUM, args=arguments))
            return browsers[-1]

        yield begin
        for one in browsers:
            one.close()


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Any]) -> Any:
    return launch()


Open = Callable[..., Any]


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Open a page; at the end there is no console message and no request to another host."""
    contexts, complaints, hosts = [], [], set()

    def opened(address: str, device: dict[str, Any] = DESKTOP, ready: str = "#model option") -> Any:
        context = browser.new_context(**device, permissions=["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(address)
        page.locator(ready).first.wait_for(state="attached")
        return page

    opened.complaints = complaints  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert not complaints
    assert all(host.startswith(("127.0.0.1:", "localhost:")) or not host for host in hosts)


def strokes(digit: int, way: int = 0, *, left: float = 0.28) -> list[list[tuple[float, float]]]:
    """Return the smooth strokes of a digit, in fractions of the paper's height."""
    glyph = pen.parse_glyphs((pen.DIGIT_GLYPHS[digit][way],))
    path = np.array([left, 0.2]) + 0.6 * (glyph.weights[0] @ glyph.points[0])
    lifts = np.flatnonzero(glyph.pen_down[0] == 0) + 1
    # Every third point: a browser reports one or two positions in a frame.
    parts = [np.vstack([part[:-1:3], part[-1:]]) for part in np.split(path, lifts)]
    return [[(float(x), float(y)) for x, y in part] for part in parts]


def with_mouse(page: Any, lines: list[list[tuple[float, float]]]) -> None:
    box = page.locator("#paper").bounding_box()
    for line in lines:
        for number, (x, y) in enumerate(line):
            page.mouse.move(box["x"] + x * box["height"], box["y"] + y * box["height"])
            if not number:
                page.mouse.down()
        page.mouse.up()


def with_finger(page: Any, lines: list[list[tuple[float, float]]]) -> None:
    box = page.locator("#paper").bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [
            {"x": box["x"] + x * box["height"], "y": box["y"] + y * box["height"]}
            for x, y in points
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    for line in lines:
        touch("touchStart", line[0])
        for point in line[1:]:
            touch("touchMove", point)
        touch("touchEnd")
    session.detach()


def duration_us(page: Any, stage: str) -> float:
    """Return a time that the page shows, in microseconds."""
    value, unit = page.locator(f"#{stage}-time").inner_text().split()
    return float(value) * {"µs": 1, "ms": 1000}[unit]


def settled(page: Any) -> str:
    """Return the digit on the page when no request is under way."""
    page.locator("#answer:not([aria-busy=true])").wait_for()
    return str(page.locator("#digit").inner_text())


@pytest.mark.parametrize("device", DEVICES)
def test_every_digit_drawn_is_read(server: Server, show: Open, device: str, tmp_path: Path) -> None:
    page = show(server.address, DEVICES[device])
    draw = with_finger if device == "phone" else with_mouse
    read = []
    for digit in range(10):
        page.locator("#clear").click()
        page.locator("#paper").scroll_into_view_if_needed()
        # The prediction of the previous digit must be gone.
        assert page.locator("#digit").inner_text() == "–"
        draw(page, strokes(digit))
        read.append(settled(page))
        assert "%" in page.locator("#sure").inner_text()
        best = page.locator("#bars tr.best")
        assert best.locator("th").inner_text() == read[-1]
        times = {s: duration_us(page, s) for s in ("decode", "preprocess", "model", "total")}
        assert 0 < times["model"] < times["preprocess"] < times["total"]
    picture = Path(os.environ.get("EDGE_MNIST_SCREENSHOTS", tmp_path)) / f"{device}.png"
    page.screenshot(path=picture, full_page=True)
    assert read == list("0123456789")
    # The canvas shows the model's input: bright pixels inside, none in the first row.
    with Image.open(picture) as shown:
        assert shown.width == DEVICES[device]["viewport"]["width"] * (1 + (device == "phone"))
    ink = page.evaluate(
        "[...document.querySelector('#seen canvas').getContext('2d')"
        ".getImageData(0, 0, 28, 28).data].filter((_, place) => place % 4 === 0)"
    )
    pixels = np.array(ink).reshape(28, 28)
    assert pixels.max() > 200 and pixels[0].max() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The prediction is visible without scrolling.
    page.evaluate("scrollTo(0, 0)")
    answer = page.locator("#bars").bounding_box()
    assert answer["y"] + answer["height"] <= DEVICES[device]["viewport"]["height"]
    # The bar's width is the probability's share of its cell.
    bar = page.locator("#bars tr.best .bar").bounding_box()["width"]
    assert bar > 0.9 * page.locator("#bars tr.best td").first.bounding_box()["width"] > 60


@pytest.mark.parametrize("device", DEVICES)
def test_several_digits_in_a_row(server: Server, show: Open, device: str) -> None:
    page = show(server.address, DEVICES[device])
    page.locator("#many").check()
    page.locator("#paper").scroll_into_view_if_needed()
    draw = with_finger if device == "phone" else with_mouse
    for place, digit in enumerate((2, 0, 5)):
        draw(page, strokes(digit, left=0.15 + 0.9 * place))
    assert settled(page) == "205"
    assert page.locator("#seen canvas").count() == 3
    if folder := os.environ.get("EDGE_MNIST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"several-{device}.png", full_page=True)


def test_with_a_pen(server: Server, show: Open) -> None:
    page = show(server.address)
    box = page.locator("#paper").bounding_box()
    session = page.context.new_cdp_session(page)
    (line,) = strokes(3)
    for number, (x, y) in enumerate([*line, line[-1]]):
        kind = "mousePressed" if not number else "mouseMoved"
        place = {"x": box["x"] + x * box["height"], "y": box["y"] + y * box["height"]}
        pen = {"pointerType": "pen", "button": "left", "buttons": 1, "clickCount": 1}
        kind = "mouseReleased" if number == len(line) else kind
        session.send("Input.dispatchMouseEvent", {"type": kind, **place, **pen})
    assert settled(page) == "3"


def test_with_keys_alone(server: Server, show: Open) -> None:
    page = show(server.address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "paper"
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    assert page.locator("#pen").inner_text() == "Pen down, 50 % from the left, 17 % from the top"
    for _ in range(16):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert page.locator("#pen").inner_text().startswith("Pen up, ")
    assert settled(page) == "1"
    page.keyboard.press("Backspace")
    assert settled(page) == "–"
    reached = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"clear", "undo", "file", "many", "model"} <= reached


def test_names_for_a_screen_reader(server: Server, show: Open) -> None:
    page = show(server.address)
    for role, name in (
        ("application", "Paper to draw on"),
        ("button", "Clear"),
        ("button", "Undo"),
        ("checkbox", "Several digits in a row"),
        ("combobox", "Model"),
        ("img", "No model input yet"),
        ("table", "Probability of each digit"),
        ("heading", "Draw a digit"),
    ):
        assert page.get_by_role(role, name=name, exact=True).count() == 1, name
    assert page.get_by_label("Picture…").count() == 1
    assert page.locator("#answer").get_attribute("aria-live") == "polite"
    assert page.locator("html").get_attribute("lang") == "en"


def test_pictures_chosen_dropped_and_pasted(server: Server, show: Open, tmp_path: Path) -> None:
    page = show(server.address)
    page.set_input_files("#file", DIGITS / "6.png")
    assert settled(page) == "6"
    give = (
        "async ([kind, name, bytes]) => { const transfer = new DataTransfer();"
        "transfer.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));"
        "const options = {bubbles: true, cancelable: true};"
        "dispatchEvent(kind === 'drop' ? new DragEvent(kind, {...options, dataTransfer: transfer})"
        ": new ClipboardEvent(kind, {...options, clipboardData: transfer})) }"
    )
    for kind, digit in (("drop", 3), ("paste", 8)):
        content = list((DIGITS / f"{digit}.png").read_bytes())
        page.evaluate(give, [kind, f"{digit}.png", content])
        assert settled(page) == str(digit)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    page.set_input_files("#file", broken)
    page.locator("#alert").wait_for()
    assert "Expected a picture (PNG, JPEG, …), got another" in page.locator("#alert").inner_text()
    # The browser itself logs the status 422.
    assert all("422" in line for line in show.complaints)  # type: ignore[attr-defined]
    show.complaints.clear()  # type: ignore[attr-defined]


def test_another_model_and_the_panel(server: Server, show: Open) -> None:
    page = show(server.address)
    with_mouse(page, strokes(4))
    assert settled(page) == "4"
    with page.expect_response(lambda response: "model=model-float32.onnx-onnx" in response.url):
        page.locator("#model").select_option("model-float32.onnx-onnx")
    assert settled(page) == "4"
    assert page.locator("#cost tbody tr").count() == page.locator("#model option").count()
    chosen = page.locator("#cost tr.chosen")
    assert "model-float32.onnx" in chosen.inner_text()
    assert "Accuracy on mnist-test" in page.locator("#cost-of").inner_text()


def test_the_page_says_that_a_model_saw_only_drawn_digits(
    server: Server, start: Start, show: Open, tmp_path: Path
) -> None:
    page = show(server.address)
    assert page.locator("#served").inner_text() == "The model bundle, on this device."
    drawn = show(start("--model", drawn_bundle(tmp_path / "mine")).address)
    assert drawn.locator("#served").inner_text() == (
        "The model mine, trained on drawn digits, not MNIST, on this device."
    )


def test_the_token_comes_with_the_address_or_is_asked_for(start: Start, show: Open) -> None:
    one = start("--host", "0.0.0.0")
    token = one.address.partition("#")[2]
    here = f"http://127.0.0.1:{one.port}/"
    page = show(f"{here}#{token}")
    with_mouse(page, strokes(7))
    assert settled(page) == "7"
    assert "#" not in page.url
    context = page.context.browser.new_context()
    other = context.new_page()
    other.goto(here)
    other.get_by_label("This server requires a token.").fill(token.removeprefix("token="))
    other.get_by_role("button", name="Use it").click()
    other.locator("#model option").first.wait_for(state="attached")
    assert not other.locator("#ask-token").is_visible()
    context.close()


# ----- Live video --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_camera(launch: Callable[..., Any], slow_clip: Path) -> Any:
    """Chromium with a fake camera that shows the clip."""
    return launch(*FAKE_CAMERA, f"--use-file-for-fake-video-capture={slow_clip}")


def live_page(browser: Any, address: str, device: dict[str, Any], complaints: list[str]) -> Any:
    page = browser.new_context(**device).new_page()
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.locator("#model option").first.wait_for(state="attached")
    return page


@pytest.mark.parametrize("device", DEVICES)
def test_live_video_is_read_and_its_boxes_are_drawn(
    server: Server, with_camera: Any, device: str
) -> None:
    complaints: list[str] = []
    page = live_page(with_camera, server.address, DEVICES[device], complaints)
    page.evaluate(
        "const ask = fetch; window.sent = []; window.fetch = async (path, options) => {"
        "const picture = await createImageBitmap(options.body);"
        "sent.push([options.body.type, picture.width, picture.height]);"
        "return ask(path, options) }; 0"
    )
    flying, most = 0, 0

    def begin(_: Any) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)

    def end(_: Any) -> None:
        nonlocal flying
        flying -= 1

    page.on("request", begin)
    page.on("requestfinished", end)
    page.get_by_role("button", name="Live camera").click()
    for digit in CLIP_DIGITS:
        page.locator(f"#digit:text-is('{digit}')").wait_for()
        assert page.locator("#bars tr.best th").inner_text() == str(digit)
    assert most == 1
    assert {tuple(one) for one in page.evaluate("sent")} == {("image/jpeg", 480, 360)}
    assert page.locator("#video").is_visible() and not page.locator("#paper").is_visible()
    # A label with the digit, or a box, lies over the video.
    assert page.evaluate("document.querySelector('#boxes').width") == 640
    drawn = (
        "document.querySelector('#boxes').getContext('2d').getImageData(0, 0, 640, 480).data"
        ".some((value, place) => place % 4 === 3 && value > 0)"
    )
    page.wait_for_function(drawn)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if folder := os.environ.get("EDGE_MNIST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"live-{device}.png", full_page=True)
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator("#paper").is_visible() and not page.locator("#video").is_visible()
    assert settled(page) == "–"
    assert not complaints


def test_live_video_stops_when_the_page_is_hidden(server: Server, with_camera: Any) -> None:
    complaints: list[str] = []
    page = live_page(with_camera, server.address, DESKTOP, complaints)
    page.locator("#start-live").click()
    page.locator("#video").wait_for()
    ended = "window.track = document.querySelector('#video').srcObject.getVideoTracks()[0], 0"
    page.evaluate(ended)
    # A browser without a screen never hides a page by itself.
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.locator("#paper").wait_for()
    assert page.evaluate("window.track.readyState") == "ended"
    assert page.locator("#start-live").inner_text() == "Live"
    assert not complaints


def test_live_video_goes_on_when_the_camera_is_back(server: Server, with_camera: Any) -> None:
    complaints: list[str] = []
    page = live_page(with_camera, server.address, DESKTOP, complaints)
    page.locator("#start-live").click()
    page.locator(f"#digit:text-is('{CLIP_DIGITS[0]}')").wait_for()
    # What a browser does when a camera is unplugged, and when one is plugged in.
    page.evaluate(
        "document.querySelector('#video').srcObject.getVideoTracks()[0]"
        ".dispatchEvent(new Event('ended'))"
    )
    page.locator("#alert:text('it is gone. Waiting for it.')").wait_for()
    assert page.locator("#paper").is_visible()
    page.evaluate("navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
    page.locator("#video").wait_for()
    page.locator(f"#digit:text-is('{CLIP_DIGITS[1]}')").wait_for()
    assert not page.locator("#alert").is_visible()
    assert not complaints


def test_live_video_that_is_not_there_is_one_clear_line(
    start: Start, launch: Callable[..., Any]
) -> None:
    one = start("--host", "0.0.0.0")
    token = one.address.partition("#")[2]
    address = f"http://127.0.0.1:{one.port}/#{token}"
    cases = {
        "got permission denied": (
            "--use-fake-device-for-media-stream",
            "--deny-permission-prompts",
        ),
        "got none; plug in a camera": ("--use-fake-ui-for-media-stream",),
    }
    complaints: list[str] = []
    for said, options in cases.items():
        page = live_page(launch(*options), address, DESKTOP, complaints)
        page.locator("#start-live").click()
        page.locator("#alert").wait_for()
        assert said in page.locator("#alert").inner_text()
        assert page.locator("#paper").is_visible()
    # By the name of the machine, without https, a browser gives no page a camera.
    browser = launch("--host-resolver-rules=MAP pi.example 127.0.0.1")
    page = live_page(browser, f"http://pi.example:{one.port}/#{token}", PHONE, complaints)
    page.locator("#start-live").click()
    page.locator("#alert").wait_for()
    assert "Expected a secure address for live video" in page.locator("#alert").inner_text()
    # The phone's own camera works all the same.
    assert page.locator("label[for=photo]").is_visible()
    assert page.locator("#photo").get_attribute("capture") == "environment"
    page.set_input_files("#photo", DIGITS / "6.png")
    assert settled(page) == "6"
    # Without https a browser says that it ignores this header.
    assert all("Cross-Origin-Opener-Policy" in line for line in complaints)


# ----- The demonstration -------------------------------------------------------------------------

PROJECTOR = {"viewport": {"width": 1920, "height": 1080}, "color_scheme": "light"}
SHOWN_ON = {
    "projector": PROJECTOR,
    "projector-dark": {**PROJECTOR, "color_scheme": "dark"},
    "old-projector": {"viewport": {"width": 1024, "height": 768}, "color_scheme": "light"},
    "laptop": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": PHONE,
}


def show_demo(show: Open, server: Server, device: dict[str, Any]) -> Any:
    return show(f"{server.address}demo", device, ready="#bars tbody tr")


def tiles(page: Any) -> list[str]:
    """Return the pictures of the layers."""
    canvases = "[...document.querySelectorAll('#layers canvas')].map(one => one.toDataURL())"
    return list(page.evaluate(canvases))


@pytest.mark.parametrize("device", SHOWN_ON)
def test_the_demonstration_shows_two_precisions_and_the_layers(
    server: Server, show: Open, device: str
) -> None:
    page = show_demo(show, server, SHOWN_ON[device])
    assert page.locator("#left b").inner_text() == "float32"
    assert page.locator("#right b").inner_text() == "int8"
    assert page.locator("#digit").inner_text() == "–"
    seen = []
    for digit in (3, 8):
        page.locator("#clear").click()
        page.locator("#paper").scroll_into_view_if_needed()
        (with_finger if device == "phone" else with_mouse)(page, strokes(digit))
        assert settled(page) == str(digit)
        assert page.locator("#sure").inner_text().endswith("%")
        assert page.locator("#agreement").inner_text().startswith(f"✓ Both read {digit}, ")
        row = page.locator("#bars tr.best")
        assert row.locator("th").inner_text() == str(digit)
        # Both bars fill most of their cell.
        for cell in row.locator("td:has(.bar)").all():
            width = cell.bounding_box()["width"]
            assert cell.locator(".bar").bounding_box()["width"] > 0.5 * width > 20
        assert all("µs" in cost or "ms" in cost for cost in page.locator(".cost").all_inner_texts())
        seen.append(tiles(page))
    assert len(seen[0]) == len(seen[1]) == 5
    assert all(one != other for one, other in zip(*seen, strict=True))
    if folder := os.environ.get("EDGE_MNIST_SCREENSHOTS"):
        path = Path(folder) / f"demo-{device}.png"
        page.screenshot(path=path, full_page=device == "phone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # On a projector nobody scrolls.
    fits = page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert fits or device == "phone"
    page.locator("#clear").click()
    assert settled(page) == "–"
    assert tiles(page)[0] not in (seen[0][0], seen[1][0])


def test_the_demonstration_sends_one_request_at_a_time(server: Server, show: Open) -> None:
    page = show_demo(show, server, PROJECTOR)
    settled(page)
    flying, most, answered = 0, 0, 0

    def begin(_: Any) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)

    def end(_: Any) -> None:
        nonlocal flying, answered
        flying -= 1
        answered += 1

    page.on("request", begin)
    page.on("requestfinished", end)
    with_mouse(page, strokes(2))
    assert settled(page) == "2"
    points = sum(map(len, strokes(2)))
    assert most == 1 and 1 <= answered < points
    # The rate is counted while drawing.
    assert "answers per second" in page.locator("#speed").inner_text()


def test_the_demonstration_with_keys_and_reduced_motion(server: Server, show: Open) -> None:
    page = show_demo(show, server, {**PROJECTOR, "reduced_motion": "reduce"})
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "paper"
    page.keyboard.press("Space")
    for _ in range(14):
        page.keyboard.press("ArrowDown")
    assert settled(page) == "1"
    transition = "getComputedStyle(document.querySelector('.bar')).transitionDuration"
    assert page.evaluate(transition) == "0s"
    page.keyboard.press("Delete")
    assert settled(page) == "–"


def test_the_demonstration_says_what_it_cannot_show(start: Start, show: Open) -> None:
    page = show_demo(show, start(), PROJECTOR)
    assert page.locator("#left b").inner_text() == "ONNX Runtime"
    assert "edge-mnist export --int8" in page.locator("#models-note").inner_text()
    single = show_demo(show, start("--model", WHOLE / "model-int8.onnx"), PROJECTOR)
    with_mouse(single, strokes(6))
    assert settled(single) == "6"
    assert not single.locator("#left").is_visible()
    assert "LiteRT" in single.locator("#layers").inner_text()
    for shown in (page, single):
        assert shown.evaluate("document.documentElement.scrollHeight <= innerHeight")


@pytest.mark.parametrize(
    "names",
    [
        [*("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal"), *"ABC", "Ankle boot"],
        ["x" * 150 + str(digit) for digit in range(10)],
    ],
    ids=["fashion", "long"],
)
def test_the_demonstration_has_room_for_names(
    start: Start, show: Open, tmp_path: Path, names: list[str]
) -> None:
    shutil.copytree(WHOLE, tmp_path / "b")
    manifest = tmp_path / "b" / "manifest.json"
    document = json.loads(manifest.read_text("utf-8"))
    document["labels"] = names
    del document["refusal"]  # Every drawing gets a name.
    manifest.write_text(json.dumps(document), "utf-8")
    page = show_demo(show, start("--model", tmp_path / "b"), PROJECTOR)
    with_mouse(page, strokes(8))
    assert settled(page) in names
    for axis in ("Width", "Height"):
        assert page.evaluate(f"document.documentElement.scroll{axis} <= inner{axis}"), axis
    # A name is not drawn over the bars.
    assert page.evaluate(
        "[...document.querySelectorAll('#bars tbody th')].every(th => getComputedStyle(th).overflow"
        " === 'hidden' || th.scrollWidth <= th.clientWidth)"
    )


def test_the_demonstration_takes_the_token_and_shows_errors(start: Start, show: Open) -> None:
    one = start("--host", "0.0.0.0")
    page = show(
        f"http://127.0.0.1:{one.port}/demo#{one.address.partition('#')[2]}", ready="#bars tbody tr"
    )
    with_mouse(page, strokes(7))
    assert settled(page) == "7"
    assert "#" not in page.url
    one.stop()
    page.locator("#clear").click()
    page.locator("#alert").wait_for()
    assert page.locator("#alert").inner_text() == "The server does not answer."
    # The browser itself logs the refused connection.
    show.complaints.clear()  # type: ignore[attr-defined]


def test_the_page_of_the_api(server: Server, browser: Any) -> None:
    page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.address}api")
    page.locator("#paths details").first.click()
    assert "/v1/predict – Read the digits in pictures." in page.locator("#paths").inner_text()
    assert page.locator("#paths details").count() == 12
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if folder := os.environ.get("EDGE_MNIST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "api.png", full_page=True)
    page.context.close()
    assert not complaints


def test_the_page_is_small_and_names_no_other_host() -> None:
    from importlib.resources import files

    pages = list((files("edge_mnist.serve") / "page").iterdir())
    assert {page.name for page in pages} >= {"index.html", "page.css", "page.js", "api.html"}
    assert sum(len(page.read_bytes()) for page in pages) < 60_000
    assert not [page.name for page in pages if "://" in page.read_text(encoding="utf-8")]
