"""Loaded first in the fork server, for its effects: what every training process inherits.

Import it nowhere else. The numerical libraries read these variables when they are loaded, and a
process must hold one thread only to be forked, so this comes before torch.
"""

import atexit
import gc
import os
import shutil
import signal

import sweep.training.process.child_main  # noqa: F401 - every child runs it
from sweep.training.process.forkserver import SUPERVISOR
from sweep.training.process.parent import set_parent_death_signal
from sweep.training.process.scratch import make_scratch

gc.disable()  # a fifth of the time that loading torch takes; every child enables it again

# The supervisor heeds them; the trainings end with it. multiprocessing ignores SIGINT as well, but
# only after preloading.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
# multiprocessing ends this server when the supervisor and all trainings have ended. A training that
# lets no other thread run, as in one long call of native code, does not see its supervisor go. It
# is killed with this server (`sweep.training.process.child_main`), so this server must go first.
signal.signal(signal.SIGHUP, lambda *_: _leave())


def _leave() -> None:
    """End at once, also in the middle of an end: an exception might come out anywhere."""
    shutil.rmtree(_config, ignore_errors=True)
    os._exit(0)


_config = str(make_scratch())
atexit.register(shutil.rmtree, _config, ignore_errors=True)  # children leave by os._exit
if not set_parent_death_signal(signal.SIGHUP, int(os.environ.pop(SUPERVISOR))):
    _leave()
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    OMP_DYNAMIC="false",  # true: fewer threads than told on a busy machine, so other numbers
    PYTORCH_NVML_BASED_CUDA_CHECK="1",  # asking whether there is a GPU must not start CUDA here
    YOLO_CONFIG_DIR=_config,  # the user's Ultralytics settings are neither read nor written
    YOLO_OFFLINE="true",
    YOLO_AUTOINSTALL="false",
    YOLO_VERBOSE="false",  # no progress bars; the log level is the trainer's
    NO_ALBUMENTATIONS_UPDATE="1",
)
os.environ.pop("OMP_THREAD_LIMIT", None)  # so would a limit, whatever the machine does
