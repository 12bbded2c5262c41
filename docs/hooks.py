"""MkDocs hooks: files of the repository in, pages and links of the site out.

Markdown files outside docs/ (ARCHITECTURE.md, …) become pages. A link that leaves docs/ goes to
such a page, or to a copy of the file. The page of the command line ends with what `--help` prints.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from edge_mnist.cli import cli

ROOT = Path(__file__).parents[1]
# Markdown files outside docs/, and the pages that show them.
PAGES = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
# The folder of the site with copies of other files that pages link to.
COPIES = "files"
# The target of a relative Markdown link, without its anchor.
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)(?=[)#\s])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and copies of files outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=_markdown(ROOT / source)))
    targets = {
        _in_repository(file.src_uri, link)
        for file in files.documentation_pages()
        for link in _LINK.findall(file.content_string)
    }
    for target in sorted(targets):
        if not target.startswith("docs/") and Path(target).suffix not in ("", ".md"):
            content = (ROOT / target).read_bytes()
            files.append(File.generated(config, f"{COPIES}/{target}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite links from the repository's layout to the site's."""
    here = page.file.src_uri
    if here == "changelog.md":
        page.meta["search"] = {"boost": 0.2}  # Below pages that explain a word.
    if here == "reference/command-line.md":
        return f"{markdown}\n\n{command_line()}"

    def moved(link: re.Match[str]) -> str:
        target = _in_site(_in_repository(here, link[1]))
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    return _LINK.sub(moved, markdown)


def command_line() -> str:
    """Return what --help prints, for edge-mnist and for each command."""
    sections = [_help()]
    for name in cli.list_commands(click.Context(cli)):
        sections += [f"## edge-mnist {name}", _help(name)]
    return "\n\n".join(sections)


def _help(*command: str) -> str:
    done = CliRunner().invoke(cli, [*command, "--help"], prog_name="edge-mnist", terminal_width=80)
    if done.exit_code:
        raise RuntimeError(f"Expected edge-mnist {command} --help to print, got: {done.output}")
    return f"```text\n{done.output}```"


def _markdown(path: Path) -> str:
    if path.is_file():
        return path.read_text(encoding="utf-8")
    return f"# {path.stem.capitalize()}\n\n`{path.name}` is not written yet.\n"


def _in_repository(page: str, link: str) -> str:
    """Return the repository's path that a page's link means."""
    source = SOURCES.get(page, f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _in_site(path: str) -> str:
    """Return the site's path of a file of the repository."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{COPIES}/{path}"
