"""The frame and the parts of an HTML page that needs no other file: shared by all reports."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from .svg import escaped, tag


def page(title: str, body: str, *, style: str = "") -> str:
    """Return a page; `style` are rules after those that all reports share."""
    shared = (files(__package__) / "html_report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title>"
        f"<style>\n{shared}{style}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def header(title: str, line: str, cards: Iterable[tuple[str, str, str]]) -> str:
    """Return the heading, a line below it, and cards of (title, value, source)."""
    shown = "".join(
        tag(
            "div",
            tag("span", escaped(name)) + tag("b", escaped(value)) + tag("small", escaped(source)),
            class_="card",
        )
        for name, value, source in cards
    )
    content = tag("h1", escaped(title)) + tag("p", escaped(line))
    return tag("header", content + tag("div", shown, class_="cards"))


def remarks(lines: Iterable[str]) -> str:
    """Return a list of sentences that stands out; nothing without any."""
    items = "".join(tag("li", escaped(line)) for line in lines)
    return tag("ul", items, class_="remarks") if items else ""


def figure(title: str, drawing: str, caption: str) -> str:
    """Return a drawing with its heading and caption."""
    return tag("figure", tag("h2", escaped(title)) + drawing + tag("figcaption", escaped(caption)))


def facts(title: str, items: Iterable[tuple[object, object]]) -> str:
    """Return a section of names and values."""
    shown = "".join(
        tag("dt", escaped(str(name))) + tag("dd", escaped(str(value))) for name, value in items
    )
    return tag("section", tag("h2", escaped(title)) + tag("dl", shown), class_="facts")
