"""Sensors, features and limits, read from files of a Raspberry Pi and of an x86 server."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from edge_mnist.system import machine

PI = {
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd evtstrm asimdhp asimddp cpuid\n",
    "proc/stat": "cpu  100 20 30 4000 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n",
    "proc/loadavg": "0.52 0.40 0.30 1/100 4242\n",
    "proc/meminfo": "MemTotal:  443080 kB\nMemAvailable:     341796 kB\n",
    "proc/self/cgroup": "0::/user.slice/app\n",
    "sys/fs/cgroup/user.slice/cpu.max": "50000 100000\n",
    "sys/fs/cgroup/user.slice/app/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/app/memory.max": "268435456\n",
    "sys/fs/cgroup/user.slice/app/cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 4\n",
    "sys/class/thermal/thermal_zone0/temp": "61322\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in1_lcrit_alarm": "0\n",
}
V1 = {
    "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 0\nnr_throttled 7\nthrottled_time 3\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "512000000\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
    "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "2\n",
    "sys/class/hwmon/hwmon0/name": "coretemp\n",
}


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_sensors_of_a_raspberry_pi(tmp_path: Path) -> None:
    root = write_files(tmp_path, PI)
    reading = machine.read_sensors(root)
    ticks = os.sysconf("SC_CLK_TCK")
    assert reading.frequency_mhz == 1500
    assert reading.temperature_c == pytest.approx(61.322)
    assert reading.throttled == ("under-voltage", "throttled")
    assert reading.throttled_before == ("under-voltage", "throttled")
    assert reading.cgroup_throttled == 4
    assert reading.busy_s == pytest.approx((100 + 20 + 30 + 6 + 7) / ticks)
    assert reading.steal_s == pytest.approx(8 / ticks)
    assert reading.load_average == 0.52
    assert reading.core_throttled is None
    assert machine.governor(root) == "ondemand"
    assert machine.cgroup_limits(root) == {"cpus": 0.5, "memory_mb": 268}
    assert machine.available_mb(root) == 268
    assert machine.cpu_features(root, "aarch64") == ["asimd", "asimdhp", "asimddp"]


def test_the_voltage_alarm_alone_means_under_voltage(tmp_path: Path) -> None:
    write_files(tmp_path, {"sys/class/hwmon/hwmon1/name": "rpi_volt\n"})
    assert machine.read_sensors(tmp_path).throttled == ()
    write_files(tmp_path, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"})
    assert machine.read_sensors(tmp_path).throttled == ("under-voltage",)


def test_cgroup_v1_limits_and_thermal_events_of_x86(tmp_path: Path) -> None:
    root = write_files(tmp_path, V1)
    assert machine.cgroup_limits(root) == {"cpus": 1.5, "memory_mb": 512}
    reading = machine.read_sensors(root)
    assert (reading.cgroup_throttled, reading.core_throttled) == (7, 5)
    assert reading.throttled is None


def test_cgroup_v1_without_limits_is_none(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = write_files(tmp_path, V1 | files)
    assert machine.cgroup_limits(root) == {"cpus": None, "memory_mb": None}


def test_a_system_that_reports_nothing_gives_none(tmp_path: Path) -> None:
    assert set(asdict(machine.read_sensors(tmp_path)).values()) == {None}
    assert machine.governor(tmp_path) is machine.available_mb(tmp_path) is None
    # An emulated ARM system shows its host's /proc/cpuinfo.
    write_files(tmp_path, {"proc/cpuinfo": "flags\t\t: fpu avx2 avx512_vnni\n"})
    assert machine.cpu_features(tmp_path, "armv7l") is None
    assert machine.cpu_features(tmp_path, "x86_64") == ["avx2", "avx512_vnni"]
