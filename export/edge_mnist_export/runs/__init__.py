"""A recipe or a path in, a run folder with its record and configuration out."""

from .run_folder import (
    RUNS,
    Recipe,
    Run,
    find,
    find_folder,
    list_runs,
    locked,
    read,
    read_history,
    resume_error,
    write_history,
    write_record,
)

__all__ = [
    "RUNS",
    "Recipe",
    "Run",
    "find",
    "find_folder",
    "list_runs",
    "locked",
    "read",
    "read_history",
    "resume_error",
    "write_history",
    "write_record",
]
