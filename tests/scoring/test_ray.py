"""`score` on a Ray cluster: one of this machine, started once for all tests here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist.scoring import engines, job
from edge_mnist.scoring.scorer import Model, Scorer
from edge_mnist.scoring.shards import plan
from edge_mnist.system import ray_cluster
from edge_mnist.system.progress import Progress
from tests.conftest import Cli
from tests.errors import raises
from tests.scoring.inputs import DIGITS, images, rows
from tests.scoring.test_job import Deadly

# Ray Data warns of its own deprecated settings, and leaves sockets to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Cluster:
    """A running cluster: its address, and the processes of its workers."""

    def __init__(self, address: str, raylet: int) -> None:
        self.address, self._raylet = address, raylet

    def actors(self) -> list[int]:
        """Return the process ids of the actors that score."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                name = (folder / "cmdline").read_text()
            except OSError:
                continue
            if parent == self._raylet and "MapWorker" in name:
                found.append(int(folder.name))
        return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of one machine with two processors."""
    os.environ.update(ray_cluster._ENVIRONMENT)
    from ray.cluster_utils import Cluster as RayCluster

    started = RayCluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "object_store_memory": 100 << 20,
            "include_dashboard": False,
        },
        shutdown_at_exit=False,
    )
    (raylet,) = started.head_node.all_processes["raylet"]
    yield Cluster(started.address, raylet.process.pid)
    started.shutdown()


def test_the_command_scores_on_a_cluster(cluster: Cluster, host: Cli, tmp_path: Path) -> None:
    """With the results of local processes, to the byte, and an error for a poisoned picture."""
    source = tmp_path / "in"
    source.mkdir()
    for path in DIGITS.glob("*.png"):
        (source / path.name).write_bytes(path.read_bytes())
    (source / "poison.png").write_text("no picture")
    command = ("score", source, tmp_path / "out", "--shard-size", "4")
    done = host(*command, "--address", cluster.address)
    assert f"2 actors of Ray on the cluster at {cluster.address}" in done.stdout
    assert "Error image-format: 1" in done.stdout
    assert [row["digit"] for row in rows(tmp_path / "out")] == [*range(10), None]
    host(*command[:2], tmp_path / "local", *command[3:], "--engine", "local")
    for path in (tmp_path / "local").glob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_a_killed_actor_does_not_end_the_job(cluster: Cluster, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", images(12_000))
    todo = plan(
        str(tmp_path / "a.npy"), output=tmp_path, shape=(28, 28), column=None, size=1_500
    ).shards
    scorer = Scorer(Model.of(Classifier()), str(tmp_path))
    with engines.on_ray(todo, scorer, 2, cluster.address) as running:
        first = next(running.summaries)
        victims = cluster.actors()
        assert len(victims) == 2
        os.kill(victims[0], signal.SIGKILL)
        done = [first, *running.summaries]
    assert [summary.failure for summary in done] == [None] * 8
    assert [row["row"] for row in rows(tmp_path)] == list(range(12_000))


def test_a_picture_that_kills_fails_its_shard_alone(cluster: Cluster, tmp_path: Path) -> None:
    todo = plan(str(DIGITS), output=tmp_path, shape=(28, 28), column=None, size=2).shards
    scorer = Deadly(Model.of(Classifier()), str(tmp_path))
    with engines.on_ray(todo, scorer, 2, cluster.address) as running:
        done = list(running.summaries)
    failures = [summary.failure[0] for summary in done if summary.failure]
    assert failures == ["cluster-worker"]
    assert [row["digit"] for row in rows(tmp_path)] == [0, 1, 2, 3, 6, 7, 8, 9]


def test_another_bundle_on_a_machine_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    classifier = Classifier()
    model = Model.of(classifier)._replace(sha256="0" * 64)
    with raises("cluster-model", "0" * 12, model.sha256[:12]):
        job.score(
            str(DIGITS),
            tmp_path / "out",
            classifier,
            model,
            engine="ray",
            address=cluster.address,
            progress=Progress(quiet=True),
        )
