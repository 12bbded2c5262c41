"""Which mirrors the machine's own apt sources name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pi import userland

CLASSIC = """# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://other.example/apt stable main
deb http://classic.example/debian bookworm main contrib
deb-src http://source.example/debian bookworm main
"""
DEB822 = """Types: deb
# a comment
URIs: https://one.example/debian
 https://two.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .

Types: deb
URIs: https://security.example/debian-security
Suites: bookworm-security

Types: deb
URIs: https://off.example/debian
Suites: bookworm
Enabled: no

Types: deb-src
URIs: https://source.example/debian
Suites: bookworm
"""


def test_both_formats_are_read_and_mirrors_of_debian_come_first(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(CLASSIC, encoding="utf-8")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822, encoding="utf-8")
    (tmp_path / "sources.list.d" / "old.list.save").write_text(CLASSIC, encoding="utf-8")
    assert userland.mirrors(tmp_path) == [
        "http://classic.example/debian",
        "https://one.example/debian",
        "https://two.example/debian",
        "http://other.example/apt",
        "https://security.example/debian-security",
    ]


def test_a_machine_without_apt_names_none(tmp_path: Path) -> None:
    assert userland.mirrors(tmp_path) == []


def test_a_root_that_cannot_be_built_leaves_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := userland.missing_commands():
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(userland, "mirrors", lambda apt: [f"file:{tmp_path}/nowhere"])
    with pytest.raises(userland.UnavailableError, match="needs a Debian mirror with bookworm for"):
        userland.root(userland.SYSTEMS["bookworm armhf"])
    assert list(userland.cache().iterdir()) == []
