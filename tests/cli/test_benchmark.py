"""`benchmark` and `compare` as a user runs them: real processes, real files, a real browser."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_mnist import backends
from edge_mnist.benchmark.html_report import as_html
from tests.conftest import REPOSITORY, WHOLE, Cli, error_line

SCHEMA = json.loads((files("edge_mnist.benchmark") / "schema-1.json").read_text(encoding="utf-8"))
CHECK = jsonschema.Draft202012Validator(SCHEMA)
INT8 = WHOLE / "model-int8.onnx"


@pytest.fixture(scope="module")
def measured(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """A folder with quick.json, .csv and .html of the shipped bundle; stdout; seconds it took.

    Of processor time: by the clock, a second test process on two cores decides the outcome.
    """
    folder = tmp_path_factory.mktemp("measured")
    names = ("--json", "quick.json", "--csv", "quick.csv", "--html", "quick.html")
    start = _children_s()
    done = cli("benchmark", WHOLE, "--threads", "1,2", "--quick", *names, cwd=folder)
    return folder, done.stdout, _children_s() - start


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


@pytest.fixture(scope="module")
def document(measured: tuple[Path, str, float]) -> dict[str, Any]:
    return json.loads((measured[0] / "quick.json").read_text(encoding="utf-8"))


def test_quick_is_quick(measured: tuple[Path, str, float]) -> None:
    assert 1 < measured[2] < 20


def test_the_document_follows_its_schema_and_the_schema_names_all(
    document: dict[str, Any],
) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    CHECK.validate(document)
    assert set(document) == set(SCHEMA["properties"])
    for part in ("environment", "protocol", "evidence"):
        assert set(document[part]) == set(SCHEMA["properties"][part]["properties"])
    for row in document["results"]:
        assert set(row) == set(SCHEMA["$defs"]["result"]["properties"])
        assert set(row["predict_us"]) == set(SCHEMA["$defs"]["summary"]["properties"])
    (reading, *_) = document["evidence"]["groups"][0]["readings"]
    assert set(reading) == {"at_s", *SCHEMA["$defs"]["reading"]["properties"]}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(schema=2),
        lambda d: d["results"][0].pop("peak_rss_mb"),
        lambda d: d["results"][0]["predict_us"].update(p50="NaN"),
        lambda d: d["results"][0].update(accuracy=99.3),
        lambda d: d["results"][0]["samples_ns"]["predict"][0].append(1.5),
        lambda d: d["failed"].append({"file": "m.tflite"}),
    ],
)
def test_the_schema_refuses_what_is_wrong(spoil: Any, document: dict[str, Any]) -> None:
    copy = json.loads(json.dumps(document))
    spoil(copy)
    assert list(CHECK.iter_errors(copy))


def test_a_row_holds_what_is_needed_to_choose(document: dict[str, Any]) -> None:
    manifest = json.loads((WHOLE / "manifest.json").read_text(encoding="utf-8"))
    entries = {entry["file"]: entry for entry in manifest["artifacts"]}
    for row in document["results"]:
        entry = entries[row["file"]]
        for name in ("accuracy", "size_bytes", "sha256", "precision"):
            assert row[name] == entry[name]
        assert row["accuracy_data"] == "mnist-test"
        assert row["import_ms"] > 1
        low, high = row["predict_us"]["ci95"]["p50"]
        assert low - 0.01 <= row["predict_us"]["p50"] <= high + 0.01
        samples = [sample for part in row["samples_ns"]["predict"] for sample in part]
        assert len(samples) == row["predict_us"]["n"]
        assert sum(window["n"] for window in row["windows"]) == len(samples)
        # Timed in other predictions, each with a reading of the clock. A round takes both in turn:
        # what changes the processor's clock, or comes in between, rarely comes between its leasts.
        *stages, whole = (
            [min(part) for part in row["samples_ns"][name]]
            for name in ("preprocess", "invoke", "postprocess", "predict")
        )
        shares = [sum(least) / all_ for *least, all_ in zip(*stages, whole, strict=True)]
        assert 0.75 < statistics.median(shares) < 1.25
    assert any(row["pareto"] for row in document["results"])


def test_csv_has_the_same_rows(measured: tuple[Path, str, float], document: Any) -> None:
    text = (measured[0] / "quick.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    for line, row in zip(rows, document["results"], strict=True):
        assert (line["file"], line["threads"]) == (row["file"], str(row["threads"]))
        assert float(line["predict_p50_us"]) == row["predict_us"]["p50"]
        assert float(line["invoke_p99_low_us"]) == row["invoke_us"]["ci95"]["p99"][0]
        assert line["error"] == ""


def test_the_table_marks_and_explains(measured: tuple[Path, str, float], document: Any) -> None:
    out = measured[1]
    assert "Accuracy: on mnist-test, as the manifest states." in out
    header = next(line for line in out.splitlines() if " p50 µs" in line)
    for name in ("accuracy", "kB", "p99.9", "pre+invoke+post", "import ms", "peak MB"):
        assert name in header
    lines = [line for line in out.splitlines() if re.match(r"[*! ]+model-\S+  ", line)]
    for line, row in zip(lines, document["results"], strict=True):
        mark = line[: line.index("model")].strip()
        assert mark == "*" * row["pareto"] + "!" * bool(row["tainted"])
        assert f"{row['accuracy']:.2%}".replace("%", " %") in line
    for note in document["notes"]:
        assert note in out


# ----- The page ----------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Makes sure that every element is closed, and notes the attributes."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(measured: tuple[Path, str, float]) -> None:
    text = (measured[0] / "quick.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert not re.search(r"https?:|//\w|url\(|@import|<script|<link|<img|NaN|inf\b|None", text)
    assert {name for _, name, _ in page.seen}.isdisjoint({"href", "src", "onload", "style"})
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) >= 4
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert len(text) < 500_000


def test_the_page_shows_failures_and_names_that_are_hostile(document: dict[str, Any]) -> None:
    hostile = "<script>alert('x')</script>.tflite"
    key = {name: document["results"][0][name] for name in ("folder", "backend", "threads", "batch")}
    failed = {"file": hostile, "label": hostile, **key, "error": "its process died of SIGSEGV"}
    changed = {**document, "failed": [failed]}
    CHECK.validate(changed)
    text = as_html(changed)
    assert _Page(text).open == []
    assert "<script" not in text
    assert "failed: its process died of SIGSEGV" in text


def test_a_page_of_files_of_unknown_accuracy_and_one_sensor(document: dict[str, Any]) -> None:
    rows = [{**row, "accuracy": None, "accuracy_data": None} for row in document["results"]]
    group = document["evidence"]["groups"][0]
    readings = [{**r, "temperature_c": 60 + r["at_s"]} for r in group["readings"]]
    evidence = {**document["evidence"], "groups": [{**group, "readings": readings}]}
    text = as_html({**document, "results": rows, "evidence": evidence})
    assert _Page(text).open == []
    assert "No manifest states the accuracy of these files." in text
    assert "°C, hottest zone" in text


@pytest.mark.parametrize("width", [375, 1280])
def test_a_browser_shows_the_page_without_scrolling_sideways(
    width: int, measured: tuple[Path, str, float], tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium to show the report in")
    text = (measured[0] / "quick.html").read_text(encoding="utf-8")
    # A frame is as narrow as a phone; a window of this browser is not.
    asked = (
        "<script>onload = () => { const page = frames[0].document; const widths = "
        "[...page.querySelectorAll('svg')].map(drawing => drawing.getBoundingClientRect().width);"
        "document.title = [page.documentElement.scrollWidth, Math.min(...widths), "
        "frames[0].getComputedStyle(page.body).fontSize].join(' ') }</script>"
    )
    frame = f'<iframe width="{width}" height="900" frameborder="0" srcdoc="{_quoted(text)}">'
    (tmp_path / "frame.html").write_text(f"<title>-</title>{asked}{frame}</iframe>", "utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000")
    command = [browser, *options, "--dump-dom", f"file://{tmp_path / 'frame.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r"<title>(\d+) ([\d.]+) 15px</title>", done.stdout)
    assert found, done.stdout[:300]
    assert int(found[1]) <= width
    assert float(found[2]) > (280 if width < 500 else 440)


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;")


# ----- Other ways to measure ---------------------------------------------------------------------


def test_a_duration_is_kept_and_every_window_has_a_median(cli: Cli, tmp_path: Path) -> None:
    start = time.monotonic()
    done = cli("benchmark", INT8, "--duration", "3s", "--json", tmp_path / "x.json")
    assert time.monotonic() - start < 15
    document = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    CHECK.validate(document)
    assert document["protocol"]["duration_s"] == 3
    (group,) = document["evidence"]["groups"]
    assert 3 <= group["wall_s"] < 4
    # A turn is of 0.2 seconds of load, however few of its samples are kept.
    assert all(len(row["samples_ns"]["predict"]) <= 15 for row in document["results"])
    for row in document["results"]:
        # Three rounds a window; another program may take some of the 15 rounds away.
        assert len(row["windows"]) == len(row["samples_ns"]["predict"]) // 3 >= 2
        assert f"{row['windows'][1]['p50_us']:.1f}" in done.stdout
        assert row["predict_us"]["n"] <= 12_000
    assert "Median of predict in every window, µs:" in done.stdout


def test_two_bundles_with_files_of_one_name_are_told_apart(cli: Cli, tmp_path: Path) -> None:
    for name in ("old", "new"):
        shutil.copytree(WHOLE, tmp_path / name / "bundle")
    args = ("benchmark", "old/bundle", "new/bundle", "--runs", "10", "--json", "x.json")
    out = cli(*args, cwd=tmp_path).stdout
    assert "old/bundle/model-int8.onnx" in out
    assert "new/bundle/model-int8.onnx" in out
    assert "B/A" in cli("compare", "x.json", "x.json", cwd=tmp_path).stdout


def test_a_row_that_fails_is_shown_and_the_others_are_written(cli: Cli, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(WHOLE, tmp_path / "bundle"))
    (bundle / "model-int8.onnx").write_bytes(b"no longer what the manifest says")
    names = ("--json", "x.json", "--csv", "x.csv", "--html", "x.html")
    done = cli("benchmark", "bundle", "--runs", "10", *names, cwd=tmp_path, status=1)
    rows = len(backends.installed("tflite")) * 2 + 2
    assert f"Expected {rows} rows, got 1 that failed" in error_line(done)
    assert "Failed: model-int8.onnx on onnx: Expected" in done.stdout
    document = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    CHECK.validate(document)
    assert len(document["results"]) == rows - 1
    assert "bytes as its manifest says" in document["failed"][0]["error"]
    last = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text(encoding="utf-8"))))[-1]
    assert (last["file"], last["predict_p50_us"]) == ("model-int8.onnx", "")
    assert "bytes as its manifest says" in last["error"]
    assert "failed: Expected" in (tmp_path / "x.html").read_text(encoding="utf-8")


def test_a_file_that_cannot_be_measured_alone_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    done = cli("benchmark", "m.onnx", "--json", "x.json", cwd=tmp_path, status=2)
    assert "Expected to measure m.onnx on onnx: Expected a sound ONNX model" in error_line(done)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quick", "--runs", "10"], "Expected one of --quick, --runs and --duration"),
        (["--duration", "10"], "Expected a duration of 1s to 168h such as 30s, 10m or 1h"),
        (["--html", "no/folder/x.html"], "Expected to write no/folder/x.html"),
    ],
)
def test_bad_use(cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = cli("benchmark", *arguments, cwd=tmp_path, status=2)
    assert message in error_line(done)


# ----- Change and noise --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package whose predictions take a tenth longer."""
    folder = tmp_path_factory.mktemp("slower")
    shutil.copytree(REPOSITORY / "edge_mnist", folder / "edge_mnist")
    engine = folder / "edge_mnist" / "engine.py"
    sound = "            return self._read(self._run(self._values_of(pixels)))\n"
    planted = (
        "            import time\n"
        "            start = time.perf_counter_ns()\n"
        "            values = self._read(self._run(self._values_of(pixels)))\n"
        "            stop = time.perf_counter_ns()\n"
        "            while time.perf_counter_ns() - stop < 0.1 * (stop - start):\n"
        "                pass\n"
        "            return values\n"
    )
    text = engine.read_text(encoding="utf-8")
    assert text.count(sound) == 1
    engine.write_text(text.replace(sound, planted), encoding="utf-8")
    return folder


