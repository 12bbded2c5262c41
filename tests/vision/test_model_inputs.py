"""The images that a model read are saved, and overwrite nothing that is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edge_mnist.vision.model_inputs import ModelInputFolder
from tests.errors import raises


def test_images_are_saved_under_the_names_of_their_pictures(
    digit: np.ndarray, tmp_path: Path
) -> None:
    folder = ModelInputFolder(tmp_path / "new", [])
    folder.save("photos/three.jpg", [digit], numbered=False)
    folder.save("-", [digit, 255 - digit], numbered=True)
    files = {path.name: np.asarray(Image.open(path)) for path in (tmp_path / "new").iterdir()}
    assert sorted(files) == ["stdin-1.png", "stdin-2.png", "three.png"]
    assert np.array_equal(files["three.png"], digit)
    assert np.array_equal(files["stdin-2.png"], 255 - digit)


def test_a_picture_or_the_images_of_another_are_not_overwritten(
    digit: np.ndarray, tmp_path: Path
) -> None:
    folder = ModelInputFolder(tmp_path, [str(tmp_path / "own.png")])
    with raises("output-is-input", "own.png") as caught:
        folder.save(str(tmp_path / "own.png"), [digit], numbered=False)
    assert caught.value.code == "output-is-input"
    folder.save("a/one.png", [digit], numbered=False)
    with raises("output-name", "b/one.png", "a/one.png") as caught:
        folder.save("b/one.png", [digit], numbered=False)
    assert caught.value.code == "output-name"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with raises("output-folder", "file") as caught:
        ModelInputFolder(tmp_path / "file", [])
    assert caught.value.code == "output-folder"
