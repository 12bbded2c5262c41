"""`benchmark` and `compare` from the command line: real processes, files and browser."""

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
from typing import Any, NamedTuple

import jsonschema
import pytest

from edge_mnist import backends
from edge_mnist.benchmark.html_report import as_html
from edge_mnist.benchmark.statistics import summary
from tests.conftest import REPOSITORY, WHOLE, Cli
from tests.errors import assert_error, error_line

SCHEMA = json.loads((files("edge_mnist.benchmark") / "schema-1.json").read_text(encoding="utf-8"))
CHECK = jsonschema.Draft202012Validator(SCHEMA)
STAGES = ("preprocess", "invoke", "postprocess", "predict")
INT8 = WHOLE / "model-int8.onnx"


# The first test that uses `measured` takes about 10 seconds.
slow = pytest.mark.slow


class Measured(NamedTuple):
    """The output of `benchmark --quick`: a folder with quick.json, quick.csv and quick.html.

    `processor_s` does not grow with the load of other processes, unlike wall time.
    """

    folder: Path
    stdout: str
    processor_s: float


@pytest.fixture(scope="module")
def measured(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("measured")
    names = ("--json", "quick.json", "--csv", "quick.csv", "--html", "quick.html")
    start = _children_s()
    done = cli("benchmark", WHOLE, "--threads", "1,2", "--quick", *names, cwd=folder)
    return Measured(folder, done.stdout, _children_s() - start)


def _children_s() -> float:
    """Return the processor seconds of all processes that this one has started and waited for."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.fixture(scope="module")
def document(measured: Measured) -> dict[str, Any]:
    return json.loads((measured.folder / "quick.json").read_text(encoding="utf-8"))


@slow
@pytest.mark.timing
def test_quick_takes_less_than_20_seconds(measured: Measured) -> None:
    assert 1 < measured.processor_s < 20


@slow
def test_the_document_follows_its_schema_and_has_no_other_keys(document: dict[str, Any]) -> None:
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


@slow
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
def test_the_schema_refuses_invalid_documents(spoil: Any, document: dict[str, Any]) -> None:
    copy = json.loads(json.dumps({**document, "results": document["results"][:1]}))
    copy["results"][0]["samples_ns"] = {name: [[1]] for name in STAGES}
    CHECK.validate(copy)
    spoil(copy)
    assert list(CHECK.iter_errors(copy))


@slow
@pytest.mark.timing
def test_stages_add_up_to_predict(document: dict[str, Any]) -> None:
    """Predict and stages take turns, so that the ratio of their minima resists other load."""
    for row in document["results"]:
        *stages, predict = ([min(part) for part in row["samples_ns"][name]] for name in STAGES)
        ratios = [sum(parts) / all_ for *parts, all_ in zip(*stages, predict, strict=True)]
        assert 0.75 < statistics.median(ratios) < 1.25


@slow
def test_rows_repeat_the_manifest_and_summarize_their_samples(document: dict[str, Any]) -> None:
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
    assert any(row["pareto"] for row in document["results"])


@slow
def test_csv_has_the_same_rows(measured: Measured, document: Any) -> None:
    text = (measured.folder / "quick.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    for line, row in zip(rows, document["results"], strict=True):
        assert (line["file"], line["threads"]) == (row["file"], str(row["threads"]))
        assert float(line["predict_p50_us"]) == row["predict_us"]["p50"]
        assert float(line["invoke_p99_low_us"]) == row["invoke_us"]["ci95"]["p99"][0]
        assert line["error"] == ""


@slow
def test_the_table_marks_rows_and_explains_the_marks(measured: Measured, document: Any) -> None:
    out = measured.stdout
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


# ----- The HTML report ---------------------------------------------------------------------------


class _Page(HTMLParser):
    """Checks that every element is closed, and collects the attributes."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@slow
def test_the_page_is_well_formed_and_loads_nothing(measured: Measured) -> None:
    text = (measured.folder / "quick.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert not re.search(r"https?:|//\w|url\(|@import|<script|<link|<img|NaN|inf\b|None", text)
    assert {name for _, name, _ in page.attributes}.isdisjoint({"href", "src", "onload", "style"})
    assert "<h1>Prediction latency of tests/bundle</h1>" in text
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) >= 4
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert len(text) < 500_000


@slow
def test_the_page_shows_failures_and_escapes_file_names(document: dict[str, Any]) -> None:
    hostile = "<script>alert('x')</script>.tflite"
    key = {name: document["results"][0][name] for name in ("folder", "backend", "threads", "batch")}
    failed = {"file": hostile, "label": hostile, **key, "error": "its process died of SIGSEGV"}
    changed = {**document, "failed": [failed]}
    CHECK.validate(changed)
    text = as_html(changed)
    assert _Page(text).open == []
    assert "<script" not in text
    assert "failed: its process died of SIGSEGV" in text


@slow
def test_the_page_of_files_of_unknown_accuracy_and_one_sensor(document: dict[str, Any]) -> None:
    rows = [{**row, "accuracy": None, "accuracy_data": None} for row in document["results"]]
    group = document["evidence"]["groups"][0]
    readings = [{**r, "temperature_c": 60 + r["at_s"]} for r in group["readings"]]
    evidence = {**document["evidence"], "groups": [{**group, "readings": readings}]}
    text = as_html({**document, "results": rows, "evidence": evidence})
    assert _Page(text).open == []
    assert "No manifest states the accuracy of these files." in text
    assert "°C, hottest zone" in text


@slow
@pytest.mark.parametrize("width", [375, 1280])
def test_a_browser_shows_the_page_without_scrolling_sideways(
    width: int, measured: Measured, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium to show the report")
    text = (measured.folder / "quick.html").read_text(encoding="utf-8")
    # This browser's windows have a minimum width; a frame can be as narrow as a phone.
    script = (
        "<script>onload = () => { const page = frames[0].document; const widths = "
        "[...page.querySelectorAll('svg')].map(drawing => drawing.getBoundingClientRect().width);"
        "document.title = [page.documentElement.scrollWidth, Math.min(...widths), "
        "frames[0].getComputedStyle(page.body).fontSize].join(' ') }</script>"
    )
    frame = f'<iframe width="{width}" height="900" frameborder="0" srcdoc="{_quoted(text)}">'
    (tmp_path / "frame.html").write_text(f"<title>-</title>{script}{frame}</iframe>", "utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000")
    command = [browser, *options, "--dump-dom", f"file://{tmp_path / 'frame.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r"<title>(\d+) ([\d.]+) 15px</title>", done.stdout)
    assert found, done.stdout[:300]
    assert int(found[1]) <= width
    assert float(found[2]) > (280 if width < 500 else 440)


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;")


# ----- Options and failures ----------------------------------------------------------------------


@pytest.mark.timing
def test_a_duration_is_kept_and_summarized_in_windows(cli: Cli, tmp_path: Path) -> None:
    start = time.monotonic()
    done = cli("benchmark", INT8, "--duration", "3s", "--json", tmp_path / "x.json")
    assert time.monotonic() - start < 15
    document = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    CHECK.validate(document)
    assert document["protocol"]["duration_s"] == 3
    (group,) = document["evidence"]["groups"]
    assert 3 <= group["wall_s"] < 4
    # A turn takes at least 0.2 seconds, however few of its samples are kept.
    assert all(len(row["samples_ns"]["predict"]) <= 15 for row in document["results"])
    for row in document["results"]:
        # Three rounds a window; another program may take some of the 15 rounds away.
        assert len(row["windows"]) == len(row["samples_ns"]["predict"]) // 3 >= 2
        assert f"{row['windows'][1]['p50_us']:.1f}" in done.stdout
        assert row["predict_us"]["n"] <= 12_000
    assert "Median of predict in every window, µs:" in done.stdout


@slow
def test_files_of_the_same_name_in_two_bundles_have_different_labels(
    cli: Cli, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        shutil.copytree(WHOLE, tmp_path / name / "bundle")
    args = ("benchmark", "old/bundle", "new/bundle", "--runs", "10", "--json", "x.json")
    out = cli(*args, cwd=tmp_path).stdout
    assert "old/bundle/model-int8.onnx" in out
    assert "new/bundle/model-int8.onnx" in out
    assert "B/A" in cli("compare", "x.json", "x.json", cwd=tmp_path).stdout


@slow
def test_a_failed_row_is_shown_and_the_others_are_written(cli: Cli, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(WHOLE, tmp_path / "bundle"))
    (bundle / "model-int8.onnx").write_bytes(b"no longer what the manifest says")
    names = ("--json", "x.json", "--csv", "x.csv", "--html", "x.html")
    done = cli("benchmark", "bundle", "--runs", "10", *names, cwd=tmp_path, status=1)
    rows = len(backends.installed("tflite")) * 2 + 1 + 2  # numpy reads one of the two
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


def test_a_benchmark_without_any_measured_row_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    done = cli("benchmark", "m.onnx", "--json", "x.json", cwd=tmp_path, status=2)
    assert_error(done, "model-not-measured", "m.onnx", "Expected a sound ONNX model")
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quick", "--runs", "10"], "Expected one of --quick, --runs and --duration"),
        (["--duration", "10"], "Expected a duration of 1s to 168h such as 30s, 10m or 1h"),
        (["--html", "no/folder/x.html"], "Expected to write no/folder/x.html"),
    ],
)
def test_bad_options(cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = cli("benchmark", *arguments, cwd=tmp_path, status=2)
    assert message in error_line(done)


# ----- Regressions -------------------------------------------------------------------------------

# Appended to a copy of the package: predict then takes 10 % longer.
SLOWER = """

def _slower(predict):
    from time import perf_counter_ns as clock

    def slower(self, image):
        start = clock()
        prediction = predict(self, image)
        stop = clock()
        while clock() - stop < 0.1 * (stop - start):
            pass
        return prediction

    return slower


Classifier.predict = _slower(Classifier.predict)
"""


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package whose `Classifier.predict` is 10 % slower."""
    folder = tmp_path_factory.mktemp("slower")
    shutil.copytree(REPOSITORY / "edge_mnist", folder / "edge_mnist")
    with (folder / "edge_mnist/classifier/__init__.py").open("a", encoding="utf-8") as module:
        module.write(SLOWER)
    return folder


def _measure(package: Path, file: Path) -> dict[str, Any]:
    """Return the document of a short benchmark by the package in a folder."""
    program = "from edge_mnist.cli import main; main()"
    subprocess.run(
        [sys.executable, "-P", "-c", program, "benchmark", INT8, "--runs", "800", "--json", file],
        env={**os.environ, "PYTHONPATH": str(package)},
        check=True,
        capture_output=True,
    )
    return json.loads(file.read_text(encoding="utf-8"))


def _append(document: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    """Return a document with the rounds of both."""
    if document is None:
        return more
    for row, new in zip(document["results"], more["results"], strict=True):
        row["samples_ns"]["predict"] += new["samples_ns"]["predict"]
        row["predict_us"] = summary(row["samples_ns"]["predict"])
    return document


@slow
@pytest.mark.timing
def test_compare_finds_a_slower_program_and_accepts_the_same_one(
    slower: Path, tmp_path: Path
) -> None:
    """The three programs are measured in turn: other load hits all alike."""
    packages = {"before": REPOSITORY, "slower": slower, "again": REPOSITORY}
    documents: dict[str, dict[str, Any] | None] = dict.fromkeys(packages)

    def compare(new: str) -> subprocess.CompletedProcess[str]:
        arguments = ("compare", "before.json", f"{new}.json", "--fail-over", "5%")
        command = [Path(sys.executable).with_name("edge-mnist"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1)
        return done

    for turn in range(20):
        if turn % 4 == 0:  # five measurements at most: another process may spoil a whole one
            documents = dict.fromkeys(packages)
        # Each program comes first in its turn: the first one may find a slower clock.
        names = list(packages)
        for name in names[turn % 3 :] + names[: turn % 3]:
            measured = _measure(packages[name], tmp_path / "turn.json")
            documents[name] = _append(documents[name], measured)
            (tmp_path / f"{name}.json").write_text(json.dumps(documents[name]), encoding="utf-8")
        if turn % 4 >= 2:  # fewer turns are no sample of the other load
            same, planted = compare("again"), compare("slower")
            if same.returncode == 0 and planted.returncode == 1:
                assert_error(planted, "gate-benchmark-slower", "model-int8.onnx")
                return
    pytest.fail(same.stdout + planted.stdout)
