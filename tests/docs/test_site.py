"""The documents' size and links, and the site that is built from them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from edge_mnist.cli import cli
from tests.conftest import REPOSITORY

LINES = {"README.md": 150, "ARCHITECTURE.md": 150}
# Elements and the attributes by which they load something.
LOADS = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "link": ("href",),
    "object": ("data",),
}
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def documents() -> list[Path]:
    patterns = ("*.md", "docs/**/*.md", "benchmarks/*.md", "export/*.md")
    return sorted(path for pattern in patterns for path in REPOSITORY.glob(pattern))


@pytest.mark.parametrize(("name", "most"), LINES.items())
def test_a_document_is_short(name: str, most: int) -> None:
    assert len((REPOSITORY / name).read_text(encoding="utf-8").splitlines()) <= most


@pytest.mark.parametrize("document", documents(), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_relative_links_lead_to_files(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / unquote(link)).exists()] == []


def test_the_readme_lists_every_command() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`edge-mnist .*?) \|", text, flags=re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(?:edge-mnist )?(\w+)`", row)}
    assert listed == {*cli.list_commands(click.Context(cli))}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a broken link or a wrong docstring is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Resources(HTMLParser):
    """What a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.external: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in LOADS.get(tag, ()) and re.match(r"(\w+:)?//", value or ""):
                self.external.append(f"<{tag} {name}={value}>")


@pytest.mark.slow
def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        resources = Resources()
        resources.feed(page.read_text(encoding="utf-8"))
        assert resources.external == [], page.name
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text), style.name


@pytest.mark.slow
def test_the_reference_holds_every_command_and_public_class(site: Path) -> None:
    import edge_mnist

    commands = (site / "reference/command-line.html").read_text(encoding="utf-8")
    for name in cli.list_commands(click.Context(cli)):
        assert f'id="edge-mnist-{name}"' in commands
    classes = (site / "reference/python.html").read_text(encoding="utf-8")
    for name in set(edge_mnist.__all__) - {"__version__"}:
        assert re.search(rf'id="edge_mnist\.(errors\.)?{name}"', classes), name


@pytest.mark.slow
@pytest.mark.browser
def test_the_site_opens_from_files_and_can_be_searched(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium to open the site in")
    addresses, complaints = [], []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda request: addresses.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for name in ("index.html", "reference/python.html", "how-to/benchmark.html"):
            page.goto((site / name).as_uri())
        page.locator("input.md-search__input").click()
        page.keyboard.type("rejection threshold")
        page.locator(".md-search-result__item").first.wait_for()
        browser.close()
    assert [address for address in addresses if not address.startswith("file:")] == []
    assert complaints == []
