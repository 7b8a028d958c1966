"""Device shares: what `sweep worker --device` names, and how a training takes its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import InputError
from sweep.training.contract import Device

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One CUDA device this process may use."""

    index: int
    """As `nvidia-smi` counts; where CUDA_VISIBLE_DEVICES is set, the place in that list."""
    name: str
    memory_bytes: int


def parse_devices(
    text: str | None,
    *,
    per_gpu: int = 1,
    gpus: Sequence[Gpu] | None = None,
    cores: int | None = None,
) -> list[Device]:
    """Return the device shares for `text`, one for each training to run at the same time.

    Args:
        text: `cpu`, or CUDA indices as in `0` or `0,1`. None takes all GPUs, and where there is
            none one share for each CPU core.
        per_gpu: Trainings that share one GPU, each with an equal part of its memory.
        gpus: What there is; by default what the driver lists.
        cores: How many CPU cores there are; by default those this process may use.

    Raises:
        InputError: If `text` names what is not there.
    """
    if per_gpu < 1:
        raise InputError(f"--per-gpu is {per_gpu}, allowed is a whole number from 1")
    if text == "cpu":
        return [Device()]
    found = visible_gpus() if gpus is None else gpus
    if text is None and not found:
        return [Device()] * (cores or available_cores())
    there = {gpu.index for gpu in found}
    chosen = sorted(there) if text is None else _indices(text, there)
    return [
        Device(kind="cuda", index=index, memory_fraction=1 / per_gpu)
        for index in chosen
        for _ in range(per_gpu)
    ]


def _indices(text: str, there: set[int]) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    allowed = ", ".join(["cpu", *map(str, sorted(there))])
    if not all(word.isascii() and word.isdigit() for word in words):
        raise InputError(f"--device '{text}': write cpu or GPU numbers as in 0,1; here: {allowed}")
    indices = [int(word) for word in words]
    if missing := [index for index in indices if index not in there]:
        raise InputError(f"--device '{text}': there is no GPU {missing[0]}; here: {allowed}")
    if len(set(indices)) < len(indices):
        raise InputError(f"--device '{text}' names a GPU twice; to share one use --per-gpu")
    return indices


def visible_gpus() -> list[Gpu]:
    """Return the GPUs this process may use, asked of the driver without loading torch or CUDA."""
    try:
        import pynvml  # type: ignore[import-untyped]  # NVIDIA's own bindings: fail without a driver

        pynvml.nvmlInit()
    except Exception:
        return []
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        uuids = [_text(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        chosen = visible(os.environ.get("CUDA_VISIBLE_DEVICES"), uuids)
        return [
            Gpu(
                index=place,
                name=_text(pynvml.nvmlDeviceGetName(handles[index])),
                memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handles[index]).total),
            )
            for place, index in enumerate(chosen)
        ]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def visible(variable: str | None, uuids: Sequence[str]) -> list[int]:
    """Return the physical indices that CUDA_VISIBLE_DEVICES leaves, in its order.

    As CUDA reads it: numbers or beginnings of UUIDs; from the first wrong entry on all is hidden.
    Source: CUDA C++ Programming Guide, "CUDA Environment Variables".
    """
    if variable is None:
        return list(range(len(uuids)))
    chosen: list[int] = []
    for word in (entry.strip() for entry in variable.split(",")):
        if word.isdigit():
            matches = [int(word)] if int(word) < len(uuids) else []
        else:
            matches = [index for index, uuid in enumerate(uuids) if word and uuid.startswith(word)]
        if len(matches) != 1:
            break
        chosen.append(matches[0])
    return chosen


def available_cores() -> int:
    """Return how many CPU cores this process may keep busy: its affinity, within a cgroup quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or `max`: no quota
        return cores


def claim(device: Device) -> str:
    """Let this process see `device` only, and return its name for torch: `cpu` or `cuda:0`.

    Call before the first CUDA call of the process.
    """
    if device.kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return "cpu"
    inherited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if inherited is None:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi and NVML count
        os.environ["CUDA_VISIBLE_DEVICES"] = str(device.index)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = inherited.split(",")[device.index].strip()
    import torch  # here, because a supervisor never loads it

    if device.memory_fraction < 1:
        torch.cuda.set_per_process_memory_fraction(device.memory_fraction, 0)
    return "cuda:0"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
