"""The log of a batch: one JSON object a line, of which a killed process damages the last at most."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self, get_args

from dinocell.batch.outcomes import PlaneOutcome
from dinocell.batch.settings import BatchSettings
from dinocell.datasets.belonging import LOG_FILE
from dinocell.errors import OutputError
from dinocell.inference.engines.start import Used
from dinocell.inference.settings import EngineName, Precision
from dinocell.io.saving import printable
from dinocell.labels import TARGETS, Target

_WORK = ("done", "skipped")  # events that show that work began
_SAME_TARGET, _SAME_SCALE = "same_target", "same_scale"  # true where a call chose it for all files


class BatchLog:
    """Log of a folder of results, to which lines are appended.

    They wait until the first image is done, or was done before: a call in which nothing could begin, as
    without a choice that all files need, leaves no trace.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_FILE
        self._file: BinaryIO | None = None
        self._waiting: list[bytes] = []

    def write(self, event: str, values: Mapping[str, Any]) -> None:
        """Append one line, and flush it.

        Raises
        ------
        OutputError
            If the log cannot be written, as on a full disk.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._waiting.append(json.dumps({"time": time, "event": event, **values}).encode() + b"\n")
        if self._file is None and event not in _WORK:
            return
        try:
            self._file = self._open() if self._file is None else self._file
            self._file.write(b"".join(self._waiting))
            self._file.flush()
        except OSError as error:
            raise self._refusal(error) from error
        self._waiting.clear()

    def _open(self) -> BinaryIO:
        file = self.path.open("ab+")
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a kill cut the last line
                file.write(b"\n")
        return file

    def write_outcome(self, outcome: PlaneOutcome) -> None:
        """Append the outcome of a plane or a stack."""
        source = printable(str(outcome.source))
        kind = {} if outcome.kind is None else {"kind": outcome.kind.trouble}
        values = {
            "source": source,
            "name": outcome.name,
            "message": outcome.message,
            **kind,
            **outcome.details,
        }
        self.write(outcome.status, values)

    def _refusal(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.path} cannot be written ({error.strerror or error}), expected a writable folder with "
            "free space: choose another -o or free some"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def describe_start(settings: BatchSettings) -> dict[str, Any]:
    """Return what the log records of the start of a call: its settings, and what it agreed on."""
    return settings.described() | {_SAME_TARGET: settings.same_target, _SAME_SCALE: settings.same_scale}


def recorded_target(settings: BatchSettings) -> Target | None:
    """Read from a folder of results what its last call with the same model agreed on; None without one."""
    found = _last_start(settings, _SAME_TARGET).get("target")
    return found if found in TARGETS else None


def recorded_scale(settings: BatchSettings) -> float | None:
    """Read the scale, as `recorded_target`; of the last call for the same target."""
    found = _last_start(settings, _SAME_SCALE, target=settings.inference.target).get("fixed_scale")
    return float(found) if isinstance(found, int | float) and 0 < found < math.inf else None


def recorded_engine(folder: Path, model_sha256: str) -> Used | None:
    """Read which engine made the last result of a model in a folder, and its precision; None without one."""
    found: Used | None = None
    same = False
    for values in _lines(folder, '"event"'):
        event, model = values.get("event"), values.get("model")
        if event == "started":
            same = isinstance(model, dict) and model.get("sha256") == model_sha256
        used = str(values.get("engine")), str(values.get("precision"))
        if event == "done" and same and used[0] in get_args(EngineName) and used[1] in get_args(Precision):
            found = used
    return found


def _last_start(settings: BatchSettings, agreed: str, **same: str) -> dict[str, Any]:
    """Return the start of the last call that agreed on something, with the same model; empty without one."""
    found: dict[str, Any] = {}
    for values in _lines(settings.output, agreed):
        with suppress(AttributeError, KeyError, TypeError):
            if (
                values[agreed] is True
                and values["model"]["sha256"] == settings.model_sha256
                and all(values[key] == value for key, value in same.items())
            ):
                found = values
    return found


def _lines(folder: Path, word: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log that hold a word, but for damaged ones."""
    with suppress(OSError), (folder / LOG_FILE).open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if word not in line:
                continue
            with suppress(ValueError):
                values = json.loads(line)
                if isinstance(values, dict):
                    yield values
