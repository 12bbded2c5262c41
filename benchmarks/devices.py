"""Images a second of `edge-mnist train` on one and two processor cores, as devices and processes.

    python benchmarks/devices.py --rounds 3

Each row trains the same recipe. A device or process gets one core, except in the rows "both cores",
which is what `train` does by default. The seconds of an epoch are those of history.csv, without the
first epoch, which compiles. In each round every row runs once; the ratios are of medians over all.
"""

from __future__ import annotations

import csv
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from edge_mnist.system.text_table import table

# TensorFlow divides a processor only before it is used, and has no variable for that.
_TRAIN = """
import sys
from edge_mnist_export import train
backend, devices, out, data, limit = sys.argv[1:]
if backend == "tensorflow" and devices == "2":
    import tensorflow as tf
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
train(arch="edge", recipe="plain", data=data, limit=int(limit), epochs=4, out=out,
      devices=int(devices), quiet=True)
"""
# name: (backend, devices of all processes, the cores of each process)
ROWS = {
    f"{backend}, {name}": (backend, devices, cores)
    for backend in ("tensorflow", "jax")
    for name, devices, cores in (
        ("one device, one core", 1, ("0",)),
        ("one device, both cores", 1, ("0,1",)),
        ("two devices", 2, ("0,1",)),
        ("two processes", 2, ("0", "1")),
    )
    if backend == "jax" or len(cores) == 1
}


def seconds(backend: str, devices: int, cores: tuple[str, ...], data: str, limit: int) -> list[str]:
    """Train, and return the seconds of each epoch but the first."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for number, core in enumerate(cores):
            environment = {**os.environ, "KERAS_BACKEND": backend}
            if len(cores) > 1:
                environment |= {
                    "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}",
                    "KERAS_DISTRIBUTION_NUM_PROCESSES": str(len(cores)),
                    "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
                }
            elif backend == "jax":
                environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
            out = Path(folder, str(number))
            options = (backend, str(devices), str(out), data, str(limit))
            command = ["taskset", "-c", core, sys.executable, "-c", _TRAIN, *options]
            processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        if any([process.wait() for process in processes]):
            raise click.ClickException(f"{backend} on {devices} devices failed")
        with Path(folder, "0", "history.csv").open(encoding="utf-8", newline="") as file:
            return [row["seconds"] for row in csv.DictReader(file)][1:]


@click.command()
@click.option("--rounds", type=int, default=3)
@click.option("--data", default="mnist")
@click.option("--limit", type=int, default=12_000)
def main(rounds: int, data: str, limit: int) -> None:
    """Run every row in every round; print the medians."""
    times: dict[str, list[float]] = {name: [] for name in ROWS}
    for number in range(rounds):
        for name, row in ROWS.items():
            times[name] += map(float, seconds(*row, data, limit))
            click.echo(f"round {number + 1}, {name}: {times[name][-3:]}", err=True)
    rates = {name: limit / statistics.median(values) for name, values in times.items()}
    cells = []
    for name, rate in rates.items():
        backend, _, rest = name.partition(", ")
        ratio = rate / rates[f"{backend}, one device, one core"]
        cells.append((backend, rest, f"{rate:,.0f}", f"{ratio:.2f}"))
    click.echo(table(("backend", "devices", "images/s", "of one core"), cells))


if __name__ == "__main__":
    main()
