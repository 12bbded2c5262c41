"""Every error that this project raises on purpose.

EdgeMnistError
├── DataError        a data set is missing, foreign, truncated or malformed
├── ImageError       a picture cannot be read, or holds no digit
│   └── NoDigitError a picture holds no digit; `reason` says why in a few words
├── BundleError      a bundle is missing, broken, or does not match its manifest
├── ModelError       a model file cannot be loaded, or does not take an image
├── BackendError     a runtime is not installed, or cannot run the file
├── OutputError      an output cannot be written, or its place is taken
├── ServeError       the page cannot be served: an extra is missing, or the address is taken
│   └── RequestError a request is refused; in `serve.problem_details`
├── CameraError      a camera is missing, taken, forbidden or gone, or a clip holds no frames
├── ClusterError     Ray is not installed, or no cluster answers
├── HostError        a host command without the host package
└── GateError        a check failed: accuracy of an export, a regression, a shard without result

A message is one line: what was expected, what came, what to do.
"""

from __future__ import annotations


class EdgeMnistError(Exception):
    """Base of every error raised on purpose.

    Args:
        message: one line: what was expected, what came, what to do. Its wording may change.
        code: a stable name of the cause, such as "bundle-hash"; by default the class's own.

    Attributes:
        code: for scripts and tests, which should not match the message.
        exit_status: the command line's.
    """

    code = "error"
    exit_status = 2

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class DataError(EdgeMnistError):
    """A data set is missing, foreign, truncated or malformed."""

    code = "data"


class ImageError(EdgeMnistError):
    """A picture cannot be read, is too large, or holds no digit."""

    code = "image"


class NoDigitError(ImageError):
    """A picture holds nothing that could be a digit; `reason` says why, in a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Expected a digit, got {reason}; write it larger or darker, or come closer.",
            code="no-digit",
        )
        self.reason = reason


class BundleError(EdgeMnistError):
    """A bundle is missing, broken, or does not match its manifest."""

    code = "bundle"


class ModelError(EdgeMnistError):
    """A model file cannot be loaded, or does not map one image to digit probabilities."""

    code = "model"


class BackendError(EdgeMnistError):
    """A runtime is not installed, unknown, or not fit for the file."""

    code = "backend"


class OutputError(EdgeMnistError):
    """An output cannot be written, or its place is taken."""

    code = "output"


class ServeError(EdgeMnistError):
    """The page and API cannot be served: the extra is missing, or the address is taken."""

    code = "serve"


class CameraError(EdgeMnistError):
    """A camera is missing, taken, forbidden or gone, or a clip holds no frames."""

    code = "camera"


class ClusterError(EdgeMnistError):
    """Ray is not installed, no cluster answers at an address, or its machines do not agree."""

    code = "cluster"


class HostError(EdgeMnistError):
    """A host command was asked for where the host package is not installed."""

    code = "host"


class GateError(EdgeMnistError):
    """A check failed: the accuracy of an export, a benchmark that regressed, shards of a job."""

    code = "gate"
    exit_status = 1
