"""Buffers and the times at which they are in use in, their places in one block of memory out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Buffer:
    """A number of bytes that is in use from one step to another, both included."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """The size of the block in bytes, and the place of each buffer in it."""

    size: int
    places: Mapping[str, int]


# A step may write its result over its input from the lower end, `slack` bytes ahead of it.
Slack = Mapping[tuple[str, str], int]


def plan_memory(buffers: Mapping[str, Buffer], slack: Slack) -> Plan:
    """Return places for the buffers, such that none overwrites a byte that is still read.

    Args:
        buffers: by name.
        slack: for a pair (result, input): if the result begins at least that many bytes below the
            input, its bytes are written after those of the input below them were read.
    """
    orders = (
        sorted(buffers, key=lambda name: -buffers[name].size),
        sorted(buffers, key=lambda name: (buffers[name].first, -buffers[name].size)),
        sorted(buffers, key=lambda name: (-buffers[name].last, -buffers[name].size)),
    )
    return min((_place(order, buffers, slack) for order in orders), key=lambda plan: plan.size)


def _place(order: list[str], buffers: Mapping[str, Buffer], slack: Slack) -> Plan:
    """Place one buffer after the other where the block grows least."""
    places: dict[str, int] = {}
    for name in order:
        candidates = {0}
        for other, place in places.items():
            candidates |= {place + buffers[other].size, place - buffers[name].size}
            candidates |= {place - slack[pair] for pair in [(name, other)] if pair in slack}
            candidates |= {place + slack[pair] for pair in [(other, name)] if pair in slack}

        def span(candidate: int, name: str = name) -> tuple[int, int]:
            lowest = min([candidate, *places.values()])
            ends = [places[other] + buffers[other].size for other in places]
            return max([candidate + buffers[name].size, *ends]) - lowest, abs(candidate)

        fitting = [c for c in candidates if _fits(name, c, places, buffers, slack)]
        places[name] = min(fitting, key=span)
    start = min(places.values(), default=0)
    end = max((places[name] + buffers[name].size for name in places), default=0)
    return Plan(end - start, {name: place - start for name, place in places.items()})


def _fits(
    name: str, place: int, places: dict[str, int], buffers: Mapping[str, Buffer], slack: Slack
) -> bool:
    mine = buffers[name]
    for other, there in places.items():
        its = buffers[other]
        apart = mine.last < its.first or its.last < mine.first
        disjoint = place + mine.size <= there or there + its.size <= place
        below = (name, other) in slack and place + slack[name, other] <= there
        above = (other, name) in slack and there + slack[other, name] <= place
        if not (apart or disjoint or below or above):
            return False
    return True
