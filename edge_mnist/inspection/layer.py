"""A layer of a model file: the value between the readers of both formats and the reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Values:
    """The type, shape and quantization of a tensor.

    Attributes:
        shape: batch first; None if only a run would show it, and there was none.
        dtype: numpy's name, such as "int8".
        scales: a quantized value `q` stands for `scale * (q - zero_point)`; one scale, or one a
            channel; empty if not quantized.
        zero_points: as many as there are scales.
    """

    shape: tuple[int, ...] | None
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()


@dataclass(frozen=True)
class Layer:
    """An operator of a model file, with the operators that a runtime fuses into it.

    Attributes:
        name: the layer in the field's words, such as "Conv2D 3×3, stride 2, ReLU".
        nodes: the positions of its operators in the file.
        operators: the file's own names of them.
        output: what it passes on.
        weights: its largest constant; None if it has none.
        parameters: elements of its weights and biases. Constants that an earlier layer has too
            count there.
        weight_bytes: bytes of these in the file.
        multiply_adds: of a convolution, a dense layer or a product of matrices; 0 for others;
            None if its shapes are unknown.
    """

    name: str
    nodes: tuple[int, ...]
    operators: tuple[str, ...]
    output: Values
    weights: Values | None = None
    parameters: int = 0
    weight_bytes: int = 0
    multiply_adds: int | None = 0


@dataclass(frozen=True)
class Times:
    """Median times of the parts of a model, in microseconds, with one thread.

    Attributes:
        layers_us: one for each layer, 0 or more. With `call_us` they sum up to `whole_us`.
        call_us: the runtime's call without a layer.
        whole_us: the whole model.
        rounds: turns of each part.
    """

    layers_us: tuple[float, ...]
    call_us: float
    whole_us: float
    rounds: int


@dataclass(frozen=True)
class Inspection:
    """The layers of one model file.

    Attributes:
        backend: the runtime of the times.
        layers: in the order in which they run.
        times: None if they could not be measured; `untimed` says why.
    """

    backend: str
    layers: tuple[Layer, ...]
    times: Times | None
    untimed: str = ""

    @property
    def parameters(self) -> int:
        """Parameters of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights of all layers."""
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def multiply_adds(self) -> int | None:
        """Multiply-adds of all layers; None if those of one are unknown."""
        counts = [layer.multiply_adds for layer in self.layers]
        return None if None in counts else sum(count for count in counts if count is not None)
