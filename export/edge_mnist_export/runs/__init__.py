"""A recipe or a path in, a run folder with its record and configuration out."""

from .run_folder import (
    CHECKPOINTS,
    HISTORY,
    RUNS,
    Recipe,
    Run,
    delete_checkpoints,
    find,
    find_folder,
    list_runs,
    read,
    read_history,
    resume_error,
    working,
    write_history,
    write_record,
)

__all__ = [
    "CHECKPOINTS",
    "HISTORY",
    "RUNS",
    "Recipe",
    "Run",
    "delete_checkpoints",
    "find",
    "find_folder",
    "list_runs",
    "read",
    "read_history",
    "resume_error",
    "working",
    "write_history",
    "write_record",
]
