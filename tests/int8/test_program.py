"""numpy's program beside the arithmetic by hand, for every operator."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist.int8 import Graph
from edge_mnist.int8.program import Program
from tests.int8 import by_hand
from tests.int8.graphs import Builder, images, zoo

COUNT = 6


@pytest.mark.parametrize(("name", "graph"), zoo().items(), ids=list(zoo()))
def test_every_operator_equals_the_arithmetic_by_hand(name: str, graph: Graph) -> None:
    values = images(graph, COUNT)
    program = Program(graph, COUNT)
    for _ in range(2):  # nothing is left of the first run
        program.input[...] = values
        program.run()
        expected = [by_hand.run(graph, row.tolist()) for row in values]
        assert program.output.tolist() == expected
    assert len(np.unique(program.output)) > 2


def test_sums_above_2_to_the_24th_are_exact() -> None:
    """One unit more or less must show in a sum that float32 does not hold."""
    graph = zoo()["large sums"]
    (op,) = graph.operators
    assert np.abs(op.weights.astype(int)).sum(axis=(1, 2, 3)).max() * 255 > 2**24


def test_ties_are_rounded_to_even() -> None:
    graph = Builder(1, (1, 2, 8), 0).mean(0.5).graph()
    values = images(graph, 50)
    sums = values.reshape(50, 2, 8).astype(int).sum(axis=1)
    assert np.count_nonzero(sums % 4 == 1) > 20 < np.count_nonzero(sums % 4 == 3)
    program = Program(graph, 50)
    program.input[...] = values
    program.run()
    assert program.output.tolist() == [by_hand.run(graph, row.tolist()) for row in values]
