"""The device commands as a user types them, each in a process of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge_mnist import Classifier, __version__, backends
from tests.classifier.test_classifier import remedy
from tests.conftest import REPOSITORY, SHIPPED, WHOLE, Cli, drawn_bundle
from tests.errors import assert_error, error_line

DIGITS = REPOSITORY / "examples" / "digits"


def test_predict_reads_files_folders_and_standard_input(cli: Cli, tmp_path: Path) -> None:
    picture = DIGITS / "7.png"
    shutil.copy(picture, tmp_path / "seven.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    done = cli("predict", picture, tmp_path, "-", stdin=picture.read_bytes())
    lines = done.stdout.splitlines()
    assert [line.rpartition(":")[0] for line in lines] == [
        str(picture),
        str(tmp_path / "seven.png"),
        "-",
    ]
    assert all(": 7 (" in line for line in lines)


def test_predict_json_is_a_line_an_image(cli: Cli) -> None:
    rows = [json.loads(line) for line in cli("predict", DIGITS, "--json").stdout.splitlines()]
    assert [row["digit"] for row in rows] == list(range(10))
    for row in rows:
        assert set(row) == {"image", "digit", "confidence", "probabilities", "box"}
        assert len(row["probabilities"]) == 10
        assert row["confidence"] == max(row["probabilities"])


def test_predict_says_that_there_is_no_digit_and_why(cli: Cli, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (80, 80), 240).save(blank)
    assert cli("predict", blank).stdout == f"{blank}: no digit (no ink: contrast 0.00 of 1)\n"
    row = json.loads(cli("predict", blank, "--json").stdout)
    assert (row["digit"], row["confidence"]) == (None, 0.0)
    assert row["reason"] == "no ink: contrast 0.00 of 1"
    assert cli("predict", blank, "--many").stdout == f"{blank}: no digit\n"


def test_predict_does_not_read_one_digit_of_a_postcode(cli: Cli, tmp_path: Path) -> None:
    page = Image.new("L", (1200, 300), 255)
    for place, digit in enumerate((2, 0, 5)):
        with Image.open(DIGITS / f"{digit}.png") as picture:
            page.paste(picture.convert("L").resize((260, 260)), (20 + 400 * place, 10))
    code = tmp_path / "code.png"
    page.save(code)
    reason = "several digits: 3; --many or predict_many reads each"
    assert cli("predict", code).stdout == f"{code}: no digit ({reason})\n"
    row = json.loads(cli("predict", code, "--json").stdout)
    assert (row["digit"], row["reason"]) == (None, reason)
    assert cli("predict", code, "--many").stdout.startswith(f"{code}: 205 ")
    assert "several" not in cli("predict", DIGITS).stdout


def test_predict_many_and_what_the_model_saw(cli: Cli, tmp_path: Path) -> None:
    row = Image.new("L", (680, 200), 232)
    for place, digit in enumerate("1054"):
        row.paste(Image.open(DIGITS / f"{digit}.png").convert("L"), (10 + 165 * place, 20))
    row.save(tmp_path / "code.png")
    seen = tmp_path / "made" / "seen"
    options = ("--many", "--save-preprocessed", seen)
    line = cli("predict", tmp_path / "code.png", *options).stdout
    assert line.startswith(f"{tmp_path / 'code.png'}: 1054 (")
    assert line.count("%") == 4
    assert sorted(path.name for path in seen.iterdir()) == [f"code-{n}.png" for n in (1, 2, 3, 4)]
    with Image.open(seen / "code-1.png") as image:
        assert (image.size, image.mode) == ((28, 28), "L")
    document = json.loads(cli("predict", tmp_path / "code.png", "--many", "--json").stdout)
    assert set(document) == {"image", "digits", "boxes", "predictions"}
    assert document["digits"] == "1054"
    assert [len(box) for box in document["boxes"]] == [4] * 4
    assert [prediction["digit"] for prediction in document["predictions"]] == [1, 0, 5, 4]
    assert document["boxes"] == sorted(document["boxes"])


def test_predict_many_csv_reads_a_form(cli: Cli, tmp_path: Path) -> None:
    form = Image.new("L", (560, 420), 235)
    for place, digit in enumerate("105 47"):
        corner = (40 + 160 * (place % 3), 40 + 170 * (place // 3))
        box = (*corner, corner[0] + 160, corner[1] + 170)
        ImageDraw.Draw(form).rectangle(box, outline=80, width=3)
        if digit != " ":
            with Image.open(DIGITS / f"{digit}.png") as picture:
                small = picture.convert("L").resize((120, 120))
            ink = small.point(lambda value: 255 if value < 128 else 0)
            form.paste(30, (corner[0] + 20, corner[1] + 25), ink)
    path = tmp_path / "form.png"
    form.save(path)
    done = cli("predict", path, "--many", "--csv", "--save-preprocessed", tmp_path / "seen")
    assert done.stdout == "1,0,5\n,4,7\n"
    assert len(list((tmp_path / "seen").iterdir())) == 5
    both = cli("predict", path, DIGITS / "7.png", "--many", "--csv", status=2)
    assert both.stdout == f"{path},1,0,5\n{path},,4,7\n"
    assert "without such a grid" in both.stderr
    document = json.loads(cli("predict", path, "--many", "--csv", "--json").stdout)
    assert document["rows"] == [["1", "0", "5"], ["", "4", "7"]]
    cells = [(cell["row"], cell["column"], cell["digits"]) for cell in document["cells"]]
    assert cells == [(0, 0, "1"), (0, 1, "0"), (0, 2, "5"), (1, 0, ""), (1, 1, "4"), (1, 2, "7")]
    assert set(document["cells"][0]) == {"row", "column", "box", "digits", "boxes", "predictions"}


def test_a_picture_without_a_grid_is_one_line(cli: Cli) -> None:
    done = cli("predict", DIGITS / "7.png", "--many", "--csv", status=2)
    assert_error(done, "image-grid")
    assert done.stdout == ""
    assert "Expected --many with --csv" in cli("predict", DIGITS, "--csv", status=2).stderr


def test_what_the_model_saw_reads_the_same(cli: Cli, tmp_path: Path) -> None:
    cli("predict", DIGITS, "--save-preprocessed", tmp_path)
    rows = [json.loads(line) for line in cli("predict", tmp_path, "--json").stdout.splitlines()]
    assert [row["digit"] for row in rows] == list(range(10))


def test_what_the_model_saw_never_overwrites_a_picture(cli: Cli, tmp_path: Path) -> None:
    picture = tmp_path / "seven.png"
    shutil.copy(DIGITS / "7.png", picture)
    before = picture.read_bytes()
    done = cli("predict", picture, "--save-preprocessed", tmp_path, status=2)
    assert_error(done, "output-is-input", "the")
    assert picture.read_bytes() == before
    done = cli("predict", picture, "--save-preprocessed", picture, status=2)
    assert error_line(done).startswith("Expected a folder for the preprocessed pictures, got the f")
    (tmp_path / "deep").mkdir()
    shutil.copy(picture, tmp_path / "deep")
    done = cli(
        *("predict", picture, tmp_path / "deep", "--save-preprocessed", tmp_path / "out"), status=2
    )
    assert_error(done, "output-name")


@pytest.mark.slow
def test_evaluate_on_drawn_photographs(cli: Cli) -> None:
    document = json.loads(cli("evaluate", "--data", "paper", "--limit", "44", "--json").stdout)
    assert (document["data"], document["images"]) == ("paper-test", 44)
    (row,) = document["results"]
    assert row["accuracy"] == pytest.approx(1 - row["errors"] / 44)
    assert "page edge" in row["conditions"]
    assert "all " in cli("evaluate", "--data", "paper", "--limit", "22").stdout


def test_predict_goes_on_past_a_bad_picture_and_says_so(cli: Cli, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    done = cli("predict", bad, DIGITS / "4.png", status=2)
    assert ": 4 (" in done.stdout
    assert f"edge-mnist: warning: Expected a picture (PNG, JPEG, …), got an empty file: {bad}" in (
        done.stderr
    )
    assert error_line(done).startswith("Expected 2 readable pictures, got 1 that are not")


EDGE = "Model: edge (ships with edge-mnist), trained on mnist-train, 99.61 % on mnist-test\n"
# Commands that use a model, each as short as it can be.
USES = {
    "predict": ("predict", DIGITS / "4.png"),
    "evaluate": ("evaluate", "--data", "synthetic", "--limit", "20"),
    "benchmark": ("benchmark", "--runs", "10", "--backend", "litert"),
}


@pytest.mark.parametrize("command", USES)
def test_the_default_is_the_shipped_model_and_latest_the_newest_bundle(
    cli: Cli, tmp_path: Path, command: str
) -> None:
    none = cli(*USES[command], "--latest", cwd=tmp_path, status=2)
    assert_error(none, "bundle-latest", "runs/*/", "edge-mnist quickstart")
    drawn_bundle(tmp_path / "runs" / "mine" / "bundle")
    assert cli(*USES[command], cwd=tmp_path).stderr == EDGE
    assert cli(*USES[command], "--latest", cwd=tmp_path).stderr == (
        "Model: runs/mine/bundle, trained on synthetic-train (drawn digits, not MNIST), "
        "99.61 % on synthetic-test\n"
    )
    model = ("--model", "nano") if command == "predict" else ("nano",)
    both = cli(*USES[command], *model, "--latest", cwd=tmp_path, status=2)
    assert error_line(both).startswith("Expected a MODEL or --latest, got both.")


def test_the_command_line_and_classifier_use_the_same_model(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SHIPPED.parent / "nano", tmp_path / "runs" / "mine" / "bundle")
    row = json.loads(cli("predict", DIGITS / "4.png", "--json", cwd=tmp_path).stdout)
    monkeypatch.chdir(tmp_path)
    expected = Classifier().predict(DIGITS / "4.png")
    np.testing.assert_allclose(row["probabilities"], expected.probabilities, atol=1e-6)
    other = Classifier(tmp_path / "runs" / "mine" / "bundle").predict(DIGITS / "4.png")
    assert np.abs(expected.probabilities - other.probabilities).max() > 1e-3


def test_a_file_is_named_by_its_bundle_or_has_no_manifest(cli: Cli, tmp_path: Path) -> None:
    picture = DIGITS / "4.png"
    done = cli("predict", picture, "--model", WHOLE / "model-float32.onnx")
    assert done.stderr == f"Model: {WHOLE}, trained on mnist-train, 99.58 % on mnist-test\n"
    shutil.copy(WHOLE / "model-int8.tflite", tmp_path / "mine.tflite")
    done = cli("predict", picture, "--model", "mine.tflite", cwd=tmp_path)
    assert done.stderr.splitlines()[0] == "Model: mine.tflite (no manifest)"


@pytest.mark.parametrize("stated", [None, {}, {"data": 3}, {"data": {"name": "a\x1b[2J"}}])
def test_a_manifest_may_state_no_training_data(cli: Cli, tmp_path: Path, stated: object) -> None:
    bundle = drawn_bundle(tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"training": stated}))
    done = cli("predict", DIGITS / "4.png", "--model", "bundle", cwd=tmp_path)
    assert done.stderr == "Model: bundle, training data not stated, 99.61 % on synthetic-test\n"


def test_evaluate_json_says_which_model(cli: Cli, tmp_path: Path) -> None:
    options = ("--data", "synthetic", "--limit", "20", "--json")
    bundle = drawn_bundle(tmp_path / "bundle")
    model = json.loads(cli("evaluate", bundle, *options).stdout)["model"]
    files = sorted(bundle.glob("model-*"))
    assert model == {
        "bundle": str(bundle),
        "manifest_sha256": hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest(),
        "file_sha256": {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files},
        "trained_on": "synthetic-train",
        "edge_mnist": __version__,
    }
    alone = Path(shutil.copy(bundle / "model-int8.onnx", tmp_path / "mine.onnx"))
    model = json.loads(cli("evaluate", alone, *options).stdout)["model"]
    assert (model["bundle"], model["manifest_sha256"], model["trained_on"]) == (
        str(alone),
        None,
        None,
    )
    assert model["file_sha256"] == {"mine.onnx": hashlib.sha256(alone.read_bytes()).hexdigest()}


def test_evaluate_fails_below_the_least_accuracy(cli: Cli) -> None:
    options = ("evaluate", "--data", "synthetic", "--limit", "300", "--json")
    row = json.loads(cli(*options).stdout)["results"][0]
    assert 0 < row["errors"] < 100
    exact = f"{100 * (300 - row['errors']) / 300}"
    cli(*options, "--min-accuracy", exact)
    done = cli(*options, "--min-accuracy", "99.9%", status=1)
    assert json.loads(done.stdout)["results"][0] == row
    assert_error(done, "gate-accuracy", "99.9 % on synthetic-test", "model-int8.")
    done = cli(*options, "--min-accuracy", "101", status=2)
    assert "expected a percentage such as 99.5, got '101'" in error_line(done)


def test_evaluate_refuses_a_model_of_other_classes(cli: Cli, tmp_path: Path) -> None:
    images = np.zeros((50, 28, 28), np.uint8)
    classes = ("ant", "bee", "cat", "dog", "elk")
    np.savez(tmp_path / "five.npz", images=images, labels=np.arange(50) % 5, classes=classes)
    done = cli("evaluate", "--data", tmp_path / "five.npz", status=2)
    assert_error(done, "model-classes", "5 classes for own-five-test", "model-int8.tflite with 10")
    assert done.stdout == ""


def test_evaluate_on_the_stand_in_names_it(cli: Cli) -> None:
    done = cli("evaluate", "--data", "synthetic", "--limit", "500", "--json", cwd=SHIPPED)
    document = json.loads(done.stdout)
    assert (document["data"], document["images"]) == ("synthetic-test", 500)
    for row in document["results"]:
        assert set(row) == {"file", "backend", "accuracy", "errors", "outputs"}
        assert row["outputs"]["differing_images"] == row["outputs"]["most_steps"] == 0
        assert row["accuracy"] == pytest.approx(1 - row["errors"] / 500)
    expected = sum(
        len(backends.installed(file["format"], file["precision"]))
        for file in json.loads((SHIPPED / "manifest.json").read_text())["artifacts"]
    )
    assert len(document["results"]) == expected


def test_evaluate_on_mnist_finds_what_the_manifest_states(cli: Cli, mnist: Path) -> None:
    document = json.loads(cli("evaluate", WHOLE, "--data", mnist, "--json").stdout)
    assert (document["data"], document["images"]) == ("mnist-test", 10000)
    manifest = json.loads((WHOLE / "manifest.json").read_text())
    stated = {row["file"]: row["accuracy"] for row in manifest["artifacts"]}
    for row in document["results"]:
        # Another processor may round a few sums otherwise: three images of 10,000.
        assert row["accuracy"] == pytest.approx(stated[row["file"]], abs=3e-4)
    assert stated["model-int8.tflite"] >= 0.99


def test_evaluate_prints_the_confusion_of_every_image(cli: Cli) -> None:
    out = cli("evaluate", WHOLE, "--data", "synthetic", "--limit", "300").stdout
    assert out.startswith("synthetic-test, 300 images\n")
    matrix = [[int(cell) for cell in line.split()[1:]] for line in out.splitlines()[-10:]]
    assert np.array(matrix).shape == (10, 10)
    assert np.array(matrix).sum() == 300


@pytest.mark.slow
def test_benchmark_writes_the_documented_json(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "here.json"
    out = cli("benchmark", WHOLE, "--threads", "1,2", "--runs", "40", "--json", file).stdout
    document = json.loads(file.read_text())
    assert document["schema"] == 1
    assert document["environment"]["python"] == sys.version.split()[0]
    manifest = json.loads((WHOLE / "manifest.json").read_text())
    jobs = sum(len(backends.installed(a["format"], a["precision"])) for a in manifest["artifacts"])
    assert len(document["results"]) == 2 * jobs
    digest = hashlib.sha256((WHOLE / "manifest.json").read_bytes()).hexdigest()
    origin = {"bundle": str(WHOLE), "manifest_sha256": digest, "trained_on": "mnist-train"}
    for row in document["results"]:
        assert row["model"] == origin
        assert row["file"] in out
        assert row["batch"] == 1
        for timing in (row["invoke_us"], row["predict_us"]):
            assert timing["n"] == 40
            assert 0 < timing["p50"] <= timing["p90"] <= timing["p99"]
        # A prediction holds an invocation; the medians are of different moments.
        assert row["predict_us"]["p50"] > 0.8 * row["invoke_us"]["p50"]
        assert row["load_ms"] > 0
        assert row["first_us"] > 0
        assert row["peak_rss_mb"] > 10
        assert all(isinstance(reason, str) for reason in row["tainted"])


def test_compare_fails_on_a_slower_file_and_only_then(cli: Cli, tmp_path: Path) -> None:
    def write(name: str, median: float) -> Path:
        row = {"file": "m.onnx", "backend": "onnx", "threads": 1, "batch": 1}
        document = {"schema": 1, "results": [{**row, "predict_us": {"p50": median}}]}
        (tmp_path / name).write_text(json.dumps(document))
        return tmp_path / name

    before, slower, same = write("a.json", 100), write("b.json", 108), write("c.json", 104)
    assert "1.04" in cli("compare", before, same, "--fail-over", "5%").stdout
    done = cli("compare", before, slower, "--fail-over", "5%", status=1)
    assert_error(done, "gate-benchmark-slower", "m.onnx", "1.08")
    cli("compare", before, slower)
    (tmp_path / "d.json").write_text("{}")
    done = cli("compare", before, tmp_path / "d.json", status=2)
    assert_error(done, "data-benchmark-schema", "schema")


def test_compare_prints_json_and_is_strict(cli: Cli, tmp_path: Path) -> None:
    def write(name: str, digest: str, level: int) -> Path:
        rounds = [[20_000] * 9, [level] * 9] * 12
        row = {"file": "m.onnx", "backend": "onnx", "threads": 1, "batch": 1, "sha256": digest}
        row |= {"predict_us": {"p50": 20.0}, "samples_ns": {"predict": rounds}}
        (tmp_path / name).write_text(json.dumps({"schema": 1, "results": [row]}))
        return tmp_path / name

    same, other = write("a.json", "1" * 64, 20_000), write("b.json", "2" * 64, 30_000)
    done = cli("compare", same, other, "--json")
    document = json.loads(done.stdout)
    (row,) = document["rows"]
    assert row["verdict"] == "unclear"
    assert row["same_file"] is False
    assert (row["file"], row["a_us"], row["b_us"], row["ratio"]) == ("m.onnx", 20, 20, 1)
    assert row["interval"][0] <= 1 < row["interval"][1]
    warning = f"not the same model: m.onnx has another SHA-256 in {other}"
    assert document["warnings"] == [warning]
    assert done.stderr == f"edge-mnist: warning: {warning}\n"
    strict = cli("compare", same, other, "--json", "--strict", status=1)
    assert json.loads(strict.stdout) == document
    assert_error(strict, "gate-benchmark-unclear", "m.onnx on onnx")
    assert cli("compare", same, same, "--strict").stderr == ""


def test_doctor_says_what_is_used(cli: Cli) -> None:
    diagnosis = json.loads(cli("doctor", "--json").stdout)
    states = {row["backend"]: row for row in diagnosis["runtimes"]}
    assert set(states) == set(backends.RUNTIMES)
    for backend, state in states.items():
        if not backends.RUNTIMES[backend].installed:
            assert remedy(backend) in state["advice"]
    assert diagnosis["uses"]["file"] == "model-int8.tflite"
    assert "Classifier() uses model-int8.tflite on litert." in cli("doctor").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "no.png"], "Expected a picture at no.png, got: No such file or directory."),
        (["predict"], "Missing argument 'IMAGE...'."),
        (["predict", "x.png", "--backend", "cuda"], "'cuda' is not one of 'litert', 'tflite'"),
        (["predict", "x.png", "--model", "none"], "got none, which does not exist"),
        (["evaluate", "none"], "make one with: edge-mnist export --int8"),
        (["evaluate", "--data", "nowhere"], "got nowhere, which does not exist"),
        (["benchmark", "--threads", "0"], "expected thread counts such as 1,2, got '0'."),
        (["benchmark", "--json", "no/folder/x.json"], "Expected to write no/folder/x.json"),
        (["compare", "a.json", "b.json"], "Expected a benchmark file at a.json"),
        (["compare", "a.json", "b.json", "--fail-over", "x"], "expected a limit such as 5%"),
        (["fly"], "No such command 'fly'. Try: edge-mnist --help"),
    ],
)
def test_bad_use_ends_in_one_line_and_status_2(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = cli(*arguments, cwd=tmp_path, status=2)
    assert message in error_line(done)
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [[], *([c] for c in ("predict", "evaluate", "benchmark", "compare", "doctor"))]
)
def test_help_needs_no_numpy(command: list[str]) -> None:
    script = (
        "import sys\nfrom edge_mnist.cli import main\n"
        f"try: main({[*command, '--help']!r})\n"
        "except SystemExit as exit: assert not exit.code\n"
        "assert 'numpy' not in sys.modules and 'PIL' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "Usage: edge-mnist" in done.stdout


def test_output_cut_short_by_its_reader_makes_no_noise(cli: Cli) -> None:
    command = f"'{Path(sys.executable).with_name('edge-mnist')}' predict '{DIGITS}' | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert "Error" not in done.stderr


def test_a_huge_picture_is_refused_quickly(cli: Cli, tmp_path: Path) -> None:
    Image.new("1", (10000, 10000)).save(tmp_path / "huge.png")
    done = cli("predict", tmp_path / "huge.png", status=2)
    assert_error(done, "image-too-large", "picture")


@pytest.mark.parametrize("median", ["NaN", "true", "-1", "0", '"11"', "1" + "0" * 400, "[" * 9999])
def test_compare_refuses_medians_that_are_none(cli: Cli, tmp_path: Path, median: str) -> None:
    row = '{"file": "m", "backend": "onnx", "threads": 1, "batch": 1, "predict_us": {"p50": %s}}'
    (tmp_path / "good.json").write_text(f'{{"schema": 1, "results": [{row % 10}]}}')
    (tmp_path / "bad.json").write_text(f'{{"schema": 1, "results": [{row % median}]}}')
    for pair in (("good.json", "bad.json"), ("bad.json", "good.json")):
        done = cli("compare", *pair, cwd=tmp_path, status=2)
        assert_error(done, "data-benchmark-schema")
    twice = f'{{"schema": 1, "results": [{row % 10}, {row % 10}]}}'
    (tmp_path / "twice.json").write_text(twice)
    assert_error(
        cli("compare", "twice.json", "good.json", cwd=tmp_path, status=2),
        "data-benchmark-schema",
        "two rows of",
    )


def test_compare_names_rows_that_are_gone(cli: Cli, tmp_path: Path) -> None:
    def write(name: str, *backends: str) -> Path:
        rows = [
            {"file": "m", "backend": b, "threads": 1, "batch": 1, "predict_us": {"p50": 10}}
            for b in backends
        ]
        (tmp_path / name).write_text(json.dumps({"schema": 1, "results": rows}))
        return tmp_path / name

    done = cli("compare", write("a.json", "onnx", "litert"), write("b.json", "onnx"))
    assert "b.json has no row of m, litert, 1, 1" in done.stderr


def test_a_link_is_followed_and_kept(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    cli("benchmark", WHOLE / "model-int8.tflite", "--runs", "10", "--json", tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["schema"] == 1


def test_standard_error_holds_nothing_but_ours(cli: Cli) -> None:
    assert cli("predict", DIGITS / "3.png").stderr == EDGE


def test_an_encoding_that_lacks_a_letter_is_no_reason_to_fail(cli: Cli, tmp_path: Path) -> None:
    shutil.copy(DIGITS / "3.png", tmp_path / "數.png")
    done = cli("predict", tmp_path / "數.png", env={"PYTHONIOENCODING": "latin-1"})
    assert done.stdout.endswith("\\u6578.png: 3 (99.61 %)\n")
    assert cli("doctor", env={"PYTHONIOENCODING": "latin-1"}).stdout


def test_evaluate_goes_on_past_a_file_that_no_runtime_loads(cli: Cli, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(WHOLE, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    broken = b"listed, and yet no model"
    (bundle / "model-float32.tflite").write_bytes(broken)
    entry = next(e for e in manifest["artifacts"] if e["file"] == "model-float32.tflite")
    entry |= {"size_bytes": len(broken), "sha256": hashlib.sha256(broken).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = cli("evaluate", bundle, "--data", "synthetic", "--limit", "50", "--json")
    files = [row["file"] for row in json.loads(done.stdout)["results"]]
    assert sorted(set(files)) == ["model-float32.onnx", "model-int8.onnx", "model-int8.tflite"]
    assert (
        "edge-mnist: warning: Expected a sound TFLite model, got model-float32.tflite"
        in done.stderr
    )


def test_a_missing_system_library_is_one_line(cli: Cli, tmp_path: Path) -> None:
    """As where numpy was installed by pip and the BLAS that it was built for was not."""
    said = "libopenblas.so.0: cannot open shared object file: No such file or directory"
    (tmp_path / "numpy.py").write_text(f"raise ImportError({said!r})\n", encoding="utf-8")
    done = cli("predict", "-", env={"PYTHONPATH": str(tmp_path)}, stdin=b"", status=2)
    assert error_line(done) == (
        "Expected the system's library libopenblas.so.0, got none; on Raspberry Pi OS those that "
        "numpy and Pillow need come with: sudo apt install python3-numpy python3-pil libopenblas0"
    )
