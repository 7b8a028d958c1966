"""Mounts of the test's own, as the kernel would list them."""

from pathlib import Path

import psutil
import pytest


def mount(lines: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have psutil read these lines, as proc(5) describes them; `folder` keeps them."""
    (folder / "self").mkdir()
    (folder / "self" / "mounts").write_text(lines)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(folder))
