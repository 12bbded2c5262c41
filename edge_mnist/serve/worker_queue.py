"""Blocking functions in; their results out, from a bounded queue and a few threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .problem_details import overload_error
from .settings import Limits

Result = TypeVar("Result")


class WorkerQueue:
    """`limits.workers` threads, and at most `limits.queue` requests that wait or are worked on.

    Attributes:
        depth: number of requests that wait or are worked on.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="predict")
        self._lock = threading.Lock()
        self.depth = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """Call `work` in a thread and return its result.

        Raises:
            RequestError: the queue is full, or `limits.predict_s` has passed.
        """
        if self.depth >= self._limits.queue:
            raise overload_error(f"{self.depth} requests already waiting", code="request-queue")
        with self._lock:
            self.depth += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(self._limits.predict_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            got = f"no answer within {self._limits.predict_s:g} seconds"
            raise overload_error(got, code="request-timeout") from error

    def _leave(self, _: Future[Result]) -> None:
        # Called when the thread is free, so work that has timed out counts until then.
        with self._lock:
            self.depth -= 1

    def close(self) -> None:
        """Finish the submitted work, then end the threads."""
        self._pool.shutdown(wait=True)
