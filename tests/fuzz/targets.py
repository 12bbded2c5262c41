"""The targets of the campaign: how an input is made from a generator, and how it is tried."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np
from PIL import Image

from edge_mnist import Classifier, backends, datasets
from edge_mnist.bundle import Artifact, find_artifacts, read_bundle
from edge_mnist.bundle.provenance import model_json, statements
from edge_mnist.classifier.prediction import Prediction
from edge_mnist.datasets import idx
from edge_mnist.errors import EdgeMnistError, ModelError
from edge_mnist.foreign_models.check import check
from edge_mnist.foreign_models.spec_inference import labels_of
from edge_mnist.int8 import Unsupported, read_graph
from edge_mnist.model_files.malformed import Malformed
from tests.conftest import REPOSITORY, SHIPPED, WHOLE
from tests.foreign_models.bundles import sole_file

from .mutation import NUMBERS, mutate

DIGITS = REPOSITORY / "examples" / "digits"
Sound = Mapping[str, Sequence[bytes]]


class Target(Protocol):
    """One place where input from outside comes in.

    Attributes:
        sound: files to start from.
    """

    sound: Sequence[bytes]

    def make(self, random: Random) -> Any:
        """Return an input; the same generator makes the same."""
        ...

    def run(self, given: Any) -> None:
        """Try it.

        Raises:
            EdgeMnistError: it is refused.
            Exception: something is wrong.
        """
        ...


def sound_files(more: Path | None) -> Sound:
    """Return sound model files by format: those of the tests, and those in a folder."""
    places = [WHOLE, SHIPPED.parent / "nano", *([more] if more else [])]
    return {
        format: [
            file.read_bytes() for place in places for file in sorted(place.glob(f"*.{format}"))
        ]
        for format in ("tflite", "onnx")
    }


# ----- Model files -------------------------------------------------------------------------------


class _Model:
    """A model file without a manifest, in one runtime."""

    def __init__(self, folder: Path, sound: Sound, *, format: str, backend: str) -> None:
        self.sound, self._format, self._backend = sound[format], format, backend
        self._folder = folder

    def make(self, random: Random) -> bytes:
        return mutate(self._format, random.choice(self.sound), random, self.sound)

    def run(self, given: bytes) -> None:
        path = self._folder / f"m.{self._format}"
        path.write_bytes(given)
        answer(Classifier(path, backend=self._backend))


class _Listed(_Model):
    """A model file in a bundle whose manifest has its true size and hash."""

    def run(self, given: bytes) -> None:
        name = f"model-int8.{self._format}"
        sole_file(self._folder, name, given)
        answer(Classifier(self._folder, backend=self._backend))


class _Tampered:
    """A model file that is not the one of its manifest."""

    def __init__(self, folder: Path, sound: Sound) -> None:
        self.original = (WHOLE / "model-int8.tflite").read_bytes()
        self.sound = [self.original]
        self._folder = Path(shutil.copytree(WHOLE, folder / "bundle"))

    def make(self, random: Random) -> bytes:
        return mutate("tflite", self.original, random, self.sound)

    def run(self, given: bytes) -> None:
        (self._folder / "model-int8.tflite").write_bytes(given)
        Classifier(self._folder, backend="numpy", precision="int8")
        assert given == self.original, "a file of another hash was loaded"


class _Parse:
    """The readers of a model file's bytes, without a runtime."""

    def __init__(self, folder: Path, sound: Sound, *, format: str) -> None:
        self.sound, self._format = sound[format], format
        self._artifact = Artifact(folder / f"m.{format}", format, "unknown", None)

    def make(self, random: Random) -> bytes:
        return mutate(self._format, random.choice(self.sound), random, self.sound)

    def run(self, given: bytes) -> None:
        from edge_mnist.inspection.file_layers import parts, read_layers
        from edge_mnist.model_files.onnx_file import has_external_data, quantization

        labels_of(given, self._format)
        if self._format == "onnx":
            has_external_data(given)
            quantization(given, "image", output=False)
            quantization(given, "probabilities", output=True)
        else:
            with contextlib.suppress(Malformed, Unsupported):
                read_graph(given)
        runtime = backends.RUNTIMES["onnx" if self._format == "onnx" else "litert"]
        check(self._artifact, given, runtime=runtime, threads=1, in_child=False)
        layers = read_layers(self._artifact, given)
        parts(self._format, given, layers[:3])


