"""What a benchmark is made of: statistics, the machine's files, taints, choice, comparison."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import backends
from edge_mnist.benchmark import pareto, plan, quality_flags, report, runner
from edge_mnist.benchmark.compare import Change, compare
from edge_mnist.benchmark.statistics import interval, resampled, rounded, summary
from edge_mnist.bundle import find_artifacts
from edge_mnist.errors import DataError, GateError, ModelError
from edge_mnist.system import machine
from tests.conftest import WHOLE
from tests.foreign_models.test_hostile import SPLIT, uncommon

Rounds = list[list[int]]

# ----- Statistics --------------------------------------------------------------------------------


def rounds_of(random: np.random.Generator, *, rounds: int = 60, each: int = 30) -> Rounds:
    """Return samples of 20 µs: rounds differ by 5 %, samples within one by 1 %."""
    level = 20_000 * (1 + 0.05 * random.standard_normal(rounds))
    samples = level[:, np.newaxis] * (1 + 0.01 * random.standard_normal((rounds, each)))
    return [[int(sample) for sample in part] for part in samples]


def test_percentiles_are_numpys_in_microseconds() -> None:
    rounds = [[1000, 2000, 3000], [4000, 5000]]
    found = summary(rounds)
    assert (found["n"], found["mean"], found["p50"], found["p90"]) == (5, 3.0, 3.0, 4.6)
    assert found["p999"] is None
    low, high = found["ci95"]["p50"]
    assert low <= 3.0 <= high
    assert summary([[5000] * 1000])["p999"] == 5.0
    assert summary([[5000] * 1000])["ci95"] is None


def test_intervals_hold_the_median_as_often_as_they_say() -> None:
    """And drawing samples instead of rounds would not: neighbours are alike."""
    held, naive = 0, 0
    for seed in range(150):
        rounds = rounds_of(np.random.default_rng(seed))
        low, high = summary(rounds)["ci95"]["p50"]
        held += low <= 20 <= high
        alone = [[sample] for part in rounds for sample in part]
        low, high = interval(resampled(alone, (0.5,), resamples=200)[:, 0] / 1000, 0.95)
        naive += low <= 20 <= high
    # Of 150 at 95 %: four standard deviations below would be 132.
    assert held >= 132
    assert naive < 75


@pytest.mark.parametrize(
    ("value", "half_width", "expected"),
    [
        (26.937, 0.3, "26.9"),
        (26.937, 0.031, "26.94"),
        (26.937, 0.0001, "26.94"),
        (26.937, 0.0, "26.94"),
        (26.937, 3.0, "27"),
        (1263.4, 40.0, "1260"),
        (200.0, 500.0, "200"),
        (1263.4, None, "1260"),
        (0.3456, None, "0.35"),
        (4.5678, None, "4.57"),
        (0.0, None, "0.00"),
    ],
)
def test_digits_are_those_that_the_noise_allows(
    value: float, half_width: float | None, expected: str
) -> None:
    assert rounded(value, half_width) == expected


# ----- The plan ----------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [10, 40, 41, 1000])
def test_runs_are_exactly_those_asked_for(runs: int) -> None:
    chosen = plan.choose(runs=runs, rows=3)
    sizes = [chosen.size(number, 1e-3) for number in range(chosen.rounds)]
    assert sum(sizes) == runs
    assert min(sizes) >= 1


def test_a_slow_model_is_timed_less_often_and_never_less_than_once_a_round() -> None:
    standard = plan.choose(rows=4)
    assert standard.rounds == 100
    assert [standard.size(0, pace_s) for pace_s in (20e-6, 10e-3, 1.0)] == [100, 10, 1]
    # Eight rows of a model of 1 ms in half of the 20 seconds.
    quick = plan.choose(quick=True, rows=8)
    assert 8 * quick.rounds * 2 * 1e-3 * quick.size(0, 1e-3) <= 10
    # A turn is of 0.2 seconds, and what is kept of a long time is bounded.
    short = plan.choose(duration_s=10, rows=1)
    assert [short.size(0, pace_s) for pace_s in (20e-6, 10e-3, 1.0)] == [200, 10, 1]
    for hours in (1, 100):
        long = plan.choose(duration_s=3600 * hours, rows=2)
        assert long.rounds * long.size(0, 20e-6) <= plan.MOST_SAMPLES
        assert long.rounds * long.turn_s * 2 == pytest.approx(3600 * hours)


@pytest.mark.parametrize(("text", "expected"), [("30s", 30), ("10m", 600), ("1h", 3600)])
def test_durations(text: str, expected: float) -> None:
    assert plan.seconds(text) == expected


@pytest.mark.parametrize("text", ["10", "0s", "-3m", "m", "10 days", "1e9h", "nan"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="Expected a duration of 1s to 168h such as 30s, 10m"):
        plan.seconds(text)


def test_what_memory_does_not_hold_together_is_measured_in_groups() -> None:
    (artifact, *_) = find_artifacts()
    jobs = [runner.Job(artifact, backends.installed("tflite")[0], n) for n in range(1, 6)]

    def sizes(available_mb: float | None) -> list[int]:
        return [len(group) for group in runner.groups(jobs, available_mb=available_mb)]

    assert sizes(8000) == sizes(None) == [5]
    assert sizes(400) == [3, 2]
    assert sizes(350) == [2, 2, 1]
    assert sizes(50) == [2, 2, 1]


# ----- The machine -------------------------------------------------------------------------------

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


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_a_raspberry_pi_is_read(tmp_path: Path) -> None:
    root = tree(tmp_path, PI)
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


def test_an_alarm_of_the_voltage_is_enough(tmp_path: Path) -> None:
    tree(tmp_path, {"sys/class/hwmon/hwmon1/name": "rpi_volt\n"})
    assert machine.read_sensors(tmp_path).throttled == ()
    tree(tmp_path, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"})
    assert machine.read_sensors(tmp_path).throttled == ("under-voltage",)


def test_control_groups_of_version_1_and_hot_x86_cores_are_read(tmp_path: Path) -> None:
    root = tree(tmp_path, V1)
    assert machine.cgroup_limits(root) == {"cpus": 1.5, "memory_mb": 512}
    reading = machine.read_sensors(root)
    assert (reading.cgroup_throttled, reading.core_throttled) == (7, 5)
    assert reading.throttled is None


def test_no_limit_is_none(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = tree(tmp_path, V1 | files)
    assert machine.cgroup_limits(root) == {"cpus": None, "memory_mb": None}


def test_a_machine_that_tells_nothing_is_read_too(tmp_path: Path) -> None:
    assert set(machine.read_sensors(tmp_path).document().values()) == {None}
    assert machine.governor(tmp_path) is machine.available_mb(tmp_path) is None
    # An emulated ARM system that shows the file of its host.
    tree(tmp_path, {"proc/cpuinfo": "flags\t\t: fpu avx2 avx512_vnni\n"})
    assert machine.cpu_features(tmp_path, "armv7l") is None
    assert machine.cpu_features(tmp_path, "x86_64") == ["avx2", "avx512_vnni"]


# ----- Taints ------------------------------------------------------------------------------------

QUIET = machine.SensorReading(1500.0, 50.0, (), (), 0, 0, 100.0, 0.0, 0.1)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({}, None),
        ({"frequency_mhz": 1490.0}, None),
        ({"frequency_mhz": 600.0}, "frequency moved: 600 to 1500 MHz"),
        ({"throttled": ("throttled",)}, "throttled: throttled"),
        ({"throttled_before": ("under-voltage",)}, "throttled: under-voltage"),
        ({"core_throttled": 2}, "throttled: too hot"),
        ({"cgroup_throttled": 3}, "cgroup: its processor quota was used up 3 times"),
        ({"busy_s": 115.0}, "busy: other processes used 0.5 processors"),
        ({"busy_s": 110.5}, None),
        ({"steal_s": 1.0}, "stolen: the hypervisor took 10% of a processor"),
        ({"frequency_mhz": None, "busy_s": None, "throttled": None}, None),
    ],
)
def test_what_the_machine_did_taints(last: dict[str, Any], expected: str | None) -> None:
    """Ten seconds, all of one processor used by the benchmark itself."""
    end = replace(QUIET, **{"busy_s": 110.0} | last)
    found = quality_flags.of_machine([QUIET, end], own_s=10, wall_s=10)
    assert found == ([expected] if expected else [])


def test_throttling_in_the_middle_is_not_forgotten() -> None:
    middle = replace(QUIET, throttled=("throttled",), frequency_mhz=600.0)
    found = quality_flags.of_machine([QUIET, middle, QUIET], own_s=0, wall_s=10)
    assert found == ["throttled: throttled", "frequency moved: 600 to 1500 MHz"]


def test_what_the_samples_show_taints() -> None:
    steady: Rounds = [[20_000, 20_100, 20_200]] * 30
    row: dict[str, Any] = {"predict_us": summary(steady), "warm_up": {"stable": True}}
    assert quality_flags.of_row(row, steady) == []
    drifting = [[20_000 + 100 * index] * 3 for index in range(30)]
    row = {"predict_us": summary(drifting), "warm_up": {"stable": False, "seconds": 2.04}}
    assert quality_flags.of_row(row, drifting) == [
        "drift: the last third was 10% slower than the first",
        "warm-up: not stable after 2.0 s",
    ]
    spread = [[20_000, 20_000, 20_000, 25_000]] * 30
    row = {"predict_us": summary(spread), "warm_up": {"stable": True}}
    assert quality_flags.of_row(row, spread) == ["spread: p90 is 25% over the median"]


# ----- Choice ------------------------------------------------------------------------------------


def row(
    *, us: float = 20.0, size: int = 1000, accuracy: float | None = 0.99, **more: Any
) -> dict[str, Any]:
    rounds = [[round(1000 * us) + 10 * index for index in range(9)]] * 20
    defaults = {
        "file": "m.tflite",
        "label": "m.tflite",
        "folder": "bundle",
        "format": "tflite",
        "precision": "float32",
        "backend": "litert",
        "threads": 1,
        "batch": 1,
        "group": 0,
        "size_bytes": size,
        "accuracy": accuracy,
        "tainted": [],
        "predict_us": summary(rounds),
        "samples_ns": {"predict": rounds, "invoke": rounds},
    }
    return defaults | more


def test_pareto_best_is_what_nothing_beats() -> None:
    fast, small, right = row(us=10), row(size=100), row(accuracy=0.995)
    worse = row(us=11, size=2000)
    assert pareto.pareto([fast, small, right, worse]) == [True, True, True, False]
    # As fast within the noise, and smaller.
    assert pareto.pareto([row(size=2000), row(us=20.001, size=1000)]) == [False, True]
    assert pareto.pareto([row(), row()]) == [True, True]


def test_unknown_accuracy_is_compared_with_its_like() -> None:
    known, unknown, slow = row(us=5), row(us=10, accuracy=None), row(us=20, accuracy=None)
    assert pareto.pareto([known, unknown, slow]) == [True, True, False]


@pytest.mark.parametrize(
    ("features", "system", "why"),
    [
        (["avx2"], "x86_64", "the processor has no VNNI for 8-bit integers."),
        (["avx2", "avx_vnni"], "x86_64", "not for want of VNNI, which the processor has."),
        (["asimd"], "aarch64", "the processor has no dot-product instructions for 8-bit"),
        (None, "armv7l", "the system does not say what the processor lacks."),
    ],
)
def test_int8_that_is_slower_is_named_with_the_reason(
    features: list[str] | None, system: str, why: str
) -> None:
    plain, slow = row(us=20), row(us=25, precision="int8", label="i8.tflite")
    (sentence,) = pareto.slower_than_float([plain, slow], features, system)
    assert sentence.startswith("i8.tflite takes 1.25 times as long as float32 here, on litert")
    assert why in sentence
    assert pareto.slower_than_float([plain, row(us=15, precision="int8")], features, system) == []
    elsewhere = row(us=25, precision="int8", threads=2)
    assert pareto.slower_than_float([plain, elsewhere], features, system) == []


# ----- Comparison --------------------------------------------------------------------------------


def written(path: Path, rounds: Rounds, **more: Any) -> Path:
    line = row() | {"predict_us": summary(rounds), "samples_ns": {"predict": rounds}}
    path.write_text(json.dumps({"schema": 1, "results": [line], **more}))
    return path


def bursts(random: np.random.Generator, *, factor: float = 1.0) -> Rounds:
    """Return rounds of 20 µs on a machine where another process is busy half of the time."""
    rounds = []
    disturbed = False
    for _ in range(100):
        disturbed = disturbed != (random.random() < 0.08)
        level = 20_000 * factor * (1 + (0.15 if disturbed else 0) + 0.01 * random.random())
        tail = random.exponential(300, 40)
        rounds.append([int(level + value) for value in tail])
    return rounds


def test_noise_is_no_regression_and_ten_percent_are_one(tmp_path: Path) -> None:
    same, planted, ratios = Counter(), Counter(), []
    for seed in range(20):
        random = np.random.default_rng(seed)
        before = written(tmp_path / "a.json", bursts(random))
        again = written(tmp_path / "b.json", bursts(random))
        slower = written(tmp_path / "c.json", bursts(random, factor=1.10))
        (change,) = compare(before, again).changes
        same[change.verdict(0.05)] += 1
        ratios.append(change.ratio)
        (change,) = compare(before, slower).changes
        planted[change.verdict(0.05)] += 1
    # The medians alone would have raised an alarm in some, intervals or not.
    assert max(ratios) > 1.10
    assert set(same) == {"within the limit", "unclear: the noise is larger than the limit"}
    assert set(planted) == {"slower", "unclear: the noise is larger than the limit"}
    assert planted["slower"] >= 8


def test_on_a_quiet_machine_every_ten_percent_is_caught(tmp_path: Path) -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        before = written(tmp_path / "a.json", [[int(x) for x in r] for r in quiet(random, 1.0)])
        after = written(tmp_path / "b.json", [[int(x) for x in r] for r in quiet(random, 1.1)])
        again = written(tmp_path / "c.json", [[int(x) for x in r] for r in quiet(random, 1.0)])
        with pytest.raises(GateError, match=r"the worst m.tflite on litert at 1\.(09|10|11) times"):
            compare(before, after).hold(0.05)
        compare(before, again).hold(0.05)
        (change,) = compare(after, before).changes
        assert change.verdict(0.05) == "faster"


def quiet(random: np.random.Generator, factor: float) -> Any:
    level = 20_000 * factor * (1 + 0.01 * random.standard_normal((60, 1)))
    return level + random.exponential(300, (60, 40))


@pytest.mark.parametrize(
    ("interval", "quiet", "verdict"),
    [
        (None, None, "slower"),
        ((1.06, 1.2), (1.06, 1.2), "slower"),
        ((1.06, 1.2), (0.99, 1.02), "unclear: the noise is larger than the limit"),
        ((0.99, 1.2), (0.99, 1.02), "unclear: the noise is larger than the limit"),
        ((0.98, 1.04), (0.99, 1.03), "within the limit"),
        ((0.8, 0.9), (0.8, 0.95), "faster"),
        ((0.98, 1.04), (1.06, 1.2), "unclear: the noise is larger than the limit"),
        ((0.8, 0.9), (0.99, 1.01), "unclear: the noise is larger than the limit"),
    ],
)
def test_verdicts(
    interval: tuple[float, float] | None, quiet: tuple[float, float] | None, verdict: str
) -> None:
    change = Change(("m", "onnx", 1, 1), 10.0, 11.0, interval, quiet)
    assert change.verdict(0.05) == verdict


def test_a_row_that_failed_since_fails_the_comparison(tmp_path: Path) -> None:
    before = written(tmp_path / "a.json", [[20_000]] * 12)
    key = {name: row()[name] for name in ("file", "label", "backend", "threads", "batch")}
    failed = [{**key, "error": "its process died of SIGSEGV"}]
    after = tmp_path / "b.json"
    after.write_text(json.dumps({"schema": 1, "results": [], "failed": failed}))
    with pytest.raises(
        GateError, match=r"got one that failed: m\.tflite, litert, 1, 1: its process"
    ):
        compare(before, after).hold(0.05)


@pytest.mark.parametrize("samples", ["[[]]", "[[0]]", "[[1.5]]", "[[true]]", "3", '[["a"]]'])
def test_samples_that_are_none_are_refused(samples: str, tmp_path: Path) -> None:
    good = written(tmp_path / "a.json", [[20_000]] * 12)
    line = row() | {"samples_ns": {"predict": json.loads(samples)}}
    (tmp_path / "b.json").write_text(json.dumps({"schema": 1, "results": [line]}))
    with pytest.raises(DataError, match="Expected a benchmark file of schema 1"):
        compare(good, tmp_path / "b.json")


# ----- Processes ---------------------------------------------------------------------------------


def test_a_file_that_kills_its_process_is_a_failed_row_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert, which dies of this file")
    deadly = tmp_path / "deadly.tflite"
    deadly.write_bytes(uncommon((WHOLE / "model-float32.tflite").read_bytes(), SPLIT))
    sound = WHOLE / "model-int8.tflite"
    litert = backends.get("litert")
    jobs = [(find_artifacts(file)[0], litert, 1) for file in (deadly, sound)]
    chosen = plan.choose(runs=10, rows=2)
    shown: list[float] = []
    document = report.run(jobs, plan=chosen, show=lambda part, _: shown.append(part))
    assert [line["file"] for line in document["results"]] == ["model-int8.tflite"]
    (failed,) = document["failed"]
    assert (failed["file"], failed["error"]) == ("deadly.tflite", "its process died of SIGSEGV")
    assert "Failed: deadly.tflite on litert: its process died of SIGSEGV" in report.text(document)
    assert shown == sorted(shown)
    with pytest.raises(ModelError, match=r"measure deadly\.tflite on litert: its process died"):
        report.run(jobs[:1], plan=chosen, show=lambda part, what: None)


@pytest.fixture
def lasting(tmp_path: Path) -> Any:
    """A benchmark that would go on for a minute, and the processes that it has started."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("needs /proc to find the processes of another")
    command = Path(sys.executable).with_name("edge-mnist")
    process = subprocess.Popen(
        [command, "benchmark", WHOLE, "--duration", "60s", "--json", tmp_path / "x.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    count = sum(len(backends.installed(a.format)) for a in find_artifacts(WHOLE))
    wait_for(lambda: len(workers(process.pid)) == count and turning(process.pid))
    yield process, workers(process.pid)
    process.kill()
    process.communicate()


def workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children]


def turning(parent: int) -> bool:
    """Whether every worker has had a second of processor time: loaded, warm and in turns."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in workers(parent)
    ]
    return all(int(f[11]) + int(f[12]) > 0.8 * ticks for f in fields)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_ctrl_c_leaves_no_process_and_no_file(lasting: Any, tmp_path: Path) -> None:
    process, started = lasting
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (out, err.strip()) == ("", "edge-mnist: error: interrupted")
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []


def test_workers_end_when_their_parent_is_killed(lasting: Any) -> None:
    process, started = lasting
    process.kill()
    process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
