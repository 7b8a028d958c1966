"""Which file systems SQLite can be trusted on."""

from pathlib import Path

MOUNTS = Path("/proc/mounts")
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "afs",
    "ceph",
    "lustre",
    "gfs2",
    "gpfs",
    "beegfs",
    "glusterfs",
)
_NETWORK_FUSE = ("sshfs", "s3fs", "rclone", "gcsfuse", "glusterfs", "ceph", "juicefs", "davfs")


def network_file_system(path: Path, *, mounts: Path | None = None) -> str | None:
    """Return the kind of network file system a path lies on; None for a local or unknown one.

    Args:
        path: An absolute path without links.
        mounts: The kernel's list of mounts, as proc(5) describes it; default `MOUNTS`.
    """
    try:
        lines = (mounts or MOUNTS).read_text().splitlines()
    except OSError:
        return None
    found = [(Path(_unescaped(fields[1])), fields[2]) for line in lines if (fields := line.split())]
    # The longest mount point above the path holds it; of equals, the one mounted last.
    above = [(len(point.parts), kind) for point, kind in found if path.is_relative_to(point)]
    kind = max(reversed(above), key=lambda pair: pair[0], default=(0, ""))[1]
    fuse = kind.startswith("fuse") and any(name in kind for name in _NETWORK_FUSE)
    return kind if fuse or kind.startswith(_NETWORK) else None


def _unescaped(point: str) -> str:
    """Undo the octal escapes of a mount point: `\\040` is a blank."""
    for code in ("040", "011", "012", "134"):
        point = point.replace(f"\\{code}", chr(int(code, 8)))
    return point