def answer(classifier: Classifier) -> None:
    """Ask a model that was loaded, and check what it answers."""
    shape = classifier.spec.shape
    random = np.random.default_rng(0)
    images = np.stack([np.zeros(shape), np.full(shape, 255), random.integers(0, 256, shape)])
    images = images.astype(np.uint8)
    for image in images:
        check_prediction(classifier.predict(image))
    assert np.isfinite(classifier.predict_probabilities(images)).all()


def check_prediction(prediction: Prediction) -> None:
    """Check that every number is finite, and that it is JSON."""
    assert np.isfinite(prediction.confidence), prediction
    assert np.isfinite(prediction.probabilities).all(), prediction
    json.dumps([prediction.confidence, *prediction.probabilities.tolist()], allow_nan=False)


# ----- Bundles -----------------------------------------------------------------------------------


class _Manifest:
    """A manifest beside the sound files of its bundle."""

    def __init__(self, folder: Path, sound: Sound) -> None:
        self._folder = Path(shutil.copytree(WHOLE, folder / "bundle"))
        self.sound = [(WHOLE / "manifest.json").read_bytes()]

    def make(self, random: Random) -> bytes:
        text = mutate("json", self.sound[0], random, self.sound)
        return _strange(text, random) if random.random() < 0.3 else text

    def run(self, given: bytes) -> None:
        (self._folder / "manifest.json").write_bytes(given)
        bundle = read_bundle(self._folder)
        for artifact in bundle.artifacts:
            # A manifest may come from anywhere. It may name files of its own folder only.
            assert artifact.path.parent == self._folder and artifact.path.is_file()
        statements(bundle.artifacts[0])
        document = model_json(find_artifacts(self._folder)) | {"labels": bundle.artifacts[0].spec}
        json.dumps(document, allow_nan=False)
        bundle._repr_html_()
        answer(Classifier(self._folder, precision="int8", backend="numpy"))


def _strange(text: bytes, random: Random) -> bytes:
    """Return JSON with something that a mutation of its tree does not make."""
    key = random.choice((b'"schema": 1', b'"labels"', b'"artifacts"', b'"input"', b'"file"'))
    insert = random.choice(
        (
            b'"schema": 1, "schema": 2, ',
            b'"x": ' + b"[" * 100_000,
            b'"x": ' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b", ",
            b'"x": ' + b"9" * 5000 + b", ",
            b'"x": 1e999, ',
            b'"x": -Infinity, ',
            b'"x": "\xff\xfe", ',
            b'"x": "\\ud800", ',
            b"\0",
            b'"x": 1' + b"0" * 400 + b".0, ",
            b"\xef\xbb\xbf",
        )
    )
    return text.replace(key, insert + key, 1)


class _Keys:
    """A trusted key or a signature file."""

    def __init__(self, folder: Path, sound: Sound) -> None:
        self._folder = folder
        key = base64.b64encode(b"Ed" + bytes(40))
        signature = base64.b64encode(b"ED" + bytes(72))
        last = base64.b64encode(bytes(64))
        self.sound = [
            b"untrusted comment: a key\n" + key + b"\n",
            b"untrusted comment: a signature\n%s\ntrusted comment: timestamp:1\tfile:x\n%s\n"
            % (signature, last),
        ]

    def make(self, random: Random) -> bytes:
        content = mutate("text", random.choice(self.sound), random, self.sound)
        if random.random() < 0.3:
            # Base64 of other bytes of the right length: other points, and numbers out of range.
            fill = random.choice((b"\0", b"\xff", b"\x01", random.randbytes(1)))
            lines = self.sound[1].split(b"\n")
            lines[1] = base64.b64encode(b"Ed" + bytes(8) + fill * 32 + random.randbytes(32))
            content = b"\n".join(lines)
        return content

    def run(self, given: bytes) -> None:
        from edge_mnist.bundle.minisign import parse_key
        from edge_mnist.bundle.trust import check_signature, trusted_keys

        path = self._folder / "k.pub"
        path.write_bytes(given)
        refused: list[EdgeMnistError] = []
        try:
            keys = trusted_keys(str(path), ())
        except EdgeMnistError as error:
            refused.append(error)
            keys = (parse_key(self.sound[0].split(b"\n")[1].decode()),)
        try:
            check_signature(b"{}", str(path), keys, folders=(str(self._folder),))
        except EdgeMnistError as error:
            refused.append(error)
        assert refused, "a signature that nobody made"
        if len(refused) == 2:
            raise refused[-1]


# ----- Pictures and arrays -----------------------------------------------------------------------


