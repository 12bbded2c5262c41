"""A shard in, its pictures or arrays out, a few at a time, each with its place."""

from __future__ import annotations

import contextlib
import math
import tarfile
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, EdgeMnistError, ImageError, OutputError
from ..system.install import extra
from ..vision.decode import MAX_PICTURE_BYTES, PICTURE_SUFFIXES

Kind = Literal["arrays", "parquet", "pictures", "tar"]
_ARRAYS, _PICTURES = 1_000, 16  # Read at a time.
_ARRAY_NAMES = ("images", "x_test")
_PLACES = ("path", "file_name", "__key__", "id")


class Shard(NamedTuple):
    """A unit of work. Its result is one file.

    Attributes:
        kind: of the files.
        root: a folder.
        names: the paths of the files in it; several only of pictures.
        column: the name of a column or an array.
        start: the first image of an array.
        stop: the one behind the last.
        result: the name of the result's file.
    """

    kind: Kind
    root: str
    names: tuple[str, ...]
    column: str | None = None
    start: int = 0
    stop: int = 0
    result: str = ""


class Batch(NamedTuple):
    """Images, and where they stand.

    Attributes:
        paths: of each image; one for all that are parts of one file.
        row: the place of the first in its file; None if that has none.
        images: (n, …) uint8 of the model's shape; or pictures, with an error in place of each
            that cannot be read.
    """

    paths: str | Sequence[str]
    row: int | None
    images: NDArray[np.uint8] | Sequence[str | bytes | EdgeMnistError]


class Array:
    """The images of a `.npy` or `.npz` file, read from front to back: memory holds none.

    Args:
        path: the file.
        name: of an array of the `.npz`; None to find it.
        shape: of one image.

    Raises:
        DataError: it is no such file.
    """

    def __init__(self, path: Path, name: str | None, shape: tuple[int, ...]) -> None:
        self._path, self.name = path, name
        with reading(path):
            self._stream = self._open()
            weakref.finalize(self, self._stream.close)
            version = np.lib.format.read_magic(self._stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0}
            found, fortran, dtype = read.get(version, np.lib.format.read_array_header_2_0)(
                self._stream
            )
            self._start = self._stream.tell()
        count = math.prod(shape)
        if (
            dtype != np.uint8
            or fortran
            or 0 in found
            or found[1:] not in (shape, (*shape, 1), (count,))
        ):
            raise DataError(
                f"Expected images of shape (n, {', '.join(map(str, shape))}) and dtype uint8 in "
                f"{path}, got {found} {dtype}; convert them.",
                code="score-array",
            )
        self.count, self._shape = found[0], shape

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the images from `start` on, before `stop`."""
        size = math.prod(self._shape)
        with reading(self._path):
            self._stream.seek(self._start + start * size)
            content = self._stream.read((stop - start) * size)
            return np.frombuffer(content, np.uint8).reshape(stop - start, *self._shape)

    def _open(self) -> IO[bytes]:
        if self._path.suffix.lower() == ".npy":
            return self._path.open("rb")
        archive = zipfile.ZipFile(self._path)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if self.name is None:
            known = [name for name in _ARRAY_NAMES if name in names]
            self.name = (known if known else names)[0] if known or len(names) == 1 else None
        if self.name not in names:
            raise _unnamed(self._path, "array", names)
        return archive.open(f"{self.name}.npy")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a missing, broken or hostile file raises into a DataError."""
    try:
        yield
    except EdgeMnistError:
        raise
    # The parsers of four formats raise all kinds, from TypeError to zlib.error.
    except Exception as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"Expected to read {path}, got: {' '.join(why.split())[:200]}; check it, or write it "
            f"again.",
            code="score-file",
        ) from error


