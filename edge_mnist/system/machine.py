"""Files of /proc and /sys in; sensor readings, processor features, memory and limits out.

No vendor's tool is called. A value that the system does not report is None. `root` is `/` except
in tests. Sources: the kernel's documentation of cpufreq, thermal sysfs, /proc/stat and cgroups; for
a Raspberry Pi its documentation of `vcgencmd get_throttled`.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
# Processor features that speed up small networks, as /proc/cpuinfo names them.
FEATURES = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "sve"),
)
# Bits of get_throttled that hold now; 16 bits higher: that have held since boot.
_THROTTLED = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
_PI_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
# A memory limit in bytes from which on there is none: cgroups v1 report the largest page multiple.
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class SensorReading:
    """The state of the machine at one moment. Counters start at boot.

    Attributes:
        frequency_mhz: of the fastest processor.
        temperature_c: of the hottest thermal zone.
        throttled: causes that slow a Raspberry Pi down now.
        throttled_before: causes that have slowed it down since boot.
        core_throttled: thermal events of x86 processors.
        cgroup_throttled: periods in which the control group used up its processor quota.
        busy_s: processor seconds of all processes.
        steal_s: processor seconds that the hypervisor took.
        load_average: over one minute.
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


def read_sensors(root: Path = ROOT) -> SensorReading:
    """Return the state of all sensors now. Takes a few milliseconds at most."""
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
    """Return the processor's features among `FEATURES`; None where the system does not report any.

    An emulated ARM system may show its x86 host's /proc/cpuinfo, which has no ARM features.

    Args:
        root: the folder that holds `proc`.
        machine: the architecture, as `platform.machine()` gives it, which is the default.
    """
    arm = (machine or platform.machine()).startswith(("arm", "aarch64"))
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == ("Features" if arm else "flags"):
            present = set(value.split())
            return [feature for feature in FEATURES if feature in present]
    return None


def governor(root: Path = ROOT) -> str | None:
    """Return the frequency governors of the processors, joined by commas, each once."""
    files = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(dict.fromkeys(text for file in files if (text := _text(file)))) or None


def cgroup_limits(root: Path = ROOT) -> dict[str, float | None]:
    """Return the limits of the control group (cgroup v1 or v2), None where it has no limit.

    Returns:
        `cpus` in processors and `memory_mb` in MB (10⁶ bytes): the lowest limit of the group and
        of its ancestors.
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
    """Return the memory in MB (10⁶ bytes) that new processes can use without swapping."""
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
    """Return the hottest zone's temperature; the files hold thousandths of a degree."""
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
    # An ancestor's count includes its descendants' periods.
    return max(counts) if counts else None


def _processor_seconds(root: Path) -> tuple[float | None, float | None]:
    """Return busy (user, nice, system, interrupts) and stolen processor seconds."""
    fields = (_text(root / "proc/stat") or "").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None, None
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in fields[1:9])
    ticks: int = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / ticks, steal / ticks


def _cgroups(root: Path, controller: str) -> list[Path]:
    """Return the folders of this process's control group and its ancestors; "" for version 2.

    In a container the path may be the host's: folders that do not exist are left out.
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
    quota_us, period_us = _number(quota), _number(period)
    return quota_us / period_us if quota_us and period_us else None


def _quota_v1(folder: Path) -> float | None:
    quota = _number(_text(folder / "cpu.cfs_quota_us"))
    period = _number(_text(folder / "cpu.cfs_period_us"))
    return quota / period if quota and period and quota > 0 else None


def _number(text: str | None) -> float | None:
    """Return the number that a text begins with, None where there is none."""
    try:
        return float((text or "").split()[0])
    except (ValueError, IndexError):
        return None


def _text(path: Path) -> str | None:
    # A sensor's file may exist and yet refuse to be read.
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
