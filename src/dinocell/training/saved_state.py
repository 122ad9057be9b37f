"""State that a run of any kind saves every epoch and is resumed from: all that decides what follows.

An interrupted run must end in the same weights, bit by bit, as one that was never interrupted::

    epoch 1      epoch 2      epoch 3
    ───────▶ save ───────▶ save ───▶ ✗ killed
                             │
                             └─▶ restore ───────▶ save    steps 2·n … 3·n − 1 are taken again

So the state holds weights, averages, the optimiser's moments and the number of epochs done, and is written
after all other files of its epoch. It holds no generator of random numbers: what a step draws depends on the
seed and the number of the step alone. Rows and logged events of steps after it are forgotten.
"""

import contextlib
import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from dinocell.errors import CheckpointError

STATE_FILE = "state.pt"

# Errors that torch raises on damaged files, and on states of another model or layout.
_UNREADABLE = (
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    pickle.UnpicklingError,
)


class Resumable(Protocol):
    """All that changes during a run."""

    def contents(self) -> dict[str, Any]:
        """Return what is saved: tensors, numbers, texts, and dicts and lists of them."""

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `contents` returned in an earlier session; other exceptions are explained."""


def encode_state(state: Resumable, settings: Mapping[str, Any]) -> memoryview:
    """Encode a state with the settings that it depends on.

    In memory first: a full disk is then an OSError of the one who writes it.
    """
    buffer = io.BytesIO()
    torch.save({"settings": settings, **state.contents()}, buffer)
    return buffer.getbuffer()


def restore_state(state: Resumable, path: Path, settings: Mapping[str, Any]) -> None:
    """Restore a state from its file.

    Parameters
    ----------
    state : Resumable
        Changed in place.
    path : Path
    settings : mapping
        Those that decide the result, as `encode_state` got them; sections are mappings in them.

    Raises
    ------
    CheckpointError
        If the file is damaged, or was written by a run with other settings or of another layout.
    """
    with _explain_unreadable(path):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        _check_settings(path, saved["settings"], settings)
        state.restore(saved)


@contextlib.contextmanager
def _explain_unreadable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a state is restored into an error that says what to do."""
    try:
        yield
    except CheckpointError:
        raise
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} cannot be resumed ({reason}): resume with the settings the run was started with, "
            "or start anew in another output"
        ) from error


def _check_settings(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise, with the dotted names of the settings that differ, where a state was made with other ones."""
    before = _flatten(saved)
    changed = [name for name, value in _flatten(asked).items() if before.get(name) != value]
    if changed:
        raise CheckpointError(
            f"{path} was made with another {', '.join(changed)}: "
            "resume with the settings the run was started with, or start anew in another output"
        )


def _flatten(settings: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Return the settings of all sections by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flatten(value, f"{section}{key}.") if isinstance(value, dict) else {section + key: value}
    return flat
