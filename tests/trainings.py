"""What tests do with training processes."""

from sweep.training.process.child import ChildProcess
from sweep.training.process.messages import Alive, Completed, EpochDone, Failed, Stopped, Unable

_WITHIN_S = 600.0


def next_word(process: ChildProcess) -> EpochDone | Completed | Stopped | Failed | Unable:
    """Receive the next message that is more than a sign of life."""
    while True:
        message = process.receive(_WITHIN_S)
        assert message is not None, f"no word within {_WITHIN_S:.0f} s"
        if not isinstance(message, Alive):
            return message
