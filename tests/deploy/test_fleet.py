"""The collection's playbooks on two devices: systemd, sshd and network of their own.

Each test leaves the devices as the first deployment did.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edge_mnist.bundle.installed import SHOWN_DIGITS
from tests.conftest import REPOSITORY
from tests.deploy.conftest import (
    CANARY,
    OTHER,
    SYSTEM_PYTHON,
    TOKEN,
    Fleet,
    Played,
    ansible,
    manifest_sha256,
)
from tests.deploy.machines import Device, inside
from tests.store.conftest import tree

pytestmark = pytest.mark.install
STORE = "opt/edge-mnist/store"


@pytest.fixture(scope="module")
def deployed(fleet: Fleet) -> Played:
    """The first deployment, with a key to trust."""
    keys = [str(fleet.folder / "fleet.pub")]
    return fleet.deploy("good", edge_mnist_trusted_keys=keys)


# Prints what an address answers to whoever has the token.
ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
print(urllib.request.urlopen(request, timeout=10).read().decode())
"""


def served(device: Device) -> str:
    """Return the hash of the bundle that the server of a device uses."""
    url = f"http://{device.address}:8000/v1/model"
    done = inside(device.namespace, sys.executable, "-c", ASK, url, TOKEN)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["model"]["manifest_sha256"])


def state(device: Device) -> tuple[object, ...]:
    """Return the files of a device's store, its environment, and how often it was connected to."""
    environment = (device.root / "opt/edge-mnist/bin").readlink()
    return tree(device.root / STORE), environment, device.connections


def test_two_devices_converge_one_after_the_other(fleet: Fleet, deployed: Played) -> None:
    assert deployed.status == 0
    assert [*deployed.recap] == [CANARY, OTHER]
    assert deployed.text.index(f"[{OTHER}]") > deployed.text.rindex(f"[{CANARY}]")
    assert TOKEN not in deployed.text
    for device in (fleet.canary, fleet.other):
        assert served(device) == manifest_sha256(fleet.folder / "good")
        shown = device.run("systemctl show edge-mnist --property=ActiveState,UnitFileState,User")
        assert {"ActiveState=active", "UnitFileState=enabled"} <= set(shown.split())
        # The unit is that of the documents, and its user is systemd's.
        unit = device.root / "etc/systemd/system/edge-mnist.service"
        assert unit.read_text() == (REPOSITORY / "docs/edge-mnist.service").read_text()
        assert device.run("ps -o user= -C edge-mnist").split() == ["edge-mnist"]
        secret = device.root / "etc/edge-mnist.env"
        assert secret.stat().st_mode & 0o777 == 0o600 and secret.stat().st_uid == 0
        assert TOKEN not in device.run("ps -eo args")


def test_the_second_run_changes_nothing(fleet: Fleet, deployed: Played) -> None:
    done = fleet.deploy("good")
    assert done.status == 0
    for counts in done.recap.values():
        assert counts["changed"] == counts["failed"] == 0


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        ("flipped", "model-int8.tflite to have the SHA-256 of its manifest, got other content"),
        ("shifted", "errors in 300 images, since edge_mnist_check_accuracy states"),
    ],
)
def test_a_bad_bundle_ends_at_the_first_device(
    bundle: str, reason: str, fleet: Fleet, deployed: Played
) -> None:
    before = state(fleet.other)
    done = fleet.deploy(bundle)
    assert done.status == 2
    assert [*done.recap] == [CANARY] and done.recap[CANARY]["failed"] == 1
    assert state(fleet.other) == before
    good = manifest_sha256(fleet.folder / "good")
    assert served(fleet.canary) == good
    current = fleet.canary.root / STORE / "current"
    assert current.readlink() == Path("generations/1")
    joined = " ".join(done.text.split())
    assert reason in joined
    assert f"This device is back at the bundle {good[:SHOWN_DIGITS]}" in joined


def test_the_benchmark_of_both_is_one_table(fleet: Fleet, deployed: Played) -> None:
    results = fleet.folder / "benchmarks"
    done = fleet.play(
        "benchmark", edge_mnist_options=["--runs", "20"], edge_mnist_results=str(results)
    )
    assert done.status == 0
    header, *rows = (results / "comparison.txt").read_text().splitlines()
    assert header.split()[:6] == ["board", "host", "file", "backend", "thr", "p50"]
    for device in (CANARY, OTHER):
        document = json.loads((results / f"{device}.json").read_text())
        (result,) = document["results"]
        (row,) = (row for row in rows if f" {device} " in row)
        assert document["environment"]["cpu"] in row and result["file"] in row
        assert f"{result['predict_us']['p50']:.1f}" in row.split()
    assert header.strip() in done.text


def test_a_device_deploys_to_itself_and_rolls_back(fleet: Fleet, deployed: Played) -> None:
    given = fleet.folder / "local.json"
    variables = {
        **fleet.variables,
        "edge_mnist_bundle": str(fleet.folder / "good"),
        "edge_mnist_token": TOKEN,
        "ansible_python_interpreter": SYSTEM_PYTHON,
    }
    given.write_text(json.dumps(variables))
    local = f"-i localhost, -c local -e @{given}"
    play = f"cd {REPOSITORY}/deploy && LC_ALL=C.UTF-8 {ansible('ansible-playbook')}"
    # The connection is another one, and the state the same.
    printed = fleet.other.run(f"{play} edge_mnist.fleet.deploy {local}")
    assert "changed=0" in printed and "failed=0" in printed
    command = f"/opt/edge-mnist/bin/edge-mnist install --store=/{STORE}"
    fleet.other.run(f"{command} {fleet.folder / 'shifted'}; systemctl reload edge-mnist")
    printed = fleet.other.run(f"{play} edge_mnist.fleet.rollback {local}")
    assert "Generation 1 is current" in printed
    assert served(fleet.other) == manifest_sha256(fleet.folder / "good")
