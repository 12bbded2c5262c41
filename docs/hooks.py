"""MkDocs hooks: files of the repository in, pages and links of the site out.

Pages that are also files at the root of the repository (ARCHITECTURE.md, …) are copied at build.
A link that leaves docs/ goes to such a page, or to a copy of the file. The page of the command
line is what `--help` prints.
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
# Markdown files outside docs/ and the pages that show them.
PAGES = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}
# Where the site keeps copies of other files that a page links to.
COPIES = "files"
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)(?=[)#\s])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and copies that do not lie in docs/."""
    for source, page in PAGES.items():
        path = ROOT / source
        missing = f"# {path.stem.capitalize()}\n\n`{source}` is not written yet.\n"
        content = path.read_text(encoding="utf-8") if path.is_file() else missing
        files.append(File.generated(config, page, content=content))
    files.append(File.generated(config, "reference/command-line.md", content=command_line()))
    for target in sorted(set(_linked_files(files))):
        content = (ROOT / target).read_bytes()
        files.append(File.generated(config, f"{COPIES}/{target}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point the links of a page to where the site keeps their targets."""
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        target = PAGES.get(target := _in_repository(here, link[1]), target)
        if (ROOT / "docs" / target).is_relative_to(ROOT / "docs") and target.startswith("docs/"):
            target = target.removeprefix("docs/")
        elif target not in PAGES.values():
            target = f"{COPIES}/{target}"
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    return _LINK.sub(moved, markdown)


def command_line() -> str:
    """Return the page of the command line: what --help prints for each command."""
    context = click.Context(cli, info_name="edge-mnist")
    sections = ["# Command line", "This page is the output of `--help`.", _help([])]
    for name in cli.list_commands(context):
        sections += [f"## edge-mnist {name}", _help([name])]
    return "\n\n".join(sections) + "\n"


def _help(command: list[str]) -> str:
    done = CliRunner().invoke(cli, [*command, "--help"], prog_name="edge-mnist", terminal_width=90)
    if done.exit_code:
        raise RuntimeError(f"edge-mnist {command} --help: {done.output}")
    return f"```text\n{done.output}```"


def _in_repository(page: str, link: str) -> str:
    """Return the path in the repository that a page's relative link means."""
    source = next((source for source, name in PAGES.items() if name == page), f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _linked_files(files: Files) -> list[str]:
    """Return files outside docs/ that pages link to, other than PAGES."""
    return [
        target
        for file in files.documentation_pages()
        for link in _LINK.findall(file.content_string)
        if not (target := _in_repository(file.src_uri, link)).startswith("docs/")
        and target not in PAGES
        and (ROOT / target).is_file()
    ]
