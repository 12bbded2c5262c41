"""The memory plan: no buffer overwrites a byte that is still read."""

from __future__ import annotations

from edge_mnist_export.standalone.memory_plan import Buffer, plan_memory


def test_a_result_is_written_over_its_input_from_below() -> None:
    buffers = {"in": Buffer(100, 0, 1), "out": Buffer(60, 1, 2)}
    assert plan_memory(buffers, {}).size == 160
    plan = plan_memory(buffers, {("out", "in"): 8})
    assert plan.size == 108 and plan.places["in"] - plan.places["out"] == 8


def test_a_value_that_is_read_later_keeps_its_place() -> None:
    buffers = {"a": Buffer(50, 0, 3), "b": Buffer(50, 1, 2), "c": Buffer(50, 2, 3)}
    plan = plan_memory(buffers, {("c", "b"): 0})
    assert plan.size == 100
    assert plan.places["b"] == plan.places["c"] != plan.places["a"]


def test_buffers_of_different_times_share_a_place() -> None:
    buffers = {"a": Buffer(10, 0, 0), "b": Buffer(30, 1, 1), "c": Buffer(20, 2, 2)}
    assert plan_memory(buffers, {}).size == 30
    assert plan_memory({}, {}).size == 0