@cache
def pictures() -> dict[str, bytes]:
    """Return small pictures by name, in every format that is read."""
    with Image.open(DIGITS / "7.png") as image:
        grey = image.convert("L").resize((60, 60))
    colour = grey.convert("RGB")
    turned = [grey.rotate(angle) for angle in (10, 20)]
    return {
        **{f"grey.{f}": saved(grey, f) for f in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")},
        "frames.gif": saved(grey, "GIF", save_all=True, append_images=turned),
        "lzw.tif": saved(grey, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(colour, "TIFF", compression="tiff_deflate"),
        "plain.tif": saved(colour, "TIFF"),
        "progressive.jpg": saved(colour, "JPEG", progressive=True),
        "lossless.webp": saved(colour, "WEBP", lossless=True),
        "palette.png": saved(colour.quantize(16), "PNG"),
        "plain.pgm": b"P2\n6 6\n255\n" + b" ".join(b"%d" % (7 * n) for n in range(36)),
        "bits.pbm": saved(grey.convert("1"), "PPM"),
        "icon.ico": saved(grey, "ICO"),
        "tga.tga": saved(colour, "TGA"),
        "heic.heic": struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(300),
        "avif.avif": struct.pack(">I", 24) + b"ftypavif\0\0\0\0mif1avif" + bytes(300),
    }


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    """Return a picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


class _Picture:
    """The bytes of a picture, read as one digit or as several."""

    def __init__(self, folder: Path, sound: Sound) -> None:
        self.sound = list(pictures().values())
        self._classifier = Classifier("nano")

    def make(self, random: Random) -> bytes:
        return mutate("picture", random.choice(self.sound), random, self.sound)

    def run(self, given: bytes) -> None:
        check_prediction(self._classifier.predict(given))


_DTYPES = ("u1", "i1", "u2", ">i2", "i4", "u8", "f2", "f4", ">f8", "c8", "?", "O", "S3", "U2")
_DTYPES += ("M8[s]", "m8[s]", "V4", "f4,u1")
_SIZES = (0, 1, 2, 3, 4, 8, 27, 28, 29, 60)


class _Array:
    """An array of any dtype, shape, strides and values, or what only looks like one."""

    sound: Sequence[bytes] = ()

    def __init__(self, folder: Path, sound: Sound) -> None:
        self._classifier = Classifier("nano")

    def make(self, random: Random) -> tuple[str, Any]:
        calls = ("predict", "predict_batch", "predict_probabilities", "detect", "predict_many")
        return random.choice(calls), _array(random)

    def run(self, given: tuple[str, Any]) -> None:
        call, value = given
        result = getattr(self._classifier, call)(value)
        for one in result if isinstance(result, list) else [result]:
            if isinstance(one, np.ndarray):
                assert one.dtype.kind in "iuf" and np.isfinite(one).all()
            else:
                check_prediction(getattr(one, "prediction", one))


def _array(random: Random) -> Any:
    way = random.randrange(10)
    if way == 0:  # No array.
        choices: tuple[Any, ...] = (None, 1, 2.5, "", "\0", "x.png", b"", [], [[1, 2], [3]], {}, ())
        return random.choice((*choices, [None] * 28, object(), ["a"], range(9), 1j, True, np))
    shape = random.choice(
        (
            (28, 28),
            (28, 28, 1),
            (28, 28, 3),
            (2, 28, 28),
            (2, 28, 28, 1),
            (60, 40, 4),
            tuple(random.choice(_SIZES) for _ in range(random.randrange(6))),
        )
    )
    if way == 1:  # Huge, of one byte: a view without strides.
        huge = random.choice(((2**31, 2), (10**5, 10**5), (1, 2**40), (28, 28, 2**40)))
        return np.broadcast_to(np.uint8(random.randrange(256)), huge)
    dtype = np.dtype(random.choice(_DTYPES))
    while (size := int(np.prod(shape))) > 10**7:
        shape = shape[1:]
    if dtype.hasobject:
        values: Any = np.empty(size, "O")
        for place in range(size):
            values[place] = random.choice((None, 1, "x", [], 0.5))
    elif not size:
        values = np.zeros(0, dtype)
    else:
        values = np.frombuffer(random.randbytes(size * dtype.itemsize), dtype)
    array = values.reshape(shape)
    if way == 2 and array.dtype.kind == "f":
        array = array.copy()
        with np.errstate(over="ignore"):
            array[...] = random.choice((np.nan, np.inf, -np.inf, 3e38, 0.5, -1.0))
    if way == 3 and array.ndim:
        array = array[:: random.choice((-1, 2))]
    if way == 4:
        array = array.T
    if way == 5:
        array = array.view(np.ma.MaskedArray)
    if way == 6:
        return array.tolist()
    if way == 7 and array.dtype == np.uint8 and array.ndim == 2 and array.size:
        mode = random.choice(("L", "P", "1", "RGBA", "I", "F", "LA", "CMYK", "I;16", "LAB"))
        return (
            Image.fromarray(np.ascontiguousarray(array))
            .convert("L")
            .convert(mode if mode not in ("I;16", "LAB") else "I")
        )
    return array


# ----- Data sets ---------------------------------------------------------------------------------


class _Idx:
    """Four IDX files under MNIST's names, of which one is mutated, plain or compressed."""

    def __init__(self, folder: Path, sound: Sound) -> None:
        self._folder = folder
        random = np.random.default_rng(0)
        self._files = {}
        for file in idx.ALL_FILES:
            shape = (20, *file.shape[1:])
            values = random.integers(0, 256 if len(shape) == 3 else 10, shape, np.uint8)
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            self._files[file] = header + values.tobytes()
        self.sound = list(self._files.values())

    def make(self, random: Random) -> tuple[str, bytes, Mapping[str, bytes]]:
        files = {file.name: content for file, content in self._files.items()}
        name = random.choice(list(files))
        content = mutate("picture", files.pop(name), random, self.sound)
        if random.random() < 0.5:
            content = gzip.compress(content, 1, mtime=0)
            if random.random() < 0.6:
                content = mutate("picture", content, random, self.sound)
            name += ".gz"
        if random.random() < 0.02:  # A bomb: 64 MB of zeros after a header that states as many.
            content = _idx_bomb(random.choice((2**16, 2**26, 2**31, 2**32 - 1)))
            name = f"{name.removesuffix('.gz')}.gz"
        return name, content, files

    def run(self, given: tuple[str, bytes, Mapping[str, bytes]] | bytes) -> None:
        if isinstance(given, bytes):
            names = [file.name for file in idx.ALL_FILES]
            rest = dict(zip(names[1:], self.sound[1:], strict=True))
            given = names[0], given, rest
        name, content, files = given
        shutil.rmtree(self._folder / "d", ignore_errors=True)
        (self._folder / "d").mkdir()
        for file, whole in (*files.items(), (name, content)):
            (self._folder / "d" / file).write_bytes(whole)
        _load(self._folder / "d")


def _load(path: Path) -> None:
    source = datasets.find(str(path), own=True)
    shape = datasets.image_shape(source)
    for split in ("train", "test"):
        loaded = datasets.load(source, split, shape=shape)  # type: ignore[arg-type]
        assert loaded.images.dtype == np.uint8 and len(loaded.images) == len(loaded.labels)
        assert loaded.labels.max() < len(loaded.classes)


@cache
def _idx_bomb(count: int) -> bytes:
    header = struct.pack(">HBBIII", 0, 8, 3, count, 28, 28)
    return gzip.compress(header + bytes(1 << 26), 1, mtime=0)


class _Npz:
    """An .npz of a user's own images: its members, their headers, and the archive."""

    def __init__(self, folder: Path, sound: Sound) -> None:
        self._path = folder / "own.npz"
        random = np.random.default_rng(0)
        self._arrays = {
            "x_train": random.integers(0, 256, (12, 8, 8), np.uint8),
            "y_train": np.arange(12) % 3,
            "x_test": random.integers(0, 256, (6, 8, 8), np.uint8),
            "y_test": np.arange(6) % 3,
            "classes": np.array(["a", "b", "c"]),
        }
        self._members = {name: _npy(array) for name, array in self._arrays.items()}
        self.sound = [_zipped(self._members)]

    def make(self, random: Random) -> bytes:
        members = dict(self._members)
        name = random.choice(list(members))
        way = random.randrange(6)
        if way == 0:
            return mutate("picture", self.sound[0], random, self.sound)
        if way == 1:
            members[name] = _npy(np.asarray(_plain(random)))
        elif way == 2:
            members[random.choice(("../../x", "/x", "images", "labels", "a" * 300))] = members[name]
        elif way == 3:
            del members[name]
        elif way == 4:
            header, shape = members[name][:128], random.choice(NUMBERS)
            members[name] = header.replace(b"(12,", b"(%d," % shape) + members[name][128:]
        else:
            members[name] = mutate("picture", members[name], random, self.sound)
        return _zipped(members)

    def run(self, given: bytes) -> None:
        self._path.write_bytes(given)
        _load(self._path)


def _plain(random: Random) -> Any:
    while not isinstance(array := _array(random), np.ndarray) or array.nbytes > 10**6:
        pass
    return array


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content)
    return buffer.getvalue()


# ----- HTTP --------------------------------------------------------------------------------------


class _Http:
    """A request to the server, without a socket."""

    def __init__(self, folder: Path, sound: Sound) -> None:
        from .asgi import Caller

        self._call = Caller(str(SHIPPED.parent / "nano"), backend="numpy").call
        png = pictures()["grey.PNG"]
        encoded = base64.b64encode(png).decode()
        pixels = base64.b64encode(bytes(784)).decode()
        tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
        binary = {**tensor, "parameters": {"binary_data_size": 784}}
        del binary["data"]
        head = json.dumps({"inputs": [binary]}).encode()
        infer = "/v2/models/default/infer"
        self._requests: list[tuple[str, str, bytes, dict[str, str]]] = [
            ("/v1/predict", "application/json", json.dumps({"image": encoded}).encode(), {}),
            ("/v1/predict", "application/json", json.dumps({"images": [encoded] * 2}).encode(), {}),
            ("/v1/predict", "application/json", json.dumps({"pixels": pixels}).encode(), {}),
            (
                "/v1/predict",
                "application/json",
                json.dumps({"image": [[0] * 28] * 28}).encode(),
                {},
            ),
            ("/v1/predict", "image/png", png, {}),
            (infer, "application/json", json.dumps({"inputs": [tensor]}).encode(), {}),
            (
                infer,
                "application/octet-stream",
                head + bytes(784),
                {"inference-header-content-length": str(len(head))},
            ),
        ]
        self.sound = [body for _, _, body, _ in self._requests]

    def make(self, random: Random) -> tuple[str, dict[str, str], bytes]:
        path, kind, body, headers = random.choice(self._requests)
        form = "json" if kind == "application/json" else "picture"
        if random.random() < 0.9:
            body = mutate(form, body, random, self.sound)
        headers = {"content-type": kind, "host": "localhost", **headers}
        if random.random() < 0.3:
            name = random.choice((*headers, "content-encoding", "origin", "content-length"))
            values = ("", "-1", "1e9", "\xff", "9" * 30, "a" * 9000, "gzip", "null", "[::1", "٣")
            value = random.choice(values)
            if name != "content-length":  # h11 checks it before the application sees it.
                headers[name] = value
        if random.random() < 0.3:
            path += random.choice(
                ("?many=true", "?seen=true", "?many=x", "?model=\0", "/", "/../x")
            )
        return path, headers, body

    def run(self, given: tuple[str, dict[str, str], bytes]) -> None:
        from .asgi import check_answer

        path, headers, body = given
        answered = self._call("POST", path, headers, body)
        check_answer(answered)
        if answered.status >= 400:
            raise ModelError("Expected a sound request")


# ----- All ---------------------------------------------------------------------------------------


def _model(kind: type[_Model], format: str, backend: str) -> Callable[[Path, Sound], Target]:
    return lambda folder, sound: kind(folder, sound, format=format, backend=backend)


def _parse(format: str) -> Callable[[Path, Sound], Target]:
    return lambda folder, sound: _Parse(folder, sound, format=format)


TARGETS: dict[str, Callable[[Path, Sound], Target]] = {
    "parse-tflite": _parse("tflite"),
    "parse-onnx": _parse("onnx"),
    "litert": _model(_Model, "tflite", "litert"),
    "litert-listed": _model(_Listed, "tflite", "litert"),
    "tflite": _model(_Model, "tflite", "tflite"),
    "tflite-listed": _model(_Listed, "tflite", "tflite"),
    "numpy": _model(_Model, "tflite", "numpy"),
    "numpy-listed": _model(_Listed, "tflite", "numpy"),
    "onnx": _model(_Model, "onnx", "onnx"),
    "onnx-listed": _model(_Listed, "onnx", "onnx"),
    "tampered": _Tampered,
    "manifest": _Manifest,
    "keys": _Keys,
    "picture": _Picture,
    "array": _Array,
    "idx": _Idx,
    "npz": _Npz,
    "http": _Http,
}
# Targets of pure Python whose input is one file; Atheris can guide these.
GUIDED = ("parse-tflite", "parse-onnx", "manifest", "keys", "idx", "npz")


def available(name: str) -> bool:
    """Return whether the runtime of a target is installed."""
    backend = name.partition("-")[0]
    return backend not in backends.RUNTIMES or backend in {
        runtime.backend for runtime in backends.installed()
    } | {"numpy"}
