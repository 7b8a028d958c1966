"""Notes on studies and trials, as optuna-dashboard keeps and shows them.

It keeps them in system attributes of the study (optuna_dashboard/_note.py): a version, which it
counts up at each edit, and the Markdown in pieces. Written here without it, for it need not be
installed where a worker runs.
"""

import hashlib
import re

from optuna.storages import BaseStorage

_PIECE = 2045
"""Characters of one attribute."""
_SEAL = re.compile(r"\n\n<!-- sweep ([0-9a-f]{16}) -->\Z")


def write_note(storage: BaseStorage, study_id: int, trial_id: int | None, text: str) -> None:
    """Put `text`, Markdown, in the place of the note that was written here before.

    A note that a user wrote or changed stays: what is written here ends in a comment, which the
    dashboard does not show, with a digest of the rest.

    Args:
        storage: Where the study is.
        study_id: The study.
        trial_id: The trial; None for the note on the study itself.
        text: The note.
    """
    key = "dashboard" if trial_id is None else f"dashboard:{trial_id}"
    version_key, piece_key = f"{key}:note_ver", f"{key}:note_str:"
    attributes = storage.get_study_system_attrs(study_id)
    pieces = sum(name.startswith(piece_key) for name in attributes)
    found = "".join(attributes[f"{piece_key}{place}"] for place in range(pieces))
    body = text + f"\n\n<!-- sweep {_digest(text)} -->"
    if found == body or not (found == "" or _is_ours(found)):
        return
    new = [body[start : start + _PIECE] for start in range(0, len(body), _PIECE)]
    storage.set_study_system_attr(study_id, version_key, attributes.get(version_key, 0) + 1)
    for place in range(max(len(new), pieces)):
        piece = new[place] if place < len(new) else ""
        storage.set_study_system_attr(study_id, f"{piece_key}{place}", piece)


def _is_ours(body: str) -> bool:
    seal = _SEAL.search(body)
    return seal is not None and seal[1] == _digest(body[: seal.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
