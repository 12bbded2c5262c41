"""A store in; an older generation made the current one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..bundle.installed import CURRENT
from ..errors import BundleError
from . import copying
from .layout import Generation, Store

if TYPE_CHECKING:
    from ..bundle import Trust


def rollback(
    store: Store | None = None, *, to: int | None = None, trust: Trust = None
) -> Generation:
    """Make the generation before the current one current, after checking that it is whole.

    Args:
        store: the store; None for that of the environment.
        to: the number of another generation, also a newer one; None for the one before.
        trust: the keys of which one must have signed its bundle, as for `Classifier`.

    Returns:
        The generation that is current now.

    Raises:
        BundleError: there is no such generation, or its bundle is damaged, or not signed by a
            trusted key.
        OutputError: the store cannot be written to.
    """
    store = store or Store()
    with store.locked():
        generation = _find(store, to)
        copying.verify(generation.folder, trust=trust)
        store.switch(generation)
    return generation


def _find(store: Store, to: int | None) -> Generation:
    current, generations = store.current(), store.generations()
    if current is None:
        raise BundleError(
            f"Expected an installed bundle in the store {store.folder}, got no link {CURRENT}; "
            f"install one with: edge-mnist install BUNDLE",
            code="bundle-not-installed",
        )
    if to is None:
        older = [one for one in generations if one.number < current.number]
        if not older:
            raise BundleError(
                f"Expected a generation before {current.number} in the store {store.folder}, got "
                f"none: it is the oldest; install another bundle with: edge-mnist install BUNDLE",
                code="bundle-generation-oldest",
            )
        return older[-1]
    for one in generations:
        if one.number == to:
            return one
    numbers = ", ".join(str(one.number) for one in generations)
    raise BundleError(
        f"Expected one of the generations {numbers} of the store {store.folder}, got {to}; they "
        f"are listed by: edge-mnist installed",
        code="bundle-generation",
    )