def pyarrow() -> Any:
    """Return pyarrow with its module for Parquet.

    Raises:
        OutputError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401 - an attribute of the other
    except ModuleNotFoundError as error:
        raise OutputError(
            f"Expected pyarrow for Parquet, which is not installed; {extra('parquet')}",
            code="score-pyarrow",
        ) from error
    return pyarrow


def find_column(path: Path, column: str | None, shape: tuple[int, ...]) -> str:
    """Return the name of the column with images: `column`, `image`, or the only one that fits.

    Raises:
        DataError: there is none, or there are several.
    """
    with reading(path):
        schema = pyarrow().parquet.read_schema(path)
    fit = [field.name for field in schema if _holds_images(field.type, math.prod(shape))]
    wanted = column or ("image" if "image" in fit else None)
    if wanted is None and len(fit) == 1:
        return str(fit[0])
    if wanted is None or wanted not in fit:
        raise _unnamed(path, "column", fit)
    return wanted


def _unnamed(path: Path, what: str, names: Sequence[str]) -> DataError:
    return DataError(
        f"Expected one {what} of images in {path}, got {', '.join(names)[:200] or 'none'}; choose "
        f"one with --column.",
        code="score-column",
    )


def _holds_images(kind: Any, size: int) -> bool:
    """Whether a column holds encoded pictures, alone or in a struct, or `size` uint8 a row."""
    types = pyarrow().types
    if types.is_struct(kind):
        return any(kind[i].name == "bytes" for i in range(kind.num_fields))
    if types.is_fixed_size_list(kind):
        return bool(kind.list_size == size and types.is_uint8(kind.value_type))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


class Reader:
    """Reads shards; keeps an array open from one to the next.

    Args:
        shape: the model's input.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._array: tuple[Path, Array] | None = None

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield a shard's images.

        Raises:
            DataError: a file of several images cannot be read.
        """
        path = Path(shard.root, shard.names[0])
        if shard.kind == "pictures":
            yield Batch(shard.names, None, [_picture(Path(shard.root, n)) for n in shard.names])
        elif shard.kind == "tar":
            yield from _read_tar(path, shard.names[0])
        elif shard.kind == "parquet":
            yield from self._read_parquet(path, shard)
        else:
            yield from self._read_array(path, shard)

    def _read_array(self, path: Path, shard: Shard) -> Iterator[Batch]:
        if self._array is None or self._array[0] != path:
            self._array = path, Array(path, shard.column, self._shape)
        for start in range(shard.start, shard.stop, _ARRAYS):
            stop = min(shard.stop, start + _ARRAYS)
            yield Batch(shard.names[0], start, self._array[1].read(start, stop))

    def _read_parquet(self, path: Path, shard: Shard) -> Iterator[Batch]:
        with reading(path):
            file, row = pyarrow().parquet.ParquetFile(path), 0
            named = next((name for name in _PLACES if name in file.schema_arrow.names), None)
            pixels = hasattr(file.schema_arrow.field(shard.column).type, "list_size")
            size = _ARRAYS if pixels else _PICTURES
            columns = [shard.column, *([named] if named else [])]
            for batch in file.iter_batches(size, columns=columns):
                column = batch.column(shard.column)
                names = batch.column(named).to_pylist() if named else [None] * len(column)
                if pixels and not column.null_count:
                    images = column.flatten().to_numpy().reshape(-1, *self._shape)
                else:
                    values = column.to_pylist()
                    images = [self._picture(value) for value in values]
                    if not named:
                        names = [v.get("path") if isinstance(v, dict) else None for v in values]
                file_name = shard.names[0]
                yield Batch([f"{file_name}/{n}" if n else file_name for n in names], row, images)
                row += len(column)

    def _picture(self, value: Any) -> Any:
        """Return a value of a column as a picture, or an error."""
        if isinstance(value, dict):
            value = value["bytes"]
        if value is None:
            return ImageError(
                "Expected a picture, got null; leave out such rows, or fill them.",
                code="score-null",
            )
        return np.reshape(value, self._shape).astype(np.uint8) if isinstance(value, list) else value


def _picture(path: Path) -> str | ImageError:
    """Return the path of a picture. A pipe would let its worker wait for ever."""
    if path.exists() and not path.is_file():
        kind = "a pipe or a device"
        return ImageError(f"Expected a picture at {path}, got: {kind}.", code="image-missing")
    return str(path)


def _read_tar(path: Path, name: str) -> Iterator[Batch]:
    """Yield the pictures of an archive. Nothing is unpacked, and links are not followed."""
    with reading(path), tarfile.open(path, "r:") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # Else it remembers them all.
            suffix = Path(member.name).suffix.lower()
            if member.isreg() and not member.issparse() and suffix in PICTURE_SUFFIXES:
                yield Batch([f"{name}/{member.name}"], None, [_member(archive, member)])


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | ImageError:
    if member.size > MAX_PICTURE_BYTES:
        return ImageError(
            f"Expected a picture of at most {MAX_PICTURE_BYTES // 10**6} MB, got {member.size} "
            f"bytes; make it smaller first.",
            code="image-too-large",
        )
    file = archive.extractfile(member)
    assert file is not None  # It is a regular file.
    return file.read()
