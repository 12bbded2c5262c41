"""An iterator in, run in a thread; its newest item out, for any number of readers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, Self, TypeVar

from ..errors import EdgeMnistError

Item = TypeVar("Item")
# Seconds after which a reader that iterates looks again whether the iterator has ended.
_LOOK_S = 0.5
# Seconds that the end waits for a frame that is being read.
_LEAVE_S = 1.0


class Newest(Generic[Item]):
    """The newest item of an iterator, which runs in a thread of its own.

    Items that nobody takes in time are dropped: a slow reader sees the present, not the past.

    Attributes:
        ended: whether there will be no further item.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._changed = threading.Condition()
        self._number, self._item = 0, None  # type: int, Item | None
        self._error: BaseException | None = None
        self.ended = False
        # A daemon: a camera that sends nothing must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, after: int, timeout_s: float) -> tuple[int, Item | None]:
        """Return the newest item and its number, counted from 1; None if it is `after` itself.

        Args:
            after: number of the last item that the reader has; 0 for none.
            timeout_s: seconds to wait for a newer one.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._number > after or self.ended, timeout_s)
            return self._number, self._item if self._number > after else None

    def __iter__(self) -> Iterator[Item]:
        """Yield the newest item, each once; raise the iterator's error at the end."""
        number = 0
        while True:
            ended = self.ended
            number, item = self.wait(number, _LOOK_S)
            if item is not None:
                yield item
            elif ended:
                self.raise_error()
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread after its current item; one that waits for a camera is left to itself."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()
        self._thread.join(_LEAVE_S)

    def raise_error(self) -> None:
        """Raise the error that ended the iterator, if there was one."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    if self.ended:
                        return
                    self._number, self._item = self._number + 1, item
                    self._changed.notify_all()
        except EdgeMnistError as error:
            self._error = error
        finally:
            with self._changed:
                self._error = self._error or sys.exc_info()[1]
                self.ended = True
                self._changed.notify_all()
