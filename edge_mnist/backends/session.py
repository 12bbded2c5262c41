"""The interface of a loaded model, and what the runtimes' modules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..errors import ModelError

if TYPE_CHECKING:
    from numpy import generic
    from numpy.typing import NDArray

    Shape = tuple[int, ...]
    Run = Callable[[NDArray[generic]], NDArray[generic]]


class Tensor(NamedTuple):
    """A model's input or output.

    Attributes:
        name: the tensor's name in the file.
        shape: its shape, batch first; -1 for an open size.
        dtype: numpy's name, such as "uint8".
        scale: a quantized value `q` stands for `scale * (q - zero_point)`; 0 if not quantized.
        zero_point: the quantized value that stands for 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


class Session(Protocol):
    """A loaded model with one input, and one output that is used."""

    input: Tensor
    output: Tensor

    def run(self, values: NDArray[generic]) -> NDArray[generic]:
        """Run the model once.

        Args:
            values: (n, …) of the input's dtype; n is the input's batch, any number if open.

        Returns:
            The raw output (n, …).

        Raises:
            ModelError: the runtime reported an error.
        """
        ...

    def bind(self, shape: Shape, output: Shape) -> tuple[NDArray[generic], Run]:
        """Allocate an input once, for many calls.

        Args:
            shape: the shape of the input.
            output: the shape of the raw output.

        Returns:
            The input array, and a function that runs it or another array of its shape. The
            function may overwrite the output of its previous call.
        """
        ...


class Part(Protocol):
    """A loaded part of a model, with one input and any outputs. It is run to time it."""

    def bind(self, values: NDArray[generic]) -> Callable[[], object]:
        """Set the input once; return a function that runs the part on it."""
        ...

    def outputs(self) -> list[Tensor]:
        """Return the outputs of the last run, with their shapes, in the file's order."""
        ...


class InspectableSession(Session, Protocol):
    """A session that keeps the tensors between the layers."""

    def tensor(self, index: int) -> NDArray[generic]:
        """Return a tensor of the last run as it is in the model, by its index in the file."""
        ...


class NotSupportedError(Exception):
    """The runtime lacks something that a file needs; `str` names it and its version.

    `custom` marks a custom op: no release of any runtime has it.
    """

    def __init__(self, needs: str, *, custom: bool = False) -> None:
        super().__init__(needs)
        self.custom = custom


def check_one_input(inputs: Sequence[str], name: str) -> None:
    """Refuse a model with several inputs, or with none.

    Raises:
        ModelError: there is not exactly one.
    """
    if len(inputs) != 1:
        raise ModelError(
            f"Expected one input, the image, got {len(inputs)} in {name}: {', '.join(inputs)}.",
            code="model-inputs",
        )


def choose_output(outputs: Sequence[Tensor], name: str) -> int:
    """Return the index of the only output, or of the only one of scores (n, classes).

    Raises:
        ModelError: there is none, or several fit.
    """
    scores = [index for index, tensor in enumerate(outputs) if _holds_scores(tensor)]
    if len(outputs) == 1 or len(scores) == 1:
        return 0 if len(outputs) == 1 else scores[0]
    shown = ", ".join(f"{tensor.name} {tensor.shape} {tensor.dtype}" for tensor in outputs)
    raise ModelError(
        f"Expected one output of scores (n, classes), got {len(scores)} among {len(outputs)} "
        f"outputs in {name}: {shown or 'none'}.",
        code="model-outputs",
    )


def _holds_scores(tensor: Tensor) -> bool:
    numbers = tensor.dtype.startswith("float") or bool(tensor.scale)
    return numbers and len([size for size in tensor.shape[1:] if size != 1]) == 1


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class's name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
