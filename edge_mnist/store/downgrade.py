"""Two bundles in; an error if the second was signed before the first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..bundle import Bundle, read_bundle
from ..errors import BundleError
from .layout import Generation

if TYPE_CHECKING:
    from ..bundle import Trust
    from ..bundle.minisign import Signature


def refuse_downgrade(bundle: Bundle, current: Generation, *, trust: Trust) -> None:
    """Refuse a bundle whose signature is older than that of the current one.

    Without a trusted key there is no question of age: anyone could have written the time.

    Args:
        bundle: the bundle to install, read with `trust`. If a key is trusted, it is signed.
        current: the current generation.
        trust: as for `read_bundle`.

    Raises:
        BundleError: the bundle is older, or states no time where the current one does.
    """
    try:
        old = read_bundle(current.folder, trust=trust).signature
    except BundleError:  # Damaged, or signed by a key that is not trusted any more.
        return
    new = bundle.signature
    if old is None or new is None or (new.timestamp or 0) >= (old.timestamp or 0):
        return
    raise BundleError(
        f"Expected a bundle that is not older than generation {current.number}, which was signed "
        f"{_when(old)}, got one that was signed {_when(new)}; to install it all the same: "
        f"--allow-downgrade",
        code="bundle-downgrade",
    )


def _when(signature: Signature) -> str:
    if signature.timestamp is None:
        return "without a time"
    try:
        time = datetime.fromtimestamp(signature.timestamp, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{signature.timestamp} seconds after 1970"
    return f"at {time:%Y-%m-%d %H:%M:%S} UTC"
