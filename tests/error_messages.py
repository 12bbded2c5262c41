"""The wording of every error, by its code."""

MESSAGES: dict[str, tuple[str, ...]] = {}
