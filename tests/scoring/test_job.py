"""`score` from end to end in processes of this machine: restart, refusals, deaths, a full disk."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from edge_mnist import Classifier
from edge_mnist.scoring import engines, job
from edge_mnist.scoring.reading import Shard
from edge_mnist.scoring.scorer import Model, Scorer, Summary
from edge_mnist.scoring.shards import plan
from edge_mnist.system.progress import Progress
from tests.conftest import SHIPPED, Cli
from tests.errors import assert_error, raises
from tests.scoring.inputs import DIGITS, images, pictures, results, rows, write_tar

QUIET = Progress(quiet=True)
pytestmark = pytest.mark.slow


class Deadly(Scorer):
    """A scorer that a certain picture kills."""

    def score(self, shard: Shard) -> Summary:
        """Score a shard, or die of it."""
        if "4.png" in shard.names:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(shard)


def test_the_command_scores_and_goes_on(cli: Cli, host: Cli, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(DIGITS, source)
    (source / "poison.png").write_text("no picture")
    os.mkfifo(source / "pipe.png")
    command = ("score", source, output, "--shard-size", "4", "--actors", "2")
    done = cli(*command)
    assert "Shards to score: 3, with 2 local processes" in done.stderr
    assert done.stdout.splitlines()[0] == "Shards: 3, of which 0 had a result before."
    assert done.stdout.splitlines()[2:] == [
        "No digit, or unsure: 0",
        "Error image-format: 1",
        "Error image-missing: 1",
    ]
    found = rows(output)
    assert [row["digit"] for row in found] == [*range(10), None, None]
    # What readers of folders of Parquet files see.
    assert pyarrow.parquet.read_table(output).num_rows == 12
    first, *others = results(output)
    before = {path: path.stat().st_mtime_ns for path in others}
    first.unlink()
    report = json.loads(cli(*command, "--json", "-q").stdout)
    assert (report["shards"], report["before"], report["images"]) == (3, 2, 4)
    assert {path: path.stat().st_mtime_ns for path in others} == before
    assert rows(output) == found
    again = json.loads(host(*command, "--json").stdout)
    assert (again["before"], again["images"], again["images_per_s"]) == (3, 0, None)
    assert set(again) == set(report)
    assert {path.name for path in output.iterdir() if path.suffix != ".parquet"} == {
        "_score.json",
        "_lock",
    }
    refuse_other_jobs(host, command, tmp_path)


def refuse_other_jobs(host: Cli, command: tuple[str | Path, ...], tmp_path: Path) -> None:
    """Expect that a finished folder is refused to every other job, and to a second one at once."""
    name, source, output, *options = command

    def refused(code: str, *arguments: str | Path) -> None:
        assert_error(host(name, *arguments, status=2), code)

    refused("output-other-job", source, output, *options, "--model", "nano")
    refused("output-other-job", source, output, *options, "--backend", "onnx")
    refused("output-other-job", source, output, "--shard-size", "5")
    refused("output-other-job", DIGITS, output, *options)
    refused("output-exists", DIGITS, source)
    refused("output-not-a-folder", DIGITS, source / "7.png")
    with (Path(output) / "_lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused("output-locked", source, output, *options)
    os.utime(Path(source) / "7.png", (1, 1))
    refused("output-stale", source, output, *options)
    (tmp_path / "empty").mkdir()
    refused("score-input", tmp_path / "empty", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    usage = host(name, source, output, "--engine", "local", "--address", "auto", status=2)
    assert "Expected --address with --engine ray" in usage.stderr


def test_without_pyarrow_the_error_names_the_extra(
    host: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = host("score", DIGITS, tmp_path / "out", status=2)
    assert_error(done, "score-pyarrow", "pip install 'edge-mnist[parquet]'")


def test_a_killed_worker_does_not_end_the_job(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", images(12_000))
    todo = plan(
        str(tmp_path / "a.npy"), output=tmp_path, shape=(28, 28), column=None, size=1_500
    ).shards
    scorer = Scorer(Model.of(Classifier()), str(tmp_path))
    with engines.local(todo, scorer, 2) as running:
        first = next(running.summaries)
        victims = multiprocessing.active_children()
        assert len(victims) == 2
        assert victims[0].pid is not None
        os.kill(victims[0].pid, signal.SIGKILL)
        done = [first, *running.summaries]
    assert [summary.failure for summary in done] == [None] * 8
    assert {summary.result for summary in done} == {shard.result for shard in todo}
    assert [row["row"] for row in rows(tmp_path)] == list(range(12_000))
    assert multiprocessing.active_children() == []


def test_a_picture_that_kills_fails_its_shard_alone(tmp_path: Path) -> None:
    todo = plan(str(DIGITS), output=tmp_path, shape=(28, 28), column=None, size=2).shards
    with engines.local(todo, Deadly(Model.of(Classifier()), str(tmp_path)), 2) as running:
        done = list(running.summaries)
    failed = [summary for summary in done if summary.failure]
    assert [summary.failure[0] for summary in failed if summary.failure] == ["cluster-worker"]
    assert [row["digit"] for row in rows(tmp_path)] == [0, 1, 2, 3, 6, 7, 8, 9]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_leaves_no_worker_and_goes_on(
    number: signal.Signals, host: Cli, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", images(40_000))
    output = tmp_path / "out"
    command = ("score", tmp_path / "a.npy", output, "--shard-size", "2000", "--actors", "2")
    program = Path(sys.executable).with_name("edge-mnist")
    with subprocess.Popen([program, *command], stderr=subprocess.PIPE, text=True) as process:
        while not results(output):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        # The workers have the same stderr: it ends with the last of them.
        assert process.stderr is not None
        said = process.stderr.read().split("\n")
    before = len(results(output))
    assert 0 < before < 20
    if number == signal.SIGTERM:
        assert [line for line in said if line][2:] == ["edge-mnist: error: interrupted by SIGTERM"]
        assert [path for path in output.iterdir() if path.name[0] == "."] == []
    report = json.loads(host(*command, "--json").stdout)
    assert (report["before"], report["images"]) == (before, 40_000 - 2_000 * before)
    assert [row["row"] for row in rows(output)] == list(range(40_000))
    assert [path for path in output.iterdir() if path.name[0] == "."] == []


def test_a_broken_archive_is_named_and_mended(host: Cli, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    whole = write_tar(source / "a.tar", pictures())
    (source / "b.tar").write_bytes(whole.read_bytes()[:9_000])
    done = host("score", source, output, status=1)
    assert_error(done, "gate-shards")
    assert f"warning: Expected to read {source / 'b.tar'}" in done.stderr
    write_tar(source / "b.tar", pictures())
    assert host("score", source, output).stdout.startswith("Shards: 2, of which 1 had")
    assert [row["digit"] for row in rows(output)] == [*range(10)] * 2


def test_another_bundle_on_a_worker_is_refused_by_its_hash(tmp_path: Path) -> None:
    bundle, output = tmp_path / "bundle", tmp_path / "out"
    shutil.copytree(SHIPPED, bundle)
    classifier = Classifier(bundle)
    model = Model.of(classifier)
    with (bundle / "manifest.json").open("a") as manifest:
        manifest.write("\n")
    with raises("cluster-model", model.sha256[:12], str(bundle)):
        job.score(str(DIGITS), output, classifier, model, workers=1, progress=QUIET)
    assert results(output) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", place)
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_ends_the_job_and_it_goes_on(small_disk: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", images(10_000))
    output, classifier = small_disk / "out", Classifier()

    def run() -> job.Report:
        return job.score(
            str(tmp_path / "a.npy"),
            output,
            classifier,
            Model.of(classifier),
            shard_size=1_000,
            workers=1,
            progress=QUIET,
        )

    with raises("output-unwritable", "No space left"):
        run()
    written = len(results(output))
    assert 0 < written < 10
    assert [path for path in output.iterdir() if path.name.startswith(".")] == []
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    report = run()
    assert (report.before, report.images) == (written, 1_000 * (10 - written))
    assert [row["row"] for row in rows(output)] == list(range(10_000))
