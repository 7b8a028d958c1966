"""Device shares: what `sweep worker --device` names, and how a training takes its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import InputError, SweepError
from sweep.training.contract import Device

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One CUDA device this process may use."""

    index: int
    """As `nvidia-smi` counts; where CUDA_VISIBLE_DEVICES is set, the place in that list."""
    name: str


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
        SweepError: As `visible_gpus`, which is not asked for `cpu`.
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
    """Return the GPUs this process may use, asked of the driver without loading torch or CUDA.

    Without a driver there is none.

    Raises:
        InputError: If CUDA_VISIBLE_DEVICES names nothing that is there, or a part of a GPU.
        SweepError: If the driver, or a GPU that is to be used, does not work.
    """
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    mend = "name whole GPUs that are there, unset it, or use --device cpu"
    if variable and "MIG-" in variable:
        raise InputError(
            f"CUDA_VISIBLE_DEVICES='{variable}': parts of GPUs (MIG) are not supported; {mend}"
        )
    found = _ask_driver()
    chosen = visible(variable, [gpu.uuid for gpu in found])
    if not chosen and (variable or "").strip() not in {"", "-1"}:
        here = ", ".join(f"{index} ({gpu.uuid or gpu.fault})" for index, gpu in enumerate(found))
        raise InputError(
            f"CUDA_VISIBLE_DEVICES='{variable}': there is no such GPU; here: {here or 'none'}; "
            f"{mend}"
        )
    if faults := [f"{index} ({found[index].fault})" for index in chosen if found[index].fault]:
        raise SweepError(
            f"GPU {', '.join(faults)} does not work; reboot, name the others in "
            "CUDA_VISIBLE_DEVICES by their UUIDs (`nvidia-smi -L`), or use --device cpu"
        )
    return [Gpu(index=place, name=found[index].name) for place, index in enumerate(chosen)]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the driver says of a GPU."""

    uuid: str = ""
    name: str = ""
    fault: str = ""
    """Why it says nothing else."""


def _ask_driver() -> list[_Found]:
    import pynvml  # type: ignore[import-untyped]

    def ask(index: int) -> _Found:
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            return _Found(
                uuid=pynvml.nvmlDeviceGetUUID(handle), name=pynvml.nvmlDeviceGetName(handle)
            )
        except pynvml.NVMLError as error:
            return _Found(fault=str(error))

    try:
        pynvml.nvmlInit()
        try:
            return [ask(index) for index in range(pynvml.nvmlDeviceGetCount())]
        finally:
            pynvml.nvmlShutdown()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return []
    except pynvml.NVMLError as error:
        raise SweepError(
            f"the NVIDIA driver does not work: {error}; reboot (after an update it must be loaded "
            "anew), or use --device cpu"
        ) from error


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
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # another system than Linux
        cores = os.cpu_count() or 1
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
