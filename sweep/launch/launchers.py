"""Where workers can be started, by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sweep.launch.base import Launcher
from sweep.launch.local import LocalLauncher

LAUNCHERS: Mapping[str, Callable[[], Launcher]] = MappingProxyType({"local": LocalLauncher})
