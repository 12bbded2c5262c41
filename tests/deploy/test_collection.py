"""The Ansible collection without a device: its linter, its archive, and bad variables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY, SHIPPED
from tests.deploy.conftest import COLLECTION, DEPLOY, ansible


def run(
    command: str, *arguments: str | Path, home: Path, cwd: Path = DEPLOY
) -> subprocess.CompletedProcess[str]:
    """Run a command of Ansible with the settings of `deploy`, and no others."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(DEPLOY / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(DEPLOY),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        [ansible(command), *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_ansible_lint_finds_nothing_in_its_strictest_profile(tmp_path: Path) -> None:
    # It also runs ansible-playbook --syntax-check on each playbook.
    options = ("--offline", "--profile=production", "--strict", "--nocolor")
    done = run("ansible-lint", *options, home=tmp_path, cwd=COLLECTION)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_archive_of_the_collection_holds_the_unit_as_a_file(tmp_path: Path) -> None:
    build = ("collection", "build", COLLECTION, "--output-path", tmp_path)
    done = run("ansible-galaxy", *build, home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        unit = files.extractfile("roles/edge_mnist/files/edge-mnist.service")
        assert unit and unit.read() == (REPOSITORY / "docs/edge-mnist.service").read_bytes()


def test_the_documented_defaults_are_the_defaults() -> None:
    role = COLLECTION / "roles" / "edge_mnist"
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    options = specs["main"]["options"]
    stated = {name: option["default"] for name, option in options.items() if "default" in option}
    assert stated == yaml.safe_load((role / "defaults/main.yml").read_text())


def test_bad_variables_are_named_before_a_device_is_touched(tmp_path: Path) -> None:
    given = {
        "edge_mnist_bundle": "nowhere",
        "edge_mnist_token": "short",
        "edge_mnist_extras": ["litert"],
        "edge_mnist_keep": 1,
    }
    assert deploy(given, tmp_path) == (
        f"Expected a bundle in edge_mnist_bundle, got no file {DEPLOY}/nowhere/manifest.json. "
        "Expected edge_mnist_wheels, edge_mnist_version or both, got neither. "
        "Expected serve in edge_mnist_extras, got litert. "
        "Expected edge_mnist_keep to be 2 or more, to go back to the bundle before, got 1. "
        "Expected in edge_mnist_token at least 16 characters out of A-Z a-z 0-9 . _ ~ + / = -, got "
        "others."
    )


def deploy(variables: dict[str, object], home: Path) -> str:
    """Try to deploy to an address that nothing has; return the error."""
    done = run(
        *("ansible-playbook", "edge_mnist.fleet.deploy", "-i", "192.0.2.1,"),
        *("-e", json.dumps(variables)),
        home=home,
    )
    assert done.returncode == 2 and "unreachable=0" in done.stdout
    _, _, failure = done.stdout.partition("fatal: ")
    _, _, message = failure.partition("msg: ")
    return " ".join(message.partition("\nPLAY RECAP")[0].split()).strip("'")


def test_errors_are_compared_with_the_manifest_or_with_the_given_accuracy(tmp_path: Path) -> None:
    """As the role does on a device, with numbers of errors made up."""
    tasks = yaml.safe_load((COLLECTION / "roles/edge_mnist/tasks/check.yml").read_text())
    compare = next(task for task in tasks[-1]["block"] if "vars" in task)
    evaluated = (
        '{"images": 300, "results": '
        '[{"file": "model-int8.tflite", "backend": "numpy", "errors": {{ item.errors }}}]}'
    )
    shown = {
        "name": "Show",
        "ansible.builtin.debug": {"msg": "{{ edge_mnist_low | trim }}"},
        "loop": [{"errors": errors} for errors in (0, 1, 2, 5, 6)],
        "vars": {**compare["vars"], "edge_mnist_evaluated": {"stdout": evaluated}},
    }
    given = {
        **shown,
        "vars": {**shown["vars"], "edge_mnist_check_accuracy": 0.9967},  # one error, rounded
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"edge_mnist_manifest": (SHIPPED / "manifest.json").read_text()},
        "tasks": [shown, given],
    }
    (tmp_path / "play.json").write_text(json.dumps([play]))
    done = run(
        "ansible-playbook", "-i", "localhost,", "-c", "local", tmp_path / "play.json", home=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = " ".join(done.stdout.split())
    found = re.findall(r"Expected at most (\d) errors in 300 images.*?got (\d) of", printed)
    assert found == [("5", "6"), ("1", "2"), ("1", "5"), ("1", "6")]
    assert "since the manifest states 99.61 %" in printed
