"""The needs of a model file in, the runtime releases and the targets that load it out.

The needs of a file are names with versions: the builtin operators of a TFLite file; the opset,
the IR version and the version of DequantizeLinear of an ONNX file. `releases.json` lists what each
release adds to the one before it. LiteRT continues TensorFlow Lite.

The table was measured on x86-64. Each release loaded files that ask for every builtin operator in
every version (TFLite), or float32 and int8 files stamped with every opset and IR version (ONNX).
Two of its entries are not versions of operators:

- tflite-runtime below 2.10 loads int8 dense layers with per-channel scales, whose operator version
  did not change, and computes garbage: 11 % accuracy instead of 86 %.
- onnxruntime 1.6 loads opset 13 but has no kernel for its DequantizeLinear. int8 needs 1.7.

https://onnxruntime.ai/docs/reference/compatibility.html agrees except for 1.15. It states opset 19
and IR 8 for that release, whose CPU provider lacks kernels of opset 19 and accepts IR 9.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from edge_mnist.errors import ModelError

Needs = Mapping[str, int]

# A need that is not a builtin operator of TFLite. The name appears in messages.
PER_CHANNEL_DENSE = "int8 FULLY_CONNECTED per channel"


@dataclass(frozen=True)
class Release:
    """A measured release; `has` is the highest supported version of every need."""

    runtime: str
    version: str
    format: str
    has: Needs

    def missing(self, needs: Needs) -> str | None:
        """Return the first need that this release does not meet, such as "CONV_2D version 9"."""
        for name, version in needs.items():
            if version > self.has.get(name, 0):
                return f"{name} version {version}"
        return None


@dataclass(frozen=True)
class Target:
    """A kind of device.

    Attributes:
        name: as `--target` takes it.
        runtimes: the names and versions of the oldest releases that edge-mnist installs there.
            A target without runtimes accepts every file.
    """

    name: str
    runtimes: tuple[tuple[str, str], ...] = ()

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that at least one runtime of the target loads."""
        if not self.runtimes:
            return ("tflite", "onnx")
        return tuple(dict.fromkeys(release.format for release in self.releases))

    @property
    def releases(self) -> tuple[Release, ...]:
        """The measured releases of its runtimes."""
        return tuple(r for r in releases() if (r.runtime, r.version) in self.runtimes)

    def incompatibility(self, format: str, needs: Needs) -> str | None:
        """Return why some runtime of this target cannot load a file, or None if all can."""
        for release in self.releases:
            if release.format == format and (missing := release.missing(needs)):
                return f"needs {missing}, which {release.runtime} {release.version} does not have"
        return None

    def check(self, file: str, format: str, needs: Needs) -> None:
        """Make sure that every runtime of this target can load a file.

        Raises:
            ModelError: names the need and the runtime that does not meet it.
        """
        if reason := self.incompatibility(format, needs):
            raise ModelError(
                f"Expected files that {self.name} can load, got {file}, which {reason}; leave "
                f"that precision out, or export for another --target.",
                code="model-target",
            )


# tflite-runtime is the only runtime with wheels for 32-bit ARM. 2.14.0 is its last release.
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
    """Return the oldest release of each runtime that loads a file.

    Returns:
        By runtime, a version such as ">=2.10.0", or None if no release loads it.
    """
    oldest: dict[str, str | None] = {}
    for release in releases():
        if release.format == format and oldest.setdefault(release.runtime, None) is None:
            loads = release.missing(needs) is None
            oldest[release.runtime] = f">={release.version}" if loads else None
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
