"""HEIC, with the real pillow-heif, and without it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from edge_mnist import Classifier
from edge_mnist.datasets import user_data
from edge_mnist.vision.decode import count_pixels
from edge_mnist.vision.preprocess import preprocess
from tests.conftest import REPOSITORY, Cli
from tests.errors import assert_error, raises
from tests.serve.conftest import started

from .drawing import encoded, photo

pillow_heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif")

INSTALL = "pip install 'edge-mnist[heif]', or save the picture as JPEG"
SEVEN = REPOSITORY / "examples" / "digits" / "7.png"


def heic(image: Image.Image, **options: object) -> bytes:
    """Return a picture as HEIC, written by pillow-heif without Pillow's registry."""
    file = io.BytesIO()
    pillow_heif.from_pillow(image.convert("RGB")).save(file, quality=90, **options)
    content = file.getvalue()
    assert content[4:12] == b"ftypheic"
    return content


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pillow has not met a HEIC file yet, whatever ran before in this process."""
    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    yield


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


@pytest.fixture
def missing_elsewhere(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process that cannot import pillow-heif."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "pillow_heif.py").write_text("raise ImportError('not here')\n")
    return {"PYTHONPATH": str(folder)}


def test_a_photograph_is_read_as_its_png(digit: np.ndarray, classifier: Classifier) -> None:
    page = photo(digit)
    assert classifier.predict(heic(page)).digit == classifier.predict(encoded(page)).digit == 3
    difference = preprocess(heic(page)).astype(int) - preprocess(encoded(page))
    # HEVC at quality 90 is not lossless.
    assert np.abs(difference).mean() < 3


def test_the_rotation_of_the_camera_is_applied_once(
    digit: np.ndarray, classifier: Classifier
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # as in test_decode: show it turned by 90° clockwise
    turned = photo(digit).transpose(Image.Transpose.ROTATE_90)
    assert classifier.predict(heic(turned, exif=exif.tobytes())).digit == 3


def test_only_the_header_is_read_to_count_pixels(digit: np.ndarray) -> None:
    assert count_pixels(heic(photo(digit, size=300))) == 300 * 300


def test_a_huge_one_is_refused_by_its_header() -> None:
    content = heic(Image.new("L", (64, 64), 200))
    # The box `ispe` holds the size.
    at = content.index(b"ispe") + 8
    size = (9000).to_bytes(4, "big")
    with raises("image-too-large", "9000×9000"):
        preprocess(content[:at] + size + size + content[at + 8 :])


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_a_truncated_one_is_one_line(share: float, digit: np.ndarray) -> None:
    content = heic(photo(digit))
    with pytest.raises(Exception) as caught:
        preprocess(content[: int(len(content) * share)])
    assert caught.value.code in ("image-broken", "image-format")
    assert "\n" not in str(caught.value)


def test_pillow_heif_is_imported_at_the_first_heic_file(digit: np.ndarray) -> None:
    program = (
        "import sys\nfrom edge_mnist import Classifier\nclassifier = Classifier()\n"
        "for name in sys.argv[1:]:\n"
        "    print(classifier.predict(name).digit, 'pillow_heif' in sys.modules)"
    )
    names = ["-c", program, str(SEVEN)]
    done = subprocess.run([sys.executable, *names], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", "False"]


def test_without_pillow_heif_the_install_line_is_named(digit: np.ndarray, missing: None) -> None:
    content = heic(photo(digit))
    with raises("image-heic", f"{len(content)} bytes", INSTALL):
        preprocess(content)
    with raises("image-heic", INSTALL):
        count_pixels(content)


def test_a_folder_is_read_with_and_without(
    cli: Cli, tmp_path: Path, missing_elsewhere: dict[str, str]
) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    (folder / "a.heic").write_bytes(heic(Image.open(SEVEN)))
    (folder / "b.HEIC").write_bytes(heic(Image.open(SEVEN)))
    (folder / "c.png").write_bytes(SEVEN.read_bytes())
    lines = cli("predict", folder).stdout.splitlines()
    assert [line.partition(": ")[2][0] for line in lines] == ["7", "7", "7"]
    done = cli("predict", folder, status=2, env=missing_elsewhere)
    assert done.stdout.startswith(f"{folder / 'c.png'}: 7")
    _, *warned, last = done.stderr.splitlines()
    assert len(warned) == 2 and all(line.endswith(f"{INSTALL}.") for line in warned)
    assert "got 2 that are not; the warnings name them" in last
    alone = cli("predict", folder / "a.heic", status=2, env=missing_elsewhere)
    assert_error(alone, "image-heic", "a.heic", INSTALL)


def test_training_data_of_ones_own_may_be_heic(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for name, grey in (("dark", 30), ("light", 220)):
        (tmp_path / name).mkdir()
        for number in range(5):
            content = heic(Image.new("L", (64, 64), grey + number))
            (tmp_path / name / f"{number}.heic").write_bytes(content)
    data = user_data.load(tmp_path, "train", (28, 28, 1))
    assert data.classes == ("dark", "light")
    assert data.images.shape == (8, 28, 28, 1)
    assert data.images[data.labels == 0].max() < 60 < 190 < data.images[data.labels == 1].min()
    request.getfixturevalue("missing")
    Image.OPEN.pop("HEIF")
    Image.ID.remove("HEIF")
    with raises("image-heic", "dark", INSTALL):
        user_data.load(tmp_path, "train", (28, 28, 1))


def test_the_api_reads_it_or_names_the_install_line(missing_elsewhere: dict[str, str]) -> None:
    content = heic(Image.open(SEVEN))
    for env, expected in (({}, 200), (missing_elsewhere, 422)):
        server = started(env=env)
        try:
            answer = server.ask("/v1/predict", content, type="image/heic")
        finally:
            server.stop()
        assert answer.status == expected, answer.body
        if expected == 200:
            assert answer.json["predictions"][0]["digit"] == 7
        else:
            assert INSTALL in answer.json["detail"]


def test_avif_is_read_by_pillow_itself(
    digit: np.ndarray, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not features.check("avif"):
        pytest.skip("needs Pillow with AVIF")
    content = encoded(photo(digit), "AVIF")
    assert classifier.predict(content).digit == 3
    monkeypatch.delitem(Image.OPEN, "AVIF")  # as in a Pillow before 11.3
    Image.ID.remove("AVIF")
    with raises("image-avif", f"{len(content)} bytes"):
        preprocess(content)


def test_doctor_says_whether_it_is_installed(cli: Cli) -> None:
    assert json.loads(cli("doctor", "--json").stdout)["heif"] == pillow_heif.__version__
    assert f"heif    {pillow_heif.__version__}    reads HEIC pictures" in cli("doctor").stdout
