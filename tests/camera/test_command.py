"""`edge-mnist camera` as a user types it: a clip in, lines, a page or a window out."""

from __future__ import annotations

import http.client
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageGrab

from tests.conftest import CLIP_DIGITS as DIGITS
from tests.conftest import Cli, jpeg
from tests.errors import assert_error

COMMAND = Path(sys.executable).with_name("edge-mnist")
NO_DISPLAY = {"DISPLAY": ""}


@pytest.mark.slow
def test_a_clip_in_lines_of_json_out(cli: Cli, clip: Path) -> None:
    lines = cli("camera", clip, "--json").stdout.splitlines()
    changes = [json.loads(line) for line in lines]
    assert [c["digit"] for c in changes if c["digit"] is not None] == list(DIGITS)
    # Each digit is there for 0.8 s, and the page is changed at the start and at the end of them.
    for place, change in enumerate(c for c in changes if c["digit"] is not None):
        assert place * 0.8 < change["time_s"] < place * 0.8 + 0.5
        assert change["frame"] == round(change["time_s"] * 25)
        assert change["confidence"] == max(change["probabilities"]) > 0.7
    assert all(one["digit"] != next["digit"] for one, next in itertools.pairwise(changes))
    assert all("reason" in change for change in changes if change["digit"] is None)


@pytest.fixture
def start(frames: list[Image.Image], tmp_path: Path) -> Path:
    """A short clip: the first page lies still."""
    path = tmp_path / "start.mjpeg"
    path.write_bytes(b"".join(map(jpeg, frames[6:12])))
    return path


def test_a_clip_as_text_and_other_options(cli: Cli, start: Path) -> None:
    done = cli("camera", start, "--no-window", "--backend", "onnx", "--threads", "2")
    digits = re.findall(r"^ +\d\.\d\d s: (\d) \(\d\d\.\d\d %\)$", done.stdout, re.MULTILINE)
    assert digits == [str(DIGITS[0])]
    assert done.stderr.startswith("Model: edge ")
    # There are fewer frames than have to agree.
    assert cli("camera", start, "--stable", "40", env=NO_DISPLAY).stdout == ""


def test_the_benchmark_of_a_clip(cli: Cli, start: Path) -> None:
    document = json.loads(cli("camera", start, "--benchmark", "--json").stdout)
    assert set(document) == {"frames", "frames_per_s", "stages_ms"}
    assert document["frames"] == 5
    rates = document["frames_per_s"]
    assert rates["answers"] > 0 and rates["window"] > rates["page"] > 0
    stages = document["stages_ms"]
    assert list(stages) == ["answer", "decode", "read", "draw", "encode"]
    assert all(0 < stage["p50"] <= stage["p90"] for stage in stages.values())


def test_no_camera_is_one_line(cli: Cli, clip: Path, tmp_path: Path) -> None:
    missing = "/dev/video99"
    assert_error(cli("camera", missing, status=2), "camera-missing", missing)
    assert_error(cli("camera", "99", "--json", status=2), "camera-missing", missing)
    assert_error(cli("camera", "nothing.gif", status=2), "camera-source", "nothing.gif")
    assert_error(cli("camera", "picamera2", status=2), "camera-picamera2")
    display = {"DISPLAY": ":199"}
    assert_error(cli("camera", clip, status=2, env=display), "camera-window", "--no-window")
    done = cli("camera", missing, "--benchmark", status=2)
    assert "Expected a clip for --benchmark" in done.stderr
    done = cli("camera", clip, "--serve", "--benchmark", status=2)
    assert "Expected one of --serve, --no-window and --benchmark" in done.stderr
    assert "640x480" in cli("camera", "--size", "big", status=2).stderr
    if not list(Path("/dev").glob("video*")):
        assert_error(cli("camera", status=2), "camera-none")


