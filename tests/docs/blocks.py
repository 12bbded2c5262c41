"""A Markdown document in, its code blocks and the markers above them out.

A marker is a comment on the line above a block:

    <!-- not run: REASON -->                    no test runs the block
    <!-- not run: REASON; instead: COMMAND -->  the test runs COMMAND instead
    <!-- run: COMMAND -->                       the same, where COMMAND is the block's own last part
    <!-- status: 0 or 1 -->                     the exit status may be either
    <!-- printed -->                            the commands above the block print its lines
    <!-- of: COMMAND -->                        COMMAND prints JSON with the block's keys
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEYS = ("not run", "run", "status", "printed", "of")
LANGUAGES = ("sh", "console", "python", "json", "text", "c", "yaml")
_BLOCK = re.compile(
    r"^(?:<!-- (?P<marker>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
# Numbers of two characters or more; a single digit may be a label.
_NUMBER = re.compile(r"[+-]?\d[\d.,]*e[+-]?\d+|[+-]?\d[\d.,]+|[+-]\d")


@dataclass(frozen=True)
class Block:
    """A fenced block: `marker` and `value` are the two parts of the comment above it."""

    place: str
    language: str
    text: str
    marker: str = ""
    value: str = ""
    instead: str = ""

    @property
    def commands(self) -> list[str]:
        """The shell commands to run, in order."""
        if self.marker == "run":
            return [self.value]
        if self.marker == "not run":
            return [self.instead] if self.instead else []
        if self.language == "sh":
            return [self.text]
        if self.language == "console":
            return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return []

    @property
    def output(self) -> list[str]:
        """The lines that commands print; the ellipsis stands for others."""
        if self.language == "console":
            lines = [line for line in self.text.splitlines() if not line.startswith("$ ")]
        else:
            lines = self.text.splitlines() if self.marker == "printed" else []
        return [line for line in lines if line.strip() not in ("", "…")]


def read_blocks(document: Path) -> Iterator[Block]:
    """Yield the code blocks of a document."""
    text = document.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        marker, _, value = (match["marker"] or "").partition(": ")
        value, _, instead = value.partition("; instead: ")
        place = f"{document.name}:{line}"
        yield Block(place, match["language"], match["text"], marker, value, instead)


def comparable(line: str) -> str:
    """Return a line of output without what differs between runs: measured numbers, data, spaces."""
    data = re.sub(r"\b(mnist|synthetic)-", "DATA-", line)
    return " ".join(_NUMBER.sub("#", data).split())
