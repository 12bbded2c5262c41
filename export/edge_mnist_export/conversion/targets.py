"""What a file needs of its runtime, which releases have it, and what a target can load.

A file's needs are names with versions: of a TFLite file its builtin ops, of an ONNX file its
opset, its IR version and DequantizeLinear. `releases.json` holds what each release adds to the
one before; LiteRT continues TensorFlow Lite. All of it was measured, on x86-64, with each
release loading a file that asks for every builtin op in every version (TFLite), or float32 and
int8 files stamped with every opset and IR version (ONNX). Two of its lines are no op versions:

- Below 2.10 tflite-runtime loads int8 dense layers with a scale per channel, whose op version
  is that of older ones, and answers nonsense: 11 % on digits it should read at 86 %.
- onnxruntime 1.6 takes opset 13 and has no kernel for its DequantizeLinear: int8 needs 1.7.

https://onnxruntime.ai/docs/reference/compatibility.html agrees but for 1.15, of which it says opset
19 and IR 8: its CPU provider has not all kernels of opset 19 yet, and it takes IR 9.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from edge_mnist.errors import ModelError

Needs = Mapping[str, int]

# Needs that are no builtin op of TFLite; the names stand in messages.
PER_CHANNEL_DENSE = "int8 FULLY_CONNECTED per channel"


@dataclass(frozen=True)
class Release:
    """A measured release; `has` is the highest version of every need that it knows."""

    runtime: str
    version: str
    format: str
    has: Needs

    def lacks(self, needs: Needs) -> str | None:
        """Return the first need that this release does not meet, such as "CONV_2D version 9"."""
        for name, version in needs.items():
            if version > self.has.get(name, 0):
                return f"{name} version {version}"
        return None


@dataclass(frozen=True)
class Target:
    """A kind of device: `runtimes` are the oldest releases that edge-mnist installs there."""

    name: str
    runtimes: tuple[tuple[str, str], ...] = ()

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that something there can load."""
        if not self.runtimes:
            return ("tflite", "onnx")
        return tuple(dict.fromkeys(release.format for release in self.releases))

    @property
    def releases(self) -> tuple[Release, ...]:
        """The measured releases of its runtimes."""
        return tuple(r for r in releases() if (r.runtime, r.version) in self.runtimes)

    def refusal(self, format: str, needs: Needs) -> str | None:
        """Return why a file would not load in every runtime of this target, or None."""
        for release in self.releases:
            if release.format == format and (lacking := release.lacks(needs)):
                return f"needs {lacking}, which {release.runtime} {release.version} does not have"
        return None

    def check(self, file: str, format: str, needs: Needs) -> None:
        """Refuse a file that some runtime of this target cannot load.

        Raises:
            ModelError: names what it needs and who does not have it.
        """
        if refusal := self.refusal(format, needs):
            raise ModelError(
                f"Expected files that {self.name} can load, got {file}, which {refusal}; leave "
                f"that precision out, or export for another --target."
            )


# tflite-runtime is the only one with wheels for 32-bit ARM, and 2.14.0 is its last release.
_TFLITE = ("tflite-runtime", "2.14.0")
TARGETS = {
    target.name: target
    for target in (
        Target("generic"),
        Target(
            "raspberry-pi-64", (_TFLITE, ("ai-edge-litert", "2.0.2"), ("onnxruntime", "1.17.0"))
        ),
        Target("raspberry-pi-32", (_TFLITE,)),
    )
}


def loads_in(format: str, needs: Needs) -> dict[str, str | None]:
    """Return, by runtime, the oldest release that runs a file: ">=2.10.0", or None for none."""
    oldest: dict[str, str | None] = {}
    for release in releases():
        if release.format == format and oldest.setdefault(release.runtime, None) is None:
            fits = release.lacks(needs) is None
            oldest[release.runtime] = f">={release.version}" if fits else None
    return oldest


@functools.cache
def releases() -> Sequence[Release]:
    """Return the measured releases, the oldest of each format first."""
    table = json.loads((files(__package__) / "releases.json").read_text(encoding="utf-8"))
    return tuple(release for format, rows in table.items() for release in _read(format, rows))


def _read(format: str, rows: Sequence[Mapping[str, str | Needs]]) -> Iterator[Release]:
    has: dict[str, int] = {}
    for row in rows:
        adds = row["adds"]
        assert isinstance(adds, dict)
        has |= adds
        yield Release(str(row["runtime"]), str(row["release"]), format, dict(has))