def test_a_planted_tenth_is_caught_and_the_same_again_is_not(
    cli: Cli, slower: Path, tmp_path: Path
) -> None:
    def measure(name: str, package: Path) -> None:
        program = "from edge_mnist.cli import main; main()"
        arguments = ["benchmark", str(INT8), "--runs", "4000", "--json", str(tmp_path / name)]
        subprocess.run(
            [sys.executable, "-P", "-c", program, *arguments],
            env={**os.environ, "PYTHONPATH": str(package)},
            check=True,
            capture_output=True,
        )

    for _ in range(5):  # another process may be in the way of a whole measurement
        measure("before.json", REPOSITORY)
        measure("again.json", REPOSITORY)
        measure("slower.json", slower)
        # Whatever else runs: the same program is no regression.
        cli("compare", "before.json", "again.json", "--fail-over", "5%", cwd=tmp_path)
        arguments = ("compare", "before.json", "slower.json", "--fail-over", "5%")
        command = [Path(sys.executable).with_name("edge-mnist"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        if done.returncode == 1:
            assert "the worst model-int8.onnx on onnx at " in error_line(done)
            if "on onnx at 1." in error_line(done):  # and not several times: no tenth was planted
                return
        else:
            assert "unclear: the noise is larger than the limit" in done.stdout
    pytest.fail(done.stdout)
