"""Which file systems SQLite can be trusted on."""

from pathlib import Path

import psutil

_NETWORK = ("nfs", "cifs", "smb", "afs", "ceph", "lustre", "gfs2", "gpfs", "beegfs", "glusterfs")
_NETWORK_MACOS = ("afpfs", "webdav")
_NETWORK_FUSE = ("sshfs", "s3fs", "rclone", "gcsfuse", "glusterfs", "ceph", "juicefs", "davfs")


def network_file_system(path: Path) -> str | None:
    """Return the kind of network file system a path lies on; None for a local or unknown one.

    Args:
        path: An absolute path without links.
    """
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        return None
    # The longest mount point above the path holds it; of equals, the one mounted last.
    above = [mount for mount in mounts if path.is_relative_to(mount.mountpoint)]
    found = max(reversed(above), key=lambda mount: len(mount.mountpoint), default=None)
    kind = found.fstype if found else ""
    fuse = kind.startswith("fuse") and any(name in kind for name in _NETWORK_FUSE)
    return kind if fuse or kind.startswith((*_NETWORK, *_NETWORK_MACOS)) else None
