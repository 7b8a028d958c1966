"""What a training ran with besides its settings: versions of the packages, and the device."""

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sweep.training.contract import Device

_CPU_INFO = Path("/proc/cpuinfo")


def environment(device: Device) -> Mapping[str, str]:
    """Return the versions of the packages that this process has loaded, and its device's name."""
    found = {"detsweep": _version("detsweep")}
    for package in ("ultralytics", "torch"):
        if package in sys.modules:
            found[package] = _version(package)
    found["device"] = _cpu() if device.kind == "cpu" else _gpu()
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # used from its folder, without an installation
        return "unknown"


def _cpu() -> str:
    """Return the processor's name where the system tells it."""
    name = platform.processor() or platform.machine()
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
            break
    return f"cpu ({name})" if name else "cpu"


def _gpu() -> str:
    torch = sys.modules.get("torch")  # a trainer of another library leaves it out
    if torch is None or not torch.cuda.is_available():
        return "cuda"
    return str(torch.cuda.get_device_name(0))
