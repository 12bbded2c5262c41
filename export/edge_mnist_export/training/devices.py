"""The number of devices that a user asks for in; the devices to train on out.

Each device computes its share of every batch, and all add up their gradients: batch size, learning
rate and steps are those of one device. A batch that the devices cannot share evenly, such as the
last one of an epoch, is computed whole by each of them, so that no image counts more than another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_mnist.errors import HostError

from .processes import Job


@dataclass(frozen=True)
class Devices:
    """The devices of a training run.

    Attributes:
        count: the number of devices, over all processes.
        job: the processes.
    """

    count: int
    job: Job

    @property
    def words(self) -> str:
        """How a line of progress names them, such as " on 2 devices"; "" for one."""
        if self.count == 1:
            return ""
        processes = f" of {self.job.count} processes" if self.job.count > 1 else ""
        return f" on {self.count} devices{processes}"


ONE = Devices(1, Job())


def find(backend: str, asked: int | None, batch_size: int, job: Job) -> Devices:
    """Return the devices to train on.

    Args:
        backend: Keras's, already loaded: tensorflow or jax.
        asked: the number of devices over all processes; None for all GPUs, or one CPU device of
            each process. Of the GPUs as many are taken as divide the batch.
        batch_size: images per step, over all devices.
        job: the processes, already connected.

    Raises:
        HostError: there are fewer devices, or that number does not divide the batch or is not a
            multiple of the processes.
    """
    accelerated, seen = _count(backend)
    even = [n for n in range(1, seen + 1) if batch_size % n == 0]
    if asked is None:
        shared = [n for n in even if n % job.count == 0] if accelerated else []
        asked = max(shared, default=job.count)
    if asked > seen:
        hint = (
            ", or divide the processor with XLA_FLAGS=--xla_force_host_platform_device_count=N"
            if backend == "jax" and not accelerated
            else ""
        )
        raise HostError(
            f"Expected at most {seen} devices, which {backend} sees here, got {asked}; give a "
            f"smaller number{hint}.",
            code="host-devices-few",
        )
    if asked % job.count:
        raise HostError(
            f"Expected a multiple of {job.count} devices, as many for each process, got {asked}; "
            f"give another number.",
            code="host-devices-processes",
        )
    if batch_size % asked:
        raise HostError(
            f"Expected a number of devices that divides the batch of {batch_size} images, got "
            f"{asked}; give one of {', '.join(map(str, even))}.",
            code="host-devices-batch",
        )
    return Devices(asked, job)


def _count(backend: str) -> tuple[bool, int]:
    """Return whether the backend sees accelerators, and the number of its devices."""
    devices = _all(backend)
    return _is_accelerated(devices), len(devices)


def _all(backend: str) -> list[Any]:
    """Return all accelerators, or else all CPU devices; those of JAX over all processes."""
    if backend == "jax":
        import jax

        return [*jax.devices()]
    import tensorflow as tf

    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return [*tf.config.list_logical_devices(kind)]


def _is_accelerated(devices: list[Any]) -> bool:
    kind = getattr(devices[0], "platform", None) or devices[0].device_type
    return str(kind).lower() != "cpu"


def tensorflow_names(devices: Devices) -> list[str]:
    """Return the names of the devices, for `tf.distribute`."""
    return [device.name for device in _all("tensorflow")[: devices.count]]


def jax_devices(devices: Devices) -> list[Any]:
    """Return JAX's devices, as many of each process."""
    import jax

    each = devices.count // devices.job.count
    groups: dict[int, list[Any]] = {}
    for device in jax.devices():
        groups.setdefault(device.process_index, []).append(device)
    return [device for number in sorted(groups) for device in groups[number][:each]]
