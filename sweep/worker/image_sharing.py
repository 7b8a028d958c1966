"""Where this host keeps the images that trainings of a sweep share."""

from storage.filesystems import network_file_system
from sweep import paths
from sweep.spec.sweep_file import SweepSpec
from sweep.training.contract import ImageCachePlace


def image_cache_place(spec: SweepSpec, trainings: int) -> ImageCachePlace | None:
    """Return where trainings share images; None where that cannot help, or cannot work.

    Args:
        spec: The sweep.
        trainings: How many of them see the same images.
    """
    folder = paths.image_cache_folder()
    # Memory that is mapped from a network file system is not shared between its hosts.
    if spec.stream_gb == 0 or trainings < 2 or network_file_system(folder):
        return None
    return ImageCachePlace(folder=folder, disk_cap_gb=spec.stream_gb, trainings=trainings)
