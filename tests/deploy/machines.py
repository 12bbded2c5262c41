"""Two devices on one machine: each has its own systemd, sshd, file system and network.

A device is this machine's own Debian, as an overlay whose changes lie in memory, booted by
systemd-nspawn in a network namespace. A third namespace is the control machine's. None of them
reaches another network.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Debian's package of each command.
COMMANDS = {
    "ip": "iproute2",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
}
_BOOT_LIMIT_S = 60
# sshd's own keys and settings, whatever this machine's are.
_SSHD = """
HostKey /etc/ssh/device_key
PermitRootLogin prohibit-password
UsePAM no
Subsystem sftp internal-sftp
LogLevel VERBOSE
"""
_UNIT = """
[Unit]
DefaultDependencies=no
After=basic.target
[Service]
ExecStartPre=/bin/mkdir -p /run/sshd
ExecStart=/usr/sbin/sshd -D -f /etc/ssh/device_config -E /var/log/device-sshd.log
"""


class UnavailableError(Exception):
    """Devices cannot be made here; the message says what is missing."""


@dataclass(frozen=True)
class Device:
    """A booted device.

    Attributes:
        root: its file system, seen from this machine.
        address: its address, which only the control machine's namespace reaches.
    """

    name: str
    root: Path
    address: str
    key: Path
    namespace: str

    def run(self, *command: str | Path, status: int | None = 0) -> str:
        """Run a command there by ssh from the control machine's namespace; return its output."""
        ssh = ("ssh", *options(self.key), f"root@{self.address}", "--", *map(str, command))
        done = inside(self.namespace, *ssh)
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done.stdout

    @property
    def connections(self) -> int:
        """The number of connections that its sshd has logged."""
        log = self.root / "var/log/device-sshd.log"
        return log.read_text().count("Connection from") if log.exists() else 0


def options(key: Path) -> list[str]:
    """Return ssh's options: this key, nothing of this user's settings."""
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return ["-F", "none", "-i", str(key), *words]


def inside(
    namespace: str, *command: str | Path, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command in a network namespace."""
    return subprocess.run(
        ["ip", "netns", "exec", namespace, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        **settings,  # type: ignore[call-overload]
    )


@contextlib.contextmanager
def devices(folder: Path, *names: str, visible: tuple[Path, ...] = ()) -> Iterator[list[Device]]:
    """Boot devices of these names, and end them.

    Args:
        folder: for their file systems; empty afterwards.
        visible: folders of this machine that each of them can read.

    Raises:
        UnavailableError: something is missing here.
    """
    missing = [package for command, package in COMMANDS.items() if not shutil.which(command)]
    if missing:
        raise UnavailableError(f"needs Debian's packages {', '.join(missing)}")
    if os.geteuid():
        raise UnavailableError("needs root, to boot systemd in a namespace")
    control = f"edge-mnist-{os.getpid()}"
    key = folder / "key"
    with contextlib.ExitStack() as stack:
        _namespace(stack, control)
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        booted = [
            _boot(stack, Device(name, folder / name, f"10.77.{number}.2", key, control), visible)
            for number, name in enumerate(names)
        ]
        for device in booted:
            _wait(device)
        yield booted


def _boot(stack: contextlib.ExitStack, device: Device, visible: tuple[Path, ...]) -> Device:
    namespace = f"{device.namespace}-{device.name}"
    _namespace(stack, namespace)
    near, far = f"near-{device.name}"[:15], f"far-{device.name}"[:15]
    _run("ip", "-n", device.namespace, "link", "add", near, "type", "veth", "peer", "name", far)
    _run("ip", "-n", device.namespace, "link", "set", far, "netns", namespace)
    gateway = device.address.removesuffix("2") + "1"
    for where, link, address in (
        (device.namespace, near, gateway),
        (namespace, far, device.address),
    ):
        _run("ip", "-n", where, "address", "add", f"{address}/30", "dev", link)
        _run("ip", "-n", where, "link", "set", link, "up")
    _overlay(stack, device)
    log = device.root.with_suffix(".log")
    nspawn = [
        *("systemd-nspawn", "--boot", "--keep-unit", "--register=no", "--console=read-only"),
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
        f"--directory={device.root}",
        f"--machine={device.name}",
        f"--network-namespace-path=/run/netns/{namespace}",
        *(f"--bind-ro={path}" for path in visible),
        # Nothing of what this machine would start.
        *("systemd.unit=basic.target", "systemd.wants=device-sshd.service"),
    ]
    with log.open("w") as file:
        process = subprocess.Popen(nspawn, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    stack.callback(_end, process)
    return device


def _overlay(stack: contextlib.ExitStack, device: Device) -> None:
    """Mount this machine's file system with a layer in memory, and put sshd's files into it."""
    layers = device.root.with_suffix(".layers")
    for path in (layers, device.root):
        path.mkdir()
    _mount(stack, layers, "-t", "tmpfs", "-o", "size=1g", "tmpfs")
    for name in ("upper", "work"):
        (layers / name).mkdir()
    places = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
    _mount(stack, device.root, "-t", "overlay", "-o", places, "overlay")
    etc, home = device.root / "etc", device.root / "root"
    for place in ("opt/edge-mnist", "etc/edge-mnist", "etc/edge-mnist.env"):
        if (device.root / place).exists():
            raise UnavailableError(f"needs a machine without /{place}")
    (etc / "machine-id").unlink(missing_ok=True)
    (etc / "hostname").write_text(f"{device.name}\n")
    for name in ("ssh.service", "ssh.socket"):
        _mask(etc / "systemd/system" / name)
    (etc / "ssh/device_config").write_text(_SSHD)
    (etc / "systemd/system/device-sshd.service").write_text(_UNIT)
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", etc / "ssh/device_key")
    (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(device.key.with_suffix(".pub"), home / ".ssh/authorized_keys")


def _mask(unit: Path) -> None:
    """Let systemd never start a unit."""
    unit.unlink(missing_ok=True)
    unit.symlink_to("/dev/null")


def _mount(stack: contextlib.ExitStack, place: Path, *arguments: str) -> None:
    try:
        _run("mount", *arguments, place)
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"needs the right to mount: {error.stderr.strip()}") from error
    stack.callback(subprocess.run, ["umount", "--lazy", place], check=True)


def _namespace(stack: contextlib.ExitStack, name: str) -> None:
    try:
        _run("ip", "netns", "add", name)
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"needs network namespaces: {error.stderr.strip()}") from error
    stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=True)
    _run("ip", "-n", name, "link", "set", "lo", "up")


def _wait(device: Device) -> None:
    until = time.monotonic() + _BOOT_LIMIT_S
    while inside(
        device.namespace, "ssh", *options(device.key), f"root@{device.address}", "true"
    ).returncode:
        if time.monotonic() > until:
            log = device.root.with_suffix(".log").read_text(errors="replace")[-1000:]
            raise UnavailableError(f"needs a machine on which systemd-nspawn boots: {log}")
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a device: the first signal shuts it down, the second does not wait for that."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        for _ in range(2):
            process.terminate()
            process.wait(2)
    process.kill()
    process.wait()


def _run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
