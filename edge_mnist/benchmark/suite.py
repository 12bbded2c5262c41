"""Jobs and a plan in, the benchmark document out; and that document as the files of a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..backends import Runtime
from ..bundle import Artifact
from ..errors import GateError, ModelError
from ..system import machine
from .document import as_json, build_document
from .measurement import Job
from .plan import Plan
from .runner import Progress, measure


def run(
    jobs: Sequence[tuple[Artifact, Runtime, int]], *, plan: Plan, show: Progress
) -> dict[str, Any]:
    """Measure each job and return the JSON document of schema-1.json.

    Args:
        jobs: (model file, runtime, threads) of each row.
        plan: from `plan.make_plan`, for as many rows.
        show: called with the share of the work that is done, in [0, 1], and the current step.

    Raises:
        ModelError: no job could be measured.
    """
    before = machine.read_sensors()
    groups = measure([Job(*job) for job in jobs], plan, show=show)
    if all(measurement.error for group in groups for measurement in group.measurements):
        failed = groups[0].measurements[0]
        raise ModelError(
            f"Expected to measure {failed.job.artifact.name} on {failed.job.runtime.backend}, got: "
            f"{failed.error}",
            code="model-not-measured",
        )
    return build_document(groups, plan, before)


def check_failures(document: dict[str, Any]) -> None:
    """Raise if a row could not be measured.

    Raises:
        GateError: at least one row failed; the text report gives the reason.
    """
    failed, measured = len(document["failed"]), len(document["results"])
    if failed:
        raise GateError(
            f"Expected {failed + measured} rows, got {failed} that failed; "
            f"their reasons stand above.",
            code="gate-benchmark-row",
        )


def report_files(
    document: dict[str, Any],
    *,
    json_file: Path | None = None,
    csv_file: Path | None = None,
    html_file: Path | None = None,
) -> Iterator[tuple[Path, str]]:
    """Yield each requested file with its content; nothing is written."""
    if json_file:
        yield json_file, as_json(document)
    if csv_file:
        from .csv_report import as_csv

        yield csv_file, as_csv(document)
    if html_file:
        from .html_report import as_html

        yield html_file, as_html(document)
