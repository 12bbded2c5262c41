"""Counts and times of requests in; the text that Prometheus scrapes out."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from .stage_times import StageTimes

# The format that `generate_latest` writes: Prometheus text format 0.0.4.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Registry(CollectorRegistry):
    """A registry without `_created` series; the library can only switch them off globally."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric


class Metrics:
    """The metrics of one service, in a registry of its own.

    Args:
        queue_depth: returns the number of requests that wait or are being worked on.
        held_bytes: returns the size of all request bodies in memory.
    """

    def __init__(
        self, *, queue_depth: Callable[[], float], held_bytes: Callable[[], float]
    ) -> None:
        self._registry = _Registry()
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry, buckets=_BUCKETS_S)
        self.requests = counter("edge_mnist_requests_total", "Requests answered.", ["code"])
        self.images = counter("edge_mnist_images_total", "Images classified.", ["model"])
        stages = counter("edge_mnist_stage_seconds_total", "Time in each stage.", ["stage"])
        self._stage_seconds = {stage: stages.labels(stage=stage) for stage in StageTimes.STAGES}
        self.reloads = counter("edge_mnist_reloads_total", "Reloads.", ["result"])
        self.request_bytes = counter("edge_mnist_request_bytes_total", "Bytes of bodies read.")
        for name, help, value in (
            ("queue_depth", "Requests that wait or are being worked on.", queue_depth),
            ("held_bytes", "Bytes of request bodies in memory.", held_bytes),
            ("peak_memory_bytes", "Peak resident memory of the process.", _peak_bytes),
        ):
            Gauge(f"edge_mnist_{name}", help, registry=self._registry).set_function(value)
        self.request_seconds = histogram(
            "edge_mnist_request_seconds", "Time from a request's headers to the end of its answer."
        )
        self.predict_seconds = histogram(
            "edge_mnist_predict_seconds", "Time in the queue and in a worker thread."
        )

    def add_stages(self, times: StageTimes) -> None:
        """Add the times of a request's stages."""
        for stage, counter in self._stage_seconds.items():
            counter.inc(getattr(times, f"{stage}_ns") / 1e9)

    def text(self) -> bytes:
        """Return all metrics in the format `MEDIA_TYPE`."""
        return generate_latest(self._registry)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Kilobytes, but bytes on macOS.
