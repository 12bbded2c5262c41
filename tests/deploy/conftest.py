"""Shared by the tests of the fleet: two devices, and Ansible on a control machine beside them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist.bundle import MANIFEST, SIGNATURE
from edge_mnist.bundle.manifest import sha256
from edge_mnist.datasets import synthetic
from edge_mnist_export.bundles import secret_key
from tests.conftest import REPOSITORY, SHIPPED
from tests.deploy.machines import Device, UnavailableError, devices, inside, options
from tests.signatures.conftest import sign, write_public

DEPLOY = REPOSITORY / "deploy"
COLLECTION = DEPLOY / "ansible_collections" / "edge_mnist" / "fleet"
TOKEN = "0123456789abcdef-fleet"
CANARY, OTHER = "canary", "other"
IMAGES = 300
# The Python of a device is Debian's; that of the tests may be another.
SYSTEM_PYTHON = "/usr/bin/python3"


def ansible(name: str) -> Path:
    """Return a command of Ansible beside the Python that runs the tests."""
    return Path(sys.executable).with_name(name)


@dataclass
class Played:
    """What a playbook did: its exit status, its output, and the counts of its recap by host."""

    status: int
    text: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The counts `ok`, `changed`, `failed` and so on by host."""
        lines = self.text.rpartition("PLAY RECAP")[2].splitlines()[1:]
        return {
            name.strip(): {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", counts)}
            for name, colon, counts in (line.partition(" : ") for line in lines)
            if colon
        }


@dataclass
class Fleet:
    """Two devices, and the control machine's folder."""

    folder: Path
    canary: Device
    other: Device
    variables: Mapping[str, Any]
    plays: list[Played] = field(default_factory=list)

    def deploy(self, bundle: str, **variables: object) -> Played:
        """Deploy a bundle by its name."""
        return self.play("deploy", edge_mnist_bundle=str(self.folder / bundle), **variables)

    def play(self, playbook: str, *arguments: str, **variables: object) -> Played:
        """Run a playbook on both devices, over new connections."""
        number = len(self.plays)
        given = self.folder / f"variables-{number}.json"
        given.write_text(json.dumps({**self.variables, **variables}))
        command = [
            *(ansible("ansible-playbook"), f"edge_mnist.fleet.{playbook}"),
            *("-i", self.folder / "inventory.json", "-e", f"@{given}"),
            *("-e", f"@{self.folder / 'vault.yml'}"),
            *("--vault-password-file", self.folder / "password", *arguments),
        ]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(DEPLOY / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/em-{os.getpid()}-{number}",
            # Shorter than usual, so that no connection outlives the tests.
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=10s",
        }
        done = inside(
            self.canary.namespace, *command, env=environment, cwd=self.folder, timeout=600
        )
        shutil.rmtree(environment["ANSIBLE_SSH_CONTROL_PATH_DIR"], ignore_errors=True)
        self.plays.append(Played(done.returncode, done.stdout + done.stderr))
        sys.stdout.write(self.plays[-1].text)  # for who runs pytest -s, or sees a failure
        return self.plays[-1]


@pytest.fixture(scope="module")
def fleet(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two devices that nothing was deployed to."""
    folder = tmp_path_factory.mktemp("control")
    accuracy = _write_bundles(folder)
    (folder / "password").write_text("a password of the vault\n")
    (folder / "vault.yml").write_text(f"edge_mnist_token: {TOKEN}\n")
    vault = [ansible("ansible-vault"), "encrypt", "--vault-password-file=password", "vault.yml"]
    subprocess.run(vault, cwd=folder, check=True, capture_output=True)
    variables = {
        "edge_mnist_wheels": str(wheels),
        "edge_mnist_extras": ["serve"],
        "edge_mnist_check_data": str(folder / "check.npz"),
        "edge_mnist_check_accuracy": accuracy,
    }
    machines = tmp_path_factory.mktemp("machines")
    visible = (REPOSITORY, Path(sys.prefix), folder, wheels)
    try:
        with devices(machines, CANARY, OTHER, visible=visible) as (canary, other):
            (folder / "inventory.json").write_text(json.dumps(_inventory(canary, other)))
            yield Fleet(folder, canary, other, variables)
    except UnavailableError as error:
        pytest.skip(str(error))


def _inventory(*of: Device) -> dict[str, Any]:
    shared = {
        "ansible_user": "root",
        "ansible_python_interpreter": SYSTEM_PYTHON,
        "ansible_ssh_common_args": " ".join(options(of[0].key)),
    }
    hosts = {device.name: {"ansible_host": device.address} for device in of}
    return {"all": {"hosts": hosts, "vars": shared}}


def _write_bundles(folder: Path) -> float:
    """Write three signed bundles, their key, and images; return the accuracy of the good one.

    `good` is the shipped nano. In `flipped`, a bit of a model file is another one. In `shifted`,
    every file is as its manifest states, but the labels are in the wrong order.
    """
    key = secret_key.generate()
    write_public(key, folder / "fleet.pub")
    for name in ("good", "flipped", "shifted"):
        to = shutil.copytree(
            SHIPPED.parent / "nano", folder / name, ignore=shutil.ignore_patterns(SIGNATURE)
        )
        if name != "good":
            manifest = json.loads((to / MANIFEST).read_text())
            manifest["tools"]["variant"] = name
            if name == "shifted":
                manifest["labels"] = [*manifest["labels"][1:], manifest["labels"][0]]
            (to / MANIFEST).write_text(json.dumps(manifest))
        sign(to, key)
    file = folder / "flipped" / "model-int8.tflite"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    images, labels = synthetic.split("test", limit=IMAGES)
    np.savez_compressed(folder / "check.npz", x_test=images, y_test=labels)
    answers = Classifier(folder / "good", backend="numpy", trust=False).predict_batch(images)
    return float(np.mean(answers == labels))


def manifest_sha256(bundle: Path) -> str:
    return sha256((bundle / MANIFEST).read_bytes())


@pytest.fixture(scope="session")
def wheels(wheel: Path, pip: Path, together: Path) -> Path:
    """A folder with the project's wheel and all that it needs on a device."""
    folder = together / "fleet-wheels"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    pins = [
        *project["tool"]["uv"]["constraint-dependencies"],
        *project["dependency-groups"]["host"],
    ]
    constraints = together / "fleet-constraints.txt"
    constraints.write_text("\n".join(pin for pin in pins if "==" in pin), encoding="utf-8")
    fetch = [
        *(pip, "-m", "pip", "--python", SYSTEM_PYTHON, "download", "--quiet", "--dest", folder),
        *("--only-binary=:all:", "--constraint", constraints, f"{wheel}[serve]"),
    ]
    done = subprocess.run(fetch, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs pip to fetch wheels for {SYSTEM_PYTHON}: {done.stderr.strip()[-200:]}")
    return folder
