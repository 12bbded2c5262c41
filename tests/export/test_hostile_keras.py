"""Keras files from strangers: no code of theirs runs, and each is refused in one line."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from edge_mnist import EdgeMnistError, ModelError
from edge_mnist_export.conversion import source_model
from edge_mnist_export.conversion.source_model import SourceModel
from tests.fuzz.mutation import mutate

keras = pytest.importorskip("keras", reason="needs the host package")
layers = keras.layers

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """The members of a sound `.keras` file."""
    path = tmp_path_factory.mktemp("sound") / "m.keras"
    _plain().save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@contextlib.contextmanager
def refused(detail: str) -> Iterator[None]:
    """Expect the error of a file that Keras cannot load: one line with a detail."""
    with pytest.raises(ModelError) as info:
        yield
    message = str(info.value)
    assert info.value.code == "model-keras-load" and "\n" not in message
    assert message.startswith("Expected a ") and detail in message, message


def _plain(*more: Any) -> Any:
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), *more, layers.Dense(3)])
    model(np.zeros((1, 28, 28, 1), np.float32))
    return model


def _write(path: Path, members: Members) -> SourceModel:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return SourceModel(path, "m")


def _deep(members: Members) -> Members:
    return members | {"config.json": b'{"a":' * 90_000 + b"1" + b"}" * 90_000}


def _zeros(name: str, size: int) -> Callable[[Members], Members]:
    return lambda members: members | {name: bytes(size)}


def _outside(name: str) -> Callable[[Members], Members]:
    return lambda members: members | {name: b"x"}


HOSTILE: dict[str, tuple[Callable[[Members], Members], str]] = {
    "parent": (_outside("../written"), r"a file outside of the archive, '../written'"),
    "deep parent": (_outside("assets/../../written"), "a file outside of the archive"),
    "absolute": (_outside("/tmp/written"), "a file outside of the archive"),
    "Windows": (_outside("..\\written"), "a file outside of the archive"),
    "giant config": (_zeros("config.json", 17 << 20), "config.json of 17,825,792 bytes"),
    "deep config": (_deep, "Expected a Keras model at"),
    "no config": (lambda m: {k: v for k, v in m.items() if k != "config.json"}, "Expected a Keras"),
    "empty": (lambda _: {"config.json": b"{}", "metadata.json": b"{}"}, "Expected a Keras model"),
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder in a folder, in which nothing but the file is left."""
    (tmp_path / "in").mkdir()
    yield tmp_path / "in" / "m.keras"
    assert {one.name for one in tmp_path.rglob("*")} <= {"in", "m.keras"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(name: str, sound: Members, place: Path) -> None:
    change, message = HOSTILE[name]
    with refused(message):
        source_model.load(_write(place, change(sound)))


def test_a_bomb_is_refused_by_the_size_it_states(sound: Members, place: Path) -> None:
    _write(place, sound | {"assets/x": b"x"})
    content = bytearray(place.read_bytes())
    # The uncompressed size in the central directory, which is what a reader goes by.
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"assets/x"))
    struct.pack_into("<I", content, entry + 24, 3 << 30)
    place.write_bytes(content)
    with refused("an archive that unpacks to 3,221,"):
        source_model.load(SourceModel(place, "m"))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:.*HDF5:UserWarning")
def test_code_in_a_file_is_not_run(suffix: str, tmp_path: Path) -> None:
    mark = tmp_path / "it_ran"
    model = _plain(layers.Lambda(_opening(str(mark))))
    model.save(tmp_path / f"m{suffix}")
    mark.unlink()  # Made when the layer was called here.
    with refused("Expected a model of Keras's own layers, got the custom Lambda"):
        source_model.load(SourceModel(tmp_path / f"m{suffix}", "m"))
    assert not mark.exists()


def _opening(path: str) -> Callable[[Any], Any]:
    """Return a lambda, of which Keras saves the code; it makes a file."""
    return lambda values: (__import__("pathlib").Path(path).touch(), values)[1]


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen")]
)
def test_a_class_of_another_package_is_not_made(
    module: str, name: str, sound: Members, place: Path
) -> None:
    config = json.loads(sound["config.json"])
    layer = config["config"]["layers"][1]
    layer |= {"module": module, "class_name": name, "registered_name": name}
    with refused("Expected a "):
        source_model.load(_write(place, sound | {"config.json": json.dumps(config).encode()}))


def test_mutated_configs_are_refused_in_a_line(sound: Members, place: Path) -> None:
    refused = 0
    for number in range(40):
        config = mutate("json", sound["config.json"], Random(f"keras {number}"))
        try:
            source_model.load(_write(place, sound | {"config.json": config}))
        except EdgeMnistError as error:
            refused += 1
            assert str(error).startswith("Expected ") and "\n" not in str(error), number
    assert refused > 10
    shutil.rmtree(place.parent)
    place.parent.mkdir()
