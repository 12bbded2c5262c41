"""What a machine says of itself, from its files and without any vendor's tool.

Everything is read below `root`, `/` but in tests; what a system does not tell is None.
Sources: the kernel's Documentation for cpufreq, thermal sysfs, proc_stat and cgroups; for a
Raspberry Pi the firmware's `get_throttled`, whose bits stand in its documentation of vcgencmd.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/")
# Of what a processor's features are, those that matter to small networks.
FEATURES = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "sve"),
)
# Bits of a Raspberry Pi's get_throttled that hold now; 16 higher, that it has been since the start.
_THROTTLED = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
_PI_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
# Of version 1 without a limit: the largest multiple of a page.
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class SensorReading:
    """One look at the machine.

    `frequency_mhz` is the fastest processor's; `throttled` names what slows it down now, and
    `throttled_before` what has since it was started; `busy_s`, `steal_s` are processor seconds
    since then, of everything; `cgroup_throttled` counts periods in which the control group's
    quota was used up, `core_throttled` events of x86 processors that ran hot.
    """

    frequency_mhz: float | None
    temperature_c: float | None
    throttled: tuple[str, ...] | None
    throttled_before: tuple[str, ...] | None
    core_throttled: int | None
    cgroup_throttled: int | None
    busy_s: float | None
    steal_s: float | None
    load_average: float | None

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def read_sensors(root: Path = ROOT) -> SensorReading:
    """Look at the machine once; some milliseconds at most."""
    busy_s, steal_s = _processor_seconds(root)
    bits = _throttle_bits(root)
    return SensorReading(
        frequency_mhz=_frequency_mhz(root),
        temperature_c=_temperature_c(root),
        throttled=_named(bits, 0),
        throttled_before=_named(bits, 16),
        core_throttled=_core_throttled(root),
        cgroup_throttled=_cgroup_throttled(root),
        busy_s=busy_s,
        steal_s=steal_s,
        load_average=_number(_text(root / "proc/loadavg")),
    )


def cpu_features(root: Path = ROOT, machine: str | None = None) -> list[str] | None:
    """Return which of FEATURES the processor has; None where the system does not say.

    An emulated ARM system may show the file of its x86 host, which tells nothing.
    """
    arm = (machine or platform.machine()).startswith(("arm", "aarch64"))
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == ("Features" if arm else "flags"):
            own = set(value.split())
            return [feature for feature in FEATURES if feature in own]
    return None


def governor(root: Path = ROOT) -> str | None:
    """Return the governors in use, those of several processors joined by commas."""
    files = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(dict.fromkeys(text for file in files if (text := _text(file)))) or None


def cgroup_limits(root: Path = ROOT) -> dict[str, float | None]:
    """Return the processors and MB (10⁶ bytes) that the control group grants, None without limit.

    Both versions of control groups; the tightest of the group and those above it.
    """
    cpus = [_quota_v2(folder) for folder in _cgroups(root, "")]
    cpus += [_quota_v1(folder) for folder in _cgroups(root, "cpu")]
    bytes_ = [_number(_text(folder / "memory.max")) for folder in _cgroups(root, "")]
    bytes_ += [
        _number(_text(folder / "memory.limit_in_bytes")) for folder in _cgroups(root, "memory")
    ]
    memory = [value for value in bytes_ if value is not None and value < _UNLIMITED]
    return {
        "cpus": min((value for value in cpus if value is not None), default=None),
        "memory_mb": min(memory) // 10**6 if memory else None,
    }


def available_mb(root: Path = ROOT) -> float | None:
    """Return the memory in MB (10⁶ bytes) that new processes can have without swapping."""
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024 / 1e6
            limit = cgroup_limits(root)["memory_mb"]
            return free if limit is None else min(free, limit)
    return None


def _frequency_mhz(root: Path) -> float | None:
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    values = [value for file in files if (value := _number(_text(file))) is not None]
    return max(values) / 1000 if values else None


def _temperature_c(root: Path) -> float | None:
    """Return the hottest zone's degrees, which files give in thousandths."""
    files = root.glob("sys/class/thermal/thermal_zone*/temp")
    values = [value for file in files if (value := _number(_text(file))) is not None]
    return max(values) / 1000 if values else None


def _throttle_bits(root: Path) -> int | None:
    text = _text(root / _PI_THROTTLED)
    try:
        bits = int(text, 16) if text else None
    except ValueError:
        bits = None
    alarms = [
        _text(file.with_name("in0_lcrit_alarm")) == "1"
        or _text(file.with_name("in1_lcrit_alarm")) == "1"
        for file in root.glob("sys/class/hwmon/hwmon*/name")
        if _text(file) == "rpi_volt"
    ]
    if bits is None and not alarms:
        return None
    return (bits or 0) | any(alarms)


def _named(bits: int | None, shift: int) -> tuple[str, ...] | None:
    if bits is None:
        return None
    return tuple(name for bit, name in _THROTTLED.items() if bits >> (bit + shift) & 1)


def _core_throttled(root: Path) -> int | None:
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [int(value) for file in files if (value := _number(_text(file))) is not None]
    return sum(counts) if counts else None


def _cgroup_throttled(root: Path) -> int | None:
    counts = []
    for folder in (*_cgroups(root, ""), *_cgroups(root, "cpu")):
        for line in (_text(folder / "cpu.stat") or "").splitlines():
            if line.startswith("nr_throttled "):
                counts.append(int(line.split()[1]))
    # A group's own periods are among those of the group above it.
    return max(counts) if counts else None


def _processor_seconds(root: Path) -> tuple[float | None, float | None]:
    """Return busy and stolen processor seconds: user, nice, system and interrupts; steal."""
    fields = (_text(root / "proc/stat") or "").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None, None
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in fields[1:9])
    ticks: int = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / ticks, steal / ticks


def _cgroups(root: Path, controller: str) -> list[Path]:
    """Return the folder of this process's group and those above it; "" for version 2.

    In a container the path may be that of the host: what is missing here is passed over.
    """
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / (controllers if controller else "")
            if controller and not mount.is_dir():
                mount = root / "sys/fs/cgroup" / controller
            group = mount / path.lstrip("/")
            above = [parent for parent in group.parents if parent.is_relative_to(mount)]
            return list(dict.fromkeys(f for f in (group, *above, mount) if f.is_dir()))
    return []


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = (_text(folder / "cpu.max") or "max").partition(" ")
    granted, of = _number(quota), _number(period)
    return granted / of if granted and of else None


def _quota_v1(folder: Path) -> float | None:
    quota = _number(_text(folder / "cpu.cfs_quota_us"))
    period = _number(_text(folder / "cpu.cfs_period_us"))
    return quota / period if quota and period and quota > 0 else None


def _number(text: str | None) -> float | None:
    """Return the first number of a text, None where it has none."""
    try:
        return float((text or "").split()[0])
    except (ValueError, IndexError):
        return None


def _text(path: Path) -> str | None:
    # A sensor that is there may refuse to be read.
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
