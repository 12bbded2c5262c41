"""`/v1`: answers and errors."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from edge_mnist import Classifier, __version__
from tests.conftest import WHOLE, Cli, drawn_bundle
from tests.errors import assert_error, error_line
from tests.serve.conftest import DIGITS, Server, Start

MODELS = ("model-int8.tflite-litert", "model-float32.onnx-onnx")


def body(**document: Any) -> bytes:
    return json.dumps(document).encode()


def in_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def check(server: Server) -> Any:
    """Return a function that validates a document against a schema of /openapi.json."""
    description = server.ask("/openapi.json").json

    def validate(name: str, document: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        jsonschema.Draft202012Validator(schema).validate(document)

    return validate


# ----- Digits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["default", *MODELS])
@pytest.mark.parametrize("digit", [0, 4, 7])
def test_a_picture_is_read_as_the_command_line_reads_it(
    server: Server, check: Any, cli: Cli, digit: int, model: str
) -> None:
    path = DIGITS / f"{digit}.png"
    answer = server.ask(f"/v1/predict?model={model}&seen=true", path.read_bytes(), type="image/png")
    check("Answer", answer.json)
    assert answer.json["model"] == (MODELS[0] if model == "default" else model)
    (row,) = answer.json["predictions"]
    assert row["digit"] == digit
    seen = row.pop("seen")
    assert len(base64.b64decode(seen["pixels"])) == 784 and seen["shape"] == [28, 28]
    if model == "default":
        printed = json.loads(cli("predict", path, "--model", WHOLE, "--json").stdout)
        assert printed.pop("image") == str(path)
        assert row == printed


def test_arrays_base64_and_raw_pixels_say_the_same(
    server: Server, check: Any, images: tuple[Any, Any]
) -> None:
    arrays, numbers = images
    several = body(images=[one.tolist() for one in arrays])
    raw = body(pixels=base64.b64encode(arrays.tobytes()).decode())
    for content in (several, raw):
        check("Question", json.loads(content))
        rows = server.ask("/v1/predict", content).json["predictions"]
        expected = [Classifier(WHOLE).predict(one) for one in arrays]
        assert [row["digit"] for row in rows] == [one.digit for one in expected]
        assert sum(row["digit"] == number for row, number in zip(rows, numbers, strict=True)) > 36
    pictures = body(images=[in_base64(DIGITS / f"{digit}.png") for digit in (3, 8)])
    rows = server.ask("/v1/predict", pictures).json["predictions"]
    assert [row["digit"] for row in rows] == [3, 8]


@pytest.mark.parametrize("query", ["", "?many=true"])
def test_the_stages_are_timed_apart(server: Server, query: str) -> None:
    small = server.ask(
        f"/v1/predict{query}", (DIGITS / "7.png").read_bytes(), type="image/png"
    ).json
    stages = [small[f"{stage}_us"] for stage in ("decode", "preprocess", "model")]
    assert min(stages) > 0
    # The stages add up to the latency, but for the calls between them; the rest is parsing.
    assert 0.8 * small["latency_us"] < sum(stages) <= small["latency_us"] + 1
    assert small["latency_us"] <= small["total_us"]
    # Finding a digit in a picture takes far longer than reading it.
    assert small["model_us"] < small["preprocess_us"]


def test_a_larger_picture_takes_longer_to_decode_only(server: Server) -> None:
    with Image.open(DIGITS / "7.png") as picture:
        file = io.BytesIO()
        picture.convert("RGB").resize((4000, 4000)).save(file, "PNG")
    small, large = (
        server.ask("/v1/predict", content, type="image/png").json
        for content in ((DIGITS / "7.png").read_bytes(), file.getvalue())
    )
    assert large["decode_us"] > 20 * small["decode_us"]
    assert large["predictions"][0]["digit"] == 7


def test_pixels_need_no_decoding(server: Server, images: tuple[Any, Any]) -> None:
    answer = server.ask("/v1/predict", body(image=images[0][3].tolist())).json
    assert answer["decode_us"] + answer["preprocess_us"] < answer["latency_us"]
    assert answer["model_us"] > 0.3 * answer["latency_us"]


def test_several_digits_in_a_row(server: Server, check: Any) -> None:
    page = Image.new("L", (1200, 320), 255)
    for place, digit in enumerate((2, 0, 5)):
        with Image.open(DIGITS / f"{digit}.png") as picture:
            page.paste(picture.convert("L").resize((300, 300)), (20 + 400 * place, 10))
    file = io.BytesIO()
    page.save(file, "PNG")
    answer = server.ask("/v1/predict?many=true&seen=true", file.getvalue(), type="image/png")
    check("Answer", answer.json)
    (row,) = answer.json["predictions"]
    assert row["digits"] == "205"
    assert all(one["seen"] for one in row["predictions"])


def test_what_is_no_digit_is_no_error(server: Server, check: Any) -> None:
    file = io.BytesIO()
    Image.new("L", (200, 200), 255).save(file, "PNG")
    answer = server.ask("/v1/predict?seen=true", file.getvalue(), type="image/png")
    assert answer.status == 200
    check("Answer", answer.json)
    (row,) = answer.json["predictions"]
    assert row["digit"] is None and row["reason"] and row["seen"] is None


# ----- Errors ------------------------------------------------------------------------------------

REFUSED = [
    (b"\0" * 50, "image/png", 422, "Expected a picture (PNG, JPEG, …), got another kind of file"),
    (b"", "image/png", 422, "got an empty file"),
    (b"hello", "text/plain", 415, "Expected Content-Type image/…, application/octet-stream or"),
    (b"{", "application/json", 400, "got invalid JSON"),
    (b"[" * 100_000, "application/json", 400, "got invalid JSON"),
    (b"[]", "application/json", 400, "got list"),
    (body(), "application/json", 400, "got the keys []"),
    (body(image=1, images=[]), "application/json", 400, "got the keys ['image', 'images']"),
    (body(image=1), "application/json", 400, "got an image of type int"),
    (body(images={}), "application/json", 400, "images of type dict"),
    (body(images=[]), "application/json", 400, "or none"),
    (body(image="!"), "application/json", 400, "got invalid base64"),
    (body(image=[[1], [1, 2]]), "application/json", 400, "got rows of different lengths"),
    (body(image=[[0.5] * 28] * 28), "application/json", 400, "got float64 values"),
    (body(image=[[256] * 28] * 28), "application/json", 400, "got int64 values"),
    (body(image=[[10**30] * 28] * 28), "application/json", 400, "got object values"),
    (body(image=[]), "application/json", 400, "got float64 values of shape (0,)"),
    (body(image=[1, 2]), "application/json", 422, "Expected an image of shape (h, w)"),
    (body(pixels="AAAA"), "application/json", 400, "3 bytes of pixels"),
    (body(pixels=""), "application/json", 400, "0 bytes of pixels"),
    (body(images=["AAAA"] * 1025), "application/json", 413, "Expected at most 1024 images"),
]


@pytest.mark.parametrize(("content", "type", "status", "detail"), REFUSED)
def test_a_bad_request_is_told_what_was_expected(
    server: Server, check: Any, content: bytes, type: str, status: int, detail: str
) -> None:
    answer = server.ask("/v1/predict", content, type=type)
    assert answer.status == answer.json["status"] == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    check("Problem", answer.json)
    assert detail in answer.json["detail"]


def test_the_words_are_the_command_lines(server: Server, cli: Cli, tmp_path: Path) -> None:
    broken = (DIGITS / "7.png").read_bytes()[:400]
    words = server.ask("/v1/predict", broken, type="image/png").json["detail"]
    done = cli("predict", "-", stdin=broken, status=2)
    assert words == error_line(done)
    second = body(images=[in_base64(DIGITS / "7.png"), base64.b64encode(broken).decode()])
    answer = server.ask("/v1/predict", second)
    assert answer.json["detail"].endswith("It is images[1].")


@pytest.mark.parametrize("size", [(6000, 5000), (60_000, 60_000)])
def test_a_picture_of_too_many_pixels_is_never_unpacked(
    server: Server, size: tuple[int, int]
) -> None:
    # A header that states the size, and a body with far fewer bytes.
    header = (DIGITS / "7.png").read_bytes()
    at = header.index(b"IHDR") + 4
    sides = b"".join(side.to_bytes(4, "big") for side in size)
    head = header[at - 4 : at] + sides + header[at + 8 : at + 13]
    import zlib

    bomb = header[:at] + sides + header[at + 8 : at + 13] + zlib.crc32(head).to_bytes(4, "big")
    answer = server.ask("/v1/predict", bomb + header[at + 17 :], type="image/png")
    assert answer.status in (413, 422)
    assert "megapixels" in answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/v1/predict", "GET", 405),
        ("/v1/model", "POST", 405),
        ("/v1/predict?model=none", "POST", 404),
        ("/v1/predict?many=1", "POST", 400),
        ("/page/../../cli.py", "GET", 404),
    ],
)
def test_paths_methods_and_queries(server: Server, path: str, method: str, status: int) -> None:
    answer = server.ask(path, b"" if method == "POST" else None, method=method)
    assert answer.status == answer.json["status"] == status


# ----- Other routes ------------------------------------------------------------------------------


def test_the_models_and_health(server: Server, check: Any) -> None:
    served = server.ask("/v1/model").json
    check("Models", served)
    assert served["default"] == MODELS[0]
    assert {model["name"] for model in served["models"]} >= set(MODELS)
    assert served["models"][0]["accuracy"] > 0.99
    files = {model["file"]: model["sha256"] for model in served["models"]}
    manifest = (WHOLE / "manifest.json").read_bytes()
    assert served["model"] == {
        "bundle": served["bundle"],
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "file_sha256": files,
        "trained_on": "mnist-train",
        "edge_mnist": __version__,
    }
    assert server.ask("/healthz").json == {"status": "ok"}


def test_latest_serves_the_newest_bundle_and_says_what_it_saw(
    start: Start, cli: Cli, tmp_path: Path
) -> None:
    bundle = drawn_bundle(tmp_path / "runs" / "mine" / "bundle")
    shipped, latest = start(cwd=tmp_path), start("--latest", cwd=tmp_path)
    assert shipped.ask("/v1/model").json["bundle"] == "edge"
    served = latest.ask("/v1/model").json
    # Clients get the bundle's name, not a path of the server.
    assert served["bundle"] == served["model"]["bundle"] == "bundle"
    assert served["model"]["trained_on"] == "synthetic-train"
    latest.stop()
    assert latest.log[0] == (
        "Model: runs/mine/bundle, trained on synthetic-train (drawn digits, not MNIST), "
        "99.61 % on synthetic-test"
    )
    both = cli("serve", "--latest", "--model", bundle, status=2)
    assert error_line(both).startswith("Expected a MODEL or --latest, got both.")
    assert_error(cli("serve", "--latest", cwd=bundle, status=2), "bundle-latest")


@pytest.mark.slow
def test_the_newest_benchmark_is_shown(start: Start, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    cli("benchmark", WHOLE / "model-int8.tflite", "--runs", "10", "--json", file)
    one = start("--model", WHOLE, "--benchmark", file)
    row, other = one.ask("/v1/benchmark").json["benchmark"]["rows"]
    assert "numpy" in str(other)
    assert row["file"] == "model-int8.tflite" and 0 < row["p50_us"] <= row["p99_us"]
    assert row["accuracy"] > 0.99
    bad = tmp_path / "other.json"
    bad.write_text("{}", encoding="utf-8")
    found = start("--model", WHOLE, cwd=tmp_path)
    assert found.ask("/v1/benchmark").json == one.ask("/v1/benchmark").json
    file.unlink()
    assert found.ask("/v1/benchmark").json == {"benchmark": None}
    assert_error(cli("serve", "--benchmark", bad, status=2), "data-benchmark-schema", "benchmark")


@pytest.mark.slow
def test_the_command_line_refuses_in_one_line(cli: Cli, server: Server, tmp_path: Path) -> None:
    taken = error_line(cli("serve", "--port", str(server.port), status=2))
    assert taken.startswith(f"Expected to listen on 127.0.0.1, port {server.port}, got: ")
    short = error_line(cli("serve", "--token", "short", status=2))
    assert "Expected a token of 16 characters or more, got 5" in short
    assert_error(cli("serve", "--model", tmp_path, status=2), "bundle-missing")
