"""The figures of a report in; one HTML file out, which loads nothing and runs no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..backends.environment import environment
from ..benchmark import html_page, plots
from ..benchmark.html_page import figure
from ..benchmark.report_content import latency
from ..benchmark.report_content import remarks as benchmark_remarks
from ..benchmark.svg import escaped, tag
from ..bundle.provenance import DRAWN, Provenance, provenance, statements
from ..evaluation import Evaluation
from ..evaluation.calibration import BINS, expected_calibration_error
from ..system.text_table import percent
from . import report_plots
from .report import Misread, Report
from .text_report import LAYER_HEADER, UNKNOWN, layer_rows
from .text_report import remarks as layer_remarks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Shades of the confusion matrix: classes e1 to e5 of report.css.
_SHADES = 5


def as_html(report: Report) -> str:
    """Return the page."""
    origin = provenance(report.artifact)._replace(bundle=report.subject.name)
    where = environment()
    body = "".join(
        (
            html_page.header(report.subject.name, origin.line, _cards(report)),
            html_page.remarks(_remarks(report, origin)),
            _files(report),
            html_page.remarks(benchmark_remarks(report.benchmark) if report.benchmark else ()),
            _pair(_curves(report)),
            _misread(report),
            _pair(_confusion(report) + _reliability(report)),
            _pair("".join(_costs(report))),
            _layers(report),
            html_page.facts("Provenance", _provenance(report)),
            html_page.facts("Measured on", _machine(where)),
            tag("footer", f"edge-mnist {escaped(where['edge_mnist'])} · {escaped(where['date'])}"),
        )
    )
    style = (files(__package__) / "report.css").read_text(encoding="utf-8")
    return html_page.page(f"{report.subject.name}: model report", body, style=style)


def _cards(report: Report) -> Iterator[tuple[str, str, str]]:
    """Yield title, value and source of the main figures of the preferred file."""
    detailed, name = report.detailed, report.artifact.name
    low, high = report.interval(detailed)
    yield (
        "accuracy",
        percent(detailed.accuracy),
        f"{percent(low)} to {percent(high)}, {report.data}",
    )
    yield "misread", f"{detailed.errors:,}", f"of {detailed.images:,} images"
    if row := _benchmark_row(report, detailed):
        source = f"{name} on {detailed.backend}, median"
        yield "latency", f"{latency(row['predict_us'], 'p50')} µs", source
    yield "file size", f"{_size_bytes(detailed) / 1000:.1f} kB", name
    yield "parameters", f"{report.inspection.parameters:,}", "in the file"
    error = expected_calibration_error(report.bins)
    yield "calibration error", percent(error), f"expected, {BINS} bins"


def _remarks(report: Report, origin: Provenance) -> Iterator[str]:
    if origin.drawn:
        yield "This model was trained on drawn digits only, not on MNIST."
    if report.data.startswith(DRAWN):
        yield f"{report.data} are drawn digits, not MNIST: no figure here is of MNIST."
    yield from report.remarks


def _files(report: Report) -> str:
    header = ("file", "backend", "kB", "accuracy", "95 % interval", "misread", "stated")
    rows = [
        (
            result.artifact.name,
            result.backend,
            f"{_size_bytes(result) / 1000:.1f}",
            percent(result.accuracy),
            "{} to {}".format(*map(percent, report.interval(result))),
            f"{result.errors:,}",
            _stated(result),
            *_latencies(report, result),
        )
        for result in report.results
    ]
    table = _table((*header, "p50 µs", "p90 µs", "flags"), rows)
    caption = (
        f"Accuracy on {report.data}, {report.detailed.images:,} images, with its Wilson interval; "
        f"stated is the accuracy that the manifest states. No image is rejected. Latency of one "
        f"prediction from pixels, with one thread; flags: see the remarks below."
    )
    return _section("Files", table, caption)


def _stated(result: Evaluation) -> str:
    origin = provenance(result.artifact)
    if origin.accuracy is None:
        return UNKNOWN
    return f"{percent(origin.accuracy)} on {origin.accuracy_data}"


def _latencies(report: Report, result: Evaluation) -> tuple[str, str, str]:
    row = _benchmark_row(report, result)
    if row is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    summary = row["predict_us"]
    names = ", ".join(flag.partition(":")[0] for flag in row["tainted"])
    return latency(summary, "p50"), latency(summary, "p90"), names or "none"


def _benchmark_row(report: Report, result: Evaluation) -> dict[str, Any] | None:
    rows = report.benchmark["results"] if report.benchmark else ()
    key = result.artifact.name, result.backend
    return next((row for row in rows if (row["file"], row["backend"]) == key), None)


def _size_bytes(result: Evaluation) -> int:
    return result.artifact.size_bytes or result.artifact.path.stat().st_size


def _curves(report: Report) -> str:
    history = report.subject.history
    if not history:
        return ""
    caption = f"{len(history)} epochs, from the run's history.csv. Validation images are no test."
    loss = report_plots.curves(history, "loss", unit="loss", factor=1)
    accuracy = report_plots.curves(history, "accuracy", unit="accuracy, %", factor=100)
    return figure("Loss while training", loss, caption) + figure(
        "Accuracy while training", accuracy, caption
    )


def _misread(report: Report) -> str:
    errors = report.detailed.errors
    if not errors:
        return _section("Misread images", "", f"None of {report.detailed.images:,} images.")
    shown = "".join(map(_card, report.misread))
    count = "All" if len(report.misread) == errors else f"The first {len(report.misread)} of"
    caption = (
        f"{count} {errors:,} misread images of {report.data}, the most confident mistakes first: "
        f"the label read with its probability, and the true label with its own."
    )
    return _section("Misread images", tag("ul", shown, class_="misread"), caption)


def _card(one: Misread) -> str:
    name = f"image {one.number}: read as {one.read[0]}, is {one.true[0]}"
    picture = tag("img", src=f"data:image/png;base64,{_png(one.image)}", alt=name, title=name)
    read = tag("b", escaped(one.read[0])) + f" {_share(one.read[1])}"
    true = f"is {escaped(one.true[0])} {_share(one.true[1])}"
    return tag("li", picture + tag("span", read) + tag("small", true))


def _share(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def _png(image: NDArray[np.uint8]) -> str:
    # Imported late: the other commands need no Pillow for arrays.
    from PIL import Image

    file = io.BytesIO()
    shown = image[..., 0] if image.shape[-1:] == (1,) else image
    Image.fromarray(shown).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _confusion(report: Report) -> str:
    result = report.detailed
    most = max(1, int((result.confusion - _diagonal(result.confusion)).max()))
    head = "".join(tag("th", escaped(label), scope="col") for label in result.labels)
    rows = []
    for true, counts in enumerate(result.confusion.tolist()):
        cells = [
            tag("td", str(count) if count else "·", class_=_shade(count, most, true == read))
            for read, count in enumerate(counts)
        ]
        label = tag("th", escaped(result.labels[true]), scope="row")
        rows.append(tag("tr", label + "".join(cells)))
    corner = tag("th", "↓ true")
    head = tag("thead", tag("tr", corner + head))
    table = tag("table", head + tag("tbody", "".join(rows)), class_="confusion")
    caption = (
        f"{report.artifact.name} on {result.backend}, {report.data}: rows are true labels, "
        f"columns the labels read. The stronger the red, the more mistakes."
    )
    return _section("Confusion matrix", table, caption)


def _diagonal(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    diagonal: NDArray[np.int64] = np.diag(np.diag(matrix))
    return diagonal


def _shade(count: int, most: int, right: bool) -> str:
    if right:
        return "right"
    return f"e{-(-_SHADES * count // most)}" if count else "none"


def _reliability(report: Report) -> str:
    bins = report.bins
    last = bins[-1].images / max(1, sum(one.images for one in bins))
    caption = (
        f"Bars: the accuracy of the images in each of {BINS} bins of confidence; dots: their mean "
        f"confidence. On the dashed line, confidence is right. Expected calibration error "
        f"{percent(expected_calibration_error(bins))}; {percent(last)} of the images lie in the "
        f"last bin. Pale bins have fewer than {report_plots.FEW} images."
    )
    return figure("Calibration", report_plots.reliability(bins), caption)


def _costs(report: Report) -> Iterator[str]:
    if report.benchmark:
        results = report.benchmark["results"]
        yield figure(
            "Latency",
            plots.distributions(results),
            "Predictions from pixels to label, each file and runtime in its own process, one "
            "thread. The line is the median, the ticks are p90, p99 and p99.9. Heights are square "
            "roots of counts.",
        )
    inspection = report.inspection
    if inspection.times:
        yield figure(
            "Time by layer",
            report_plots.layer_times(inspection.layers, inspection.times),
            f"{report.artifact.name}. {' '.join(layer_remarks(inspection))}",
        )


def _layers(report: Report) -> str:
    rows = layer_rows(report.inspection)
    table = _table(("", *LAYER_HEADER), rows, class_="layers")
    lines = [f"{report.artifact.name} on {report.inspection.backend}."]
    if report.artifact.spec is not None:
        lines.append(
            "Export folds batch normalization into the weights, so a file may have fewer "
            "parameters than the Keras model."
        )
    if report.inspection.times is None:
        lines += layer_remarks(report.inspection)
    return _section("Layers", table, " ".join(lines))


def _provenance(report: Report) -> list[tuple[str, str]]:
    """Return what the manifest states; the model's path stays on this machine."""
    facts = [(name, text) for name, text in statements(report.artifact) if name != "model"]
    labels = ", ".join(report.detailed.labels)
    return [*facts, ("labels", labels), ("test data", report.data)]


def _machine(where: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "processor", f"{where['cpu']}, {where['cpus']} usable"
    yield "system", where["system"]
    yield "Python", f"{where['python']}, numpy {where['numpy']}"
    for name, version in where["runtimes"].items():
        yield name, version or "?"


def _section(title: str, content: str, caption: str) -> str:
    shown = tag("div", content, class_="wide") if content else ""
    text = tag("p", escaped(caption), class_="caption")
    return tag("section", tag("h2", escaped(title)) + shown + text)


def _pair(content: str) -> str:
    """Return figures beside each other, where the screen is wide enough; nothing for none."""
    return tag("div", content, class_="pair") if content else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, class_: str = "files") -> str:
    head = "".join(tag("th", escaped(name) or "&nbsp;", scope="col") for name in header)
    # An empty cell needs content: HTML knows no <td/>.
    cells = (["&nbsp;" if not cell else escaped(cell) for cell in row] for row in rows)
    body = "".join(tag("tr", "".join(tag("td", cell) for cell in row)) for row in cells)
    return tag("table", tag("thead", tag("tr", head)) + tag("tbody", body), class_=class_)
