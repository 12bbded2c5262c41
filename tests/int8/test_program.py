"""numpy's program beside the arithmetic by hand, for every operator."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist.int8 import Graph, Window
from edge_mnist.int8.program import Program
from tests.int8 import by_hand
from tests.int8.graphs import ZOO, Builder, noise, singles

GRAPHS = {**singles(), **{name: make(3)[0] for name, make in ZOO.items()}}
COUNT = 4


@pytest.mark.parametrize("name", GRAPHS)
def test_every_operator_equals_the_arithmetic_by_hand(name: str) -> None:
    assert_equal(GRAPHS[name], COUNT)


def test_ties_are_rounded_to_even() -> None:
    builder = Builder((1, 2, 8))
    source = builder.flip(0, signed=True)
    index = builder.mean(source)
    halves = builder.operators[-1]
    builder.operators[-1] = type(halves)(source, index, (1, 2, 8), 0.5, -128, -30)
    graph = builder.alone(index)
    sums = noise(graph, 50).reshape(50, 2, 8).astype(int).sum(axis=1)
    near = np.abs(sums / 2 - 100) < 80  # not clipped
    assert np.count_nonzero(near & (sums % 4 == 1)) > 20 < np.count_nonzero(near & (sums % 4 == 3))
    assert_equal(graph, 50)


def test_sums_above_2_to_the_24th_are_exact() -> None:
    builder = Builder((1, 1, 4000))
    index = builder.convolution(builder.flip(0, signed=True), 7, Window((1, 1)))
    (op,) = (op for op in builder.operators if hasattr(op, "weights"))
    # float32 holds the odd sums above 2^24 no longer; weights of one sign reach it.
    op.weights[:4] = np.abs(op.weights[:4])
    op.multipliers[:4] /= 60
    assert np.abs(op.weights.astype(int)).sum(axis=(1, 2, 3)).max() * 255 > 2**25
    assert_equal(builder.alone(index), 20)


def assert_equal(graph: Graph, count: int) -> None:
    images = noise(graph, count)
    program = Program(graph, count)
    for _ in range(2):  # nothing is left of the first run
        program.input[...] = images.view(program.input.dtype)
        program.run()
        expected = [by_hand.run(graph, row.tolist()) for row in program.input]
        assert program.output.tolist() == expected
    assert len(np.unique(program.output)) > 2
