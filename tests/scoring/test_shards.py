"""Inputs of each kind and the shards they become, in this process."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edge_mnist import Classifier
from edge_mnist.scoring.reading import Array
from edge_mnist.scoring.scorer import Model, Scorer, Summary
from edge_mnist.scoring.shards import Plan, plan
from tests.errors import check_message, raises
from tests.scoring.inputs import DIGITS, images, pictures, rows, write_tar

SHAPE = (28, 28)


def planned(given: Path, column: str | None = None, size: int | None = None) -> Plan:
    return plan(str(given), output=given / "out", shape=SHAPE, column=column, size=size)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


def scored(given: Path, classifier: Classifier, output: Path, **options: object) -> list[Summary]:
    """Score all shards with one scorer."""
    output.mkdir(exist_ok=True)
    scorer = Scorer(Model.of(classifier), str(output))
    return [scorer.score(shard) for shard in planned(given, **options).shards]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.npy", "stored.npz", "deflated.npz", "flat.npy", "last.npy"])
def test_arrays_are_answered_as_predict_does(
    name: str, classifier: Classifier, tmp_path: Path
) -> None:
    """In slices, from both kinds of files, and from one file to the next and back."""
    arrays = np.concatenate([images(60), np.zeros((5, 28, 28), np.uint8)])
    shapes = {"flat": (65, 784), "last": (65, 28, 28, 1)}
    shaped = arrays.reshape(shapes.get(name.partition(".")[0], arrays.shape))
    if name.endswith(".npy"):
        np.save(tmp_path / name, shaped)
    else:
        (np.savez if name[0] == "s" else np.savez_compressed)(
            tmp_path / name, x_test=shaped, y_test=np.zeros(65)
        )
    done = scored(tmp_path / name, classifier, tmp_path / "out", size=20)
    found = rows(tmp_path / "out")
    assert [summary.images for summary in done] == [20, 20, 20, 5]
    assert [row["row"] for row in found] == list(range(65))
    predictions = [classifier.predict(image) for image in arrays]
    for row, expected in zip(found, predictions, strict=True):
        assert (row["digit"], row["reason"]) == (expected.digit, expected.reason)
        assert row["confidence"] == np.float32(expected.confidence)
        assert (row["path"], row["error"]) == (name, None)
    rejected = sum(expected.digit is None for expected in predictions)
    assert sum(summary.rejected for summary in done) == rejected > 0


def test_a_poisoned_picture_is_a_row(classifier: Classifier, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deeper").mkdir(parents=True)
    for name, content in pictures().items():
        (source / "deeper" / name).write_bytes(content)
    (source / "broken.png").write_bytes(pictures()["7.png"][:200])
    (source / "text.jpg").write_text("no picture")
    (source / "gone.png").symlink_to("nowhere")
    os.mkfifo(source / "notes.txt")
    (source / "._7.png").write_text("of a Macintosh")
    (source / "deeper" / "0.png").rename(source / "deeper" / "\udcff.png")
    done = scored(source, classifier, tmp_path / "out", size=5)
    found = {row["path"]: row for row in rows(tmp_path / "out")}
    assert sum(summary.images for summary in done) == len(found) == 13
    for digit in range(1, 10):
        assert found[f"deeper/{digit}.png"]["digit"] == digit
    assert found["deeper/\\udcff.png"]["digit"] == 0
    errors = {path: row["error"] for path, row in found.items() if row["error"]}
    assert errors == {
        "broken.png": "image-broken",
        "text.jpg": "image-format",
        "gone.png": "image-missing",
    }
    for path, code in errors.items():
        assert found[path]["digit"] is found[path]["confidence"] is None
        check_message(found[path]["reason"], code)
    assert sum(sum(summary.errors.values()) for summary in done) == 3


def test_an_archive_is_read_and_not_unpacked(classifier: Classifier, tmp_path: Path) -> None:
    link, device = tarfile.TarInfo("link.png"), tarfile.TarInfo("device.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type = tarfile.CHRTYPE
    members = {
        "../../7.png": pictures()["7.png"],
        "000.cls": b"7",
        "link.png": link,
        "device.png": device,
        "000.PNG": pictures()["3.png"],
        "001.png": b"poison",
    }
    write_tar(tmp_path / "a.tar", members)
    (summary,) = scored(tmp_path / "a.tar", classifier, tmp_path / "out")
    found = [(row["path"], row["digit"], row["error"]) for row in rows(tmp_path / "out")]
    assert found == [
        ("a.tar/../../7.png", 7, None),
        ("a.tar/000.PNG", 3, None),
        ("a.tar/001.png", None, "image-format"),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "out"}
    # A header that promises more than memory holds is refused by its size alone.
    huge = tarfile.TarInfo("huge.png")
    huge.size = 1 << 40
    (tmp_path / "b.tar").write_bytes(huge.tobuf() + b"x" * 1024)
    (summary,) = scored(tmp_path / "b.tar", classifier, tmp_path / "out")
    assert summary.failure is not None and summary.failure[0] == "score-file"


@pytest.mark.parametrize("content", [b"", b"no archive", b"cut"])
def test_a_broken_archive_fails_alone(
    content: bytes, classifier: Classifier, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    whole = write_tar(source / "b.tar", pictures()).read_bytes()
    (source / "a.tar").write_bytes(whole[:9_000] if content == b"cut" else content)
    first, second = scored(source, classifier, tmp_path / "out")
    assert first.failure and first.failure[0] in ("score-file", "score-empty")
    check_message(first.failure[1], first.failure[0])
    assert second.images == len(rows(tmp_path / "out")) == 10


def test_parquet_of_pictures_and_of_pixels(classifier: Classifier, tmp_path: Path) -> None:
    encoded = list(pictures().values())
    structs = [{"bytes": content, "path": f"{n}.png"} for n, content in enumerate(encoded)]
    structs[3] = {"bytes": None, "path": None}
    pq.write_table(pa.table({"image": structs, "label": range(10)}), tmp_path / "hub.parquet")
    pq.write_table(pa.table({"scan": [*encoded, None]}), tmp_path / "plain.parquet")
    arrays = images(7)
    kind = pa.list_(pa.uint8(), 784)
    flat = arrays.reshape(7, 784).tolist()
    columns = {"x": pa.array([*flat, None], kind), "id": [f"n{n}" for n in range(8)]}
    pq.write_table(pa.table(columns), tmp_path / "null.parquet")
    pq.write_table(pa.table({"x": pa.array(flat, kind)}), tmp_path / "pixels.parquet")
    for name, count in (("hub", 10), ("plain", 11), ("null", 8), ("pixels", 7)):
        output = tmp_path / name
        (summary,) = scored(tmp_path / f"{name}.parquet", classifier, output)
        found = rows(output)
        assert [row["row"] for row in found] == list(range(count)), summary
    hub, plain, null = (rows(tmp_path / name) for name in ("hub", "plain", "null"))
    assert [row["digit"] for row in hub] == [0, 1, 2, None, *range(4, 10)]
    assert (hub[4]["path"], hub[3]["path"]) == ("hub.parquet/4.png", "hub.parquet")
    assert [row["digit"] for row in plain] == [*range(10), None]
    assert null[7]["error"] == hub[3]["error"] == plain[10]["error"] == "score-null"
    assert null[2]["path"] == "null.parquet/n2"
    expected = [classifier.predict(image).digit for image in arrays]
    assert [row["digit"] for row in rows(tmp_path / "pixels")] == expected
    assert [row["digit"] for row in null[:7]] == expected


def test_a_result_belongs_to_a_version_of_its_input(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, images(30))
    first = planned(file, size=20)
    assert [(s.start, s.stop) for s in first.shards] == [(0, 20), (20, 30)]
    assert planned(file, size=20) == first
    os.utime(file, ns=(1, 1))
    again = planned(file, size=20)
    assert not {s.result for s in again.shards} & {s.result for s in first.shards}
    assert len({s.result for s in planned(DIGITS, size=3).shards}) == 4


def test_memory_holds_a_slice_of_a_large_array(tmp_path: Path) -> None:
    file = tmp_path / "sparse.npy"
    header = np.lib.format.open_memmap(file, "w+", np.uint8, (10**9, 28, 28))
    del header
    assert Array(file, None, SHAPE).read(999_999_990, 10**9).shape == (10, 28, 28)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *(("missing", "score-file"), ("empty", "score-input"), ("mixed", "score-input")),
        *(("other.txt", "score-input"), ("float.npy", "score-array"), ("none.npy", "score-array")),
        *(("text.npy", "score-file"), ("objects.npy", "score-array"), ("two.npz", "score-column")),
        *(("text.npz", "score-file"), ("text.parquet", "score-file")),
        *(("two.parquet", "score-column"), ("words.parquet", "score-column")),
    ],
)
def test_an_input_that_cannot_be_read_is_one_error(name: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name in ("empty", "mixed"):
        path.mkdir()
    if name == "mixed":
        (path / "a.png").write_bytes(b"")
        (path / "b.tar").write_bytes(b"")
    if name.startswith(("other", "text")):
        path.write_text("text")
    arrays = {
        "float.npy": np.zeros((2, 28, 28)),
        "none.npy": np.zeros((0, 28, 28), np.uint8),
        "objects.npy": np.array([{}, None], object),
    }
    if name in arrays:
        np.save(path, arrays[name])
    if name == "two.npz":
        np.savez(path, a=np.zeros(1), b=np.zeros(1))
    if name == "two.parquet":
        pq.write_table(pa.table({"a": [b"x"], "b": [b"y"]}), path)
    if name == "words.parquet":
        pq.write_table(pa.table({"a": ["x"]}), path)
    with raises(code, str(path)):
        planned(path)


def test_an_array_that_is_shorter_than_it_says_fails_where_it_ends(
    classifier: Classifier, tmp_path: Path
) -> None:
    file = tmp_path / "a.npy"
    np.save(file, images(30))
    os.truncate(file, 128 + 784 * 25)
    first, second = scored(file, classifier, tmp_path / "out", size=15)
    assert first.images == 15
    assert second.failure and second.failure[0] == "score-file"


def test_an_archive_member_of_arrays_that_is_damaged_fails(
    classifier: Classifier, tmp_path: Path
) -> None:
    file = tmp_path / "a.npz"
    np.savez_compressed(file, images=images(30))
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        middle = archive.infolist()[0].compress_size // 2
    content[middle : middle + 40] = bytes(40)
    file.write_bytes(content)
    (summary,) = scored(file, classifier, tmp_path / "out")
    assert summary.failure and summary.failure[0] == "score-file"
    assert list((tmp_path / "out").iterdir()) == []