def test_without_pyav_a_video_and_a_camera_name_the_extra(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text("raise ModuleNotFoundError('av', name='av')")
    film = tmp_path / "film.mp4"
    film.touch()
    env = {"PYTHONPATH": str(tmp_path)}
    for source in (film, "/dev/video0"):
        done = cli("camera", source, status=2, env=env | NO_DISPLAY)
        assert_error(done, "camera-library", "pip install 'edge-mnist[camera]'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_clip_ends_with_one_line(clip: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [COMMAND, "camera", clip, "--stable", "1", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    by = {signal.SIGINT: "", signal.SIGTERM: " by SIGTERM"}[number]
    assert said.splitlines()[-1] == f"edge-mnist: error: interrupted{by}"
    assert "Traceback" not in said


class Page:
    """A running `edge-mnist camera --serve`."""

    def __init__(self, clip: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [COMMAND, "camera", clip, "--serve", "--port", "0", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        said = ""
        while not (found := re.search(r" on (http://\S+:(\d+)(/\S*))", said)):
            line = self.process.stderr.readline()
            assert line, said
            said += line
        self.url, self.port, self.path = found[1], int(found[2]), found[3]
        self.opened: list[http.client.HTTPConnection | http.client.HTTPResponse] = []

    def ask(self, path: str, host: str = "") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        self.opened += [connection, answer]
        return answer

    def stop(self) -> None:
        for one in self.opened:
            one.close()
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        assert said == ""


@pytest.fixture
def page(slow_clip: Path) -> Iterator[Page]:
    one = Page(slow_clip)
    yield one
    one.stop()


def next_jpeg(response: http.client.HTTPResponse) -> Image.Image:
    """Read one part of Motion JPEG."""
    assert response.readline() == b"--frame\r\n"
    assert response.readline() == b"Content-Type: image/jpeg\r\n"
    size = int(response.readline().removeprefix(b"Content-Length: "))
    assert response.readline() == b"\r\n"
    content = response.read(size)
    assert response.readline() == b"\r\n"
    return Image.open(io.BytesIO(content))


@pytest.mark.slow
def test_the_page_streams_drawn_frames_and_answers(page: Page) -> None:
    video = page.ask("/video")
    assert video.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    assert "camera=(self)" in video.headers["Permissions-Policy"]
    pictures = [next_jpeg(video) for _ in range(3)]
    assert {(one.format, one.size) for one in pictures} == {("JPEG", (640, 480))}
    # The dark strip with the frames a second.
    assert all(
        one.convert("L").crop((150, 445, 400, 478)).getextrema()[1] < 130 for one in pictures
    )
    answers = page.ask("/answers")
    seen = set()
    while seen < set(map(str, DIGITS)):
        event = answers.readline()
        if event.startswith(b"data: "):
            answer = json.loads(event.removeprefix(b"data: "))
            assert answer["source"] == "slow.mjpeg" and answer["notice"] is None
            seen.add(answer.get("label"))
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/camera.js", "text/java")):
        answer = page.ask(path)
        assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert page.ask("/other").status == 404
    assert page.ask("/", host="evil.example").status == 421
    full = [page.ask("/video") for _ in range(20)]
    assert {one.status for one in full} == {200, 503}


def test_other_machines_need_the_token_of_the_address(clip: Path) -> None:
    page = Page(clip, "--host", "0.0.0.0")
    assert len(page.path) > 20
    assert page.ask(page.path).status == 200
    assert page.ask(f"{page.path}video").status == 200
    assert [page.ask(path).status for path in ("/", "/video", "/page.css")] == [404] * 3
    page.stop()


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.browser
def test_the_page_in_a_browser(page: Page, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium to show the page in")
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown: Any = browser.new_page(viewport={"width": 390, "height": 844})
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(page.url, wait_until="commit")
        for digit in DIGITS:
            shown.locator(f"#digit:text-is('{digit}')").wait_for()
        assert re.fullmatch(r"[\d.]+ frames per second", shown.locator("#rate").inner_text())
        assert shown.locator("#source").inner_text() == "slow.mjpeg, read on this device."
        assert shown.evaluate("document.querySelector('#video').naturalWidth") == 640
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert shown.locator("#changes li").count() >= len(DIGITS)
        assert not shown.locator("#alert").is_visible()
        if folder := os.environ.get("EDGE_MNIST_SCREENSHOTS"):
            shown.screenshot(path=Path(folder) / "camera-phone.png")
        browser.close()
    assert not complaints


@pytest.mark.slow
def test_the_window(clip: Path, tmp_path: Path) -> None:
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("needs Xvfb, a display without a screen")
    pytest.importorskip("tkinter", reason="needs tkinter, Debian's python3-tk")
    server = subprocess.Popen(
        [xvfb, "-displayfd", "1", "-screen", "0", "800x600x24"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    display = f":{server.stdout.readline().strip()}"
    process = subprocess.Popen(
        [COMMAND, "camera", clip],
        env={**os.environ, "DISPLAY": display},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        shown = False
        while process.poll() is None:
            screen = ImageGrab.grab(xdisplay=display).convert("L")
            # The page in the middle of the frame, and the dark strip below it.
            shown |= screen.crop((250, 150, 400, 300)).getextrema()[1] > 150
            time.sleep(0.05)
        assert shown
        said = process.communicate(timeout=30)
        # Frames are dropped where they come faster than they are read.
        assert set(re.findall(r"s: (\d) ", said[0])) <= set(map(str, DIGITS))
        assert process.returncode == 0 and "Traceback" not in said[1]
    finally:
        process.kill()
        server.terminate()
        server.communicate(timeout=10)
