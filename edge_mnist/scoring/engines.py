"""Shards and a scorer in, summaries out, by processes of this machine or by actors of Ray."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import pickle
import threading
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from ..errors import ClusterError
from ..system import ray_cluster
from ..system.info import usable_cpus
from ..system.interruption import end_on_signals
from .reading import Shard
from .scorer import Scorer, Summary

# A worker has one thread. numpy's libraries would start one for each processor.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Times that Ray tries a shard again whose actor died.
_RETRIES = 2
_scorer: Scorer  # of a worker process


class Running(NamedTuple):
    """Workers at work: what they are, and a summary of each shard as it comes."""

    workers: str
    summaries: Iterator[Summary]


@contextlib.contextmanager
def local(shards: Sequence[Shard], scorer: Scorer, workers: int | None) -> Iterator[Running]:
    """Score in processes of this machine.

    Args:
        shards: one or more.
        scorer: a copy of it goes to each worker.
        workers: None for one a processor.
    """
    workers = min(workers or usable_cpus(), len(shards))
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    name = "local process" if workers == 1 else "local processes"
    with contextlib.closing(_in_processes(shards, scorer, workers)) as summaries:
        yield Running(f"{workers} {name}", summaries)


@contextlib.contextmanager
def on_ray(
    shards: Sequence[Shard], scorer: Scorer, workers: int | None, address: str | None
) -> Iterator[Running]:
    """Score in actors of Ray; arguments as for `local` and `ray_cluster.session`.

    Raises:
        ClusterError: Ray is not installed, no cluster answers, or the job cannot run there.
    """
    with ray_cluster.session(address, cpus=workers) as ray:
        workers = min(workers or int(ray.cluster_resources()["CPU"]), len(shards))
        name = "actor" if workers == 1 else "actors"
        place = f"the cluster at {address}" if address else "this machine"
        try:
            yield Running(
                f"{workers} {name} of Ray on {place}", _in_actors(shards, scorer, workers)
            )
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"Expected the cluster to run the job, got: {str(error).strip().splitlines()[-1]}; "
                f"each machine needs this version of edge-mnist, and pyarrow.",
                code="cluster-job",
            ) from error


def _in_processes(shards: Sequence[Shard], scorer: Scorer, workers: int) -> Generator[Summary]:
    todo, suspects = deque(shards), deque[Shard]()
    while todo or suspects:
        # After a death, those that were at work go one by one: the next death has one cause.
        alone = bool(suspects)
        running: dict[Future[Summary], Shard] = {}
        try:
            with _pool(scorer, 1 if alone else workers) as pool:
                yield from _feed(
                    pool, suspects if alone else todo, running, width=1 if alone else 2 * workers
                )
        except BrokenProcessPool:
            if alone:
                yield from map(_lost, running.values())
            else:
                suspects.extend(running.values())


def _feed(
    pool: ProcessPoolExecutor,
    todo: deque[Shard],
    running: dict[Future[Summary], Shard],
    *,
    width: int,
) -> Iterator[Summary]:
    """Keep `width` shards running; yield their summaries. Those that are lost stay in `running`."""
    while todo or running:
        while todo and len(running) < width:
            running[pool.submit(_score, todo[0])] = todo[0]
            todo.popleft()
        for future in concurrent.futures.wait(running, return_when=FIRST_COMPLETED).done:
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                raise error
            shard = running.pop(future)
            yield future.result() if error is None else _lost(shard, repr(error))


@contextlib.contextmanager
def _pool(scorer: Scorer, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes; end them at once if the body fails."""
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (scorer,))
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(scorer: Scorer) -> None:
    global _scorer
    _scorer = scorer
    end_on_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _score(shard: Shard) -> Summary:
    return _scorer.score(shard)


def _in_actors(shards: Sequence[Shard], scorer: Scorer, workers: int) -> Iterator[Summary]:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # A shard that ends its actor again and again does not end the job.
    context.max_errored_blocks = -1
    rows = [{"shard": pickle.dumps(shard)} for shard in shards]
    with warnings.catch_warnings():
        # Of the retries, until 2.64: see pyproject.toml. By default there is no end of them.
        warnings.simplefilter("ignore")
        scored = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            type(scorer),
            fn_constructor_args=scorer.arguments,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            max_task_retries=_RETRIES,
        )
    lost = {shard.result: shard for shard in shards}
    for row in scored.iter_rows():
        summary = pickle.loads(row["summary"])
        del lost[summary.result]
        yield summary
    yield from map(_lost, lost.values())


def _lost(shard: Shard, why: str = "its worker died, again and again") -> Summary:
    error = ClusterError(
        f"Expected a result of {shard.names[0]}, got none: {why[:200]}; a picture there may need "
        f"too much memory, or crash a library.",
        code="cluster-worker",
    )
    return Summary(shard.result, failure=(error.code, str(error)))
