"""Bad use of `edge-mnist train`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.errors import assert_error, error_line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "0 is not in the range x>=1"),
        (["--data", "synthetic", "--labels", "sparse"], "Expected --labels one-hot with an aug"),
        (["--arch", "resnet"], "'resnet' is not one of 'pico', 'nano', 'edge', 'accurate', 'seed'"),
        (["--arch", "edge", "--max-size", "10KB"], "Expected --arch or limits to choose it by"),
        (["--max-size", "ten"], "expected a size such as 15KB or 15KiB, got 'ten'"),
        (["--max-latency-us", "0"], "0 is not in the range x>0"),
        (["--max-size", "0"], "expected a size such as 15KB or 15KiB, got '0'"),
        (["--recipe", "best"], "'best' is not one of 'plain', 'standard', 'full'"),
        (["--data", "synthetic", "--teacher", "none.tflite"], "got none.tflite, which does not"),
        (
            ["--data", "synthetic", "--arch", "seed", "--teacher", "edge"],
            "Expected --teacher with an augmented recipe",
        ),
        (["--data", "nowhere"], "got nowhere, which does not exist"),
        (["--data", "synthetic", "--out", "taken"], "got taken, which holds something"),
        (["--data", "synthetic", "--out", "taken/file"], "got the file taken/file"),
        (["--data", "synthetic", "--out", "taken/file/run"], "Expected to write taken/file/run"),
        (["--data", "synthetic", "--out", "/proc/run"], "Expected to write /proc/run"),
    ],
)
def test_bad_use_ends_in_one_line_and_writes_nothing(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    done = cli("train", *arguments, cwd=tmp_path, status=2)
    assert message in error_line(done)
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "file"]


def test_a_wrong_keras_backend_is_named(cli: Cli) -> None:
    done = cli("train", "--data", "synthetic", env={"KERAS_BACKEND": "torch"}, status=2)
    assert_error(done, "host-backend-unknown", "tensorflow or jax", "'torch'")
