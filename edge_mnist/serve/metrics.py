"""What was done, for Prometheus: its text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import resource
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Counts of times by upper bound, in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self._sum_s = 0.0

    def observe(self, time_s: float) -> None:
        """Count one time."""
        self._counts[bisect_left(_BOUNDS_S, time_s)] += 1
        self._sum_s += time_s

    def lines(self, name: str) -> Iterator[str]:
        """Yield the samples; a bucket holds all that is not above its bound."""
        below = 0
        for bound, count in zip((*_BOUNDS_S, "+Inf"), self._counts, strict=True):
            below += count
            yield f'{name}_bucket{{le="{bound}"}} {below}'
        yield f"{name}_sum {self._sum_s:.6f}"
        yield f"{name}_count {below}"


class Metrics:
    """The counts of one process. Only the event loop's thread writes to them."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.images: Counter[str] = Counter()
        self.reloads: Counter[str] = Counter()
        self.body_bytes = 0
        self.request_time = Histogram()
        self.predict_time = Histogram()

    def text(self, *, waiting: int, held_bytes: int) -> str:
        """Return all of it; `waiting` requests are in the queue now."""
        lines: list[str] = []
        for name, kind, help, samples in self._families(waiting, held_bytes):
            lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}", *samples]
        return "\n".join(lines) + "\n"

    def _families(
        self, waiting: int, held_bytes: int
    ) -> Iterator[tuple[str, str, str, Sequence[str]]]:
        requests, images, reloads = (
            f"edge_mnist_{name}_total" for name in ("requests", "images", "reloads")
        )
        yield requests, "counter", "Requests answered.", _labelled(requests, "code", self.statuses)
        yield images, "counter", "Images read.", _labelled(images, "model", self.images)
        yield reloads, "counter", "Reloads.", _labelled(reloads, "result", self.reloads)
        for name, kind, help, value in (
            ("request_bytes_total", "counter", "Bytes of bodies read.", self.body_bytes),
            ("queue_depth", "gauge", "Requests waiting or being worked on.", waiting),
            ("held_bytes", "gauge", "Bytes of bodies in memory.", held_bytes),
            ("peak_memory_bytes", "gauge", "Most resident memory so far.", _peak_bytes()),
        ):
            full = f"edge_mnist_{name}"
            yield full, kind, help, [f"{full} {value}"]
        for name, help, histogram in (
            ("request_seconds", "Time from a request's headers to its answer.", self.request_time),
            ("predict_seconds", "Time in the queue and of a worker.", self.predict_time),
        ):
            full = f"edge_mnist_{name}"
            yield full, "histogram", help, list(histogram.lines(full))


def _labelled(name: str, label: str, counts: Mapping[int, int] | Mapping[str, int]) -> list[str]:
    samples = sorted((_escaped(str(key)), count) for key, count in counts.items())
    return [f'{name}{{{label}="{key}"}} {count}' for key, count in samples]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In kilobytes, except on macOS.
    return peak if sys.platform == "darwin" else peak * 1024
