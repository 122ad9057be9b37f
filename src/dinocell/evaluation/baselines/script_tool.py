"""Other tools as scripts that run over a JOB folder, and their results; `baseline_job` is the other end."""

import json
import math
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
from pydantic import Field, ValidationError

from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.opening import read_whole
from dinocell.labels import Labels, validate_labels
from dinocell.settings import Section

BASELINES = {name: Path(__file__).parent / f"run_{name}.py" for name in ("cellpose", "stardist", "samcell")}
"""The scripts that come with DINOCell."""

_POLL_SECONDS = 0.1
_MISSING = (3, 4)  # exit codes: a package, weights
_STDERR = "stderr.txt"

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class ScriptTool:
    """Tool other than DINOCell, run by a script.

    Attributes
    ----------
    name : str
    script : Path
        One of `BASELINES`, or any that keeps to the protocol of `baseline_job`.
    python : str
        The Python of the tool's environment.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``; the device that the tool really used is in its report.
    model : str, optional
        A file, folder or name that the script knows; its default otherwise.
    timeout : float, optional
        Seconds for one image, the first with loading; then the tool is stopped.
    options : mapping
        Further options of the job, of what JSON can hold.

    Raises
    ------
    FileMissingError
        If the script or the Python does not exist.
    InputError
        If the timeout is not above 0.
    """

    name: str
    script: Path
    python: str = sys.executable
    device: str = "auto"
    model: str | None = None
    timeout: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.script.is_file():
            raise FileMissingError(
                f"{self.name}: no script {self.script}, expected a Python file: check the path"
            )
        if shutil.which(self.python) is None:
            raise FileMissingError(
                f"{self.name}: {self.python} cannot be executed, expected the Python of its environment, "
                f"such as ENV/bin/python: check --python {self.name}=PATH"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"{self.name}: timeout is {self.timeout}, expected seconds above 0")


class ScriptReport(Section):
    """Report of a script in ``result.json``; all of it is optional."""

    package: str = ""
    version: str = ""
    model: str = ""
    device: str = ""
    load_seconds: _Seconds | None = None
    seconds: dict[str, _Seconds] = Field(default_factory=dict)
    failed: dict[str, str] = Field(default_factory=dict)
    measured: dict[str, Any] = Field(default_factory=dict)


def write_job(folder: Path, tool: ScriptTool, names: Sequence[str]) -> None:
    """Write ``job.json``; the images stand beside it as ``NAME.npy``."""
    model = tool.model
    if model is not None and Path(model).exists():
        model = str(Path(model).absolute())  # the script runs in another folder
    job = {"names": list(names), "options": {**tool.options, "device": tool.device, "model": model}}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")


def run_script(folder: Path, tool: ScriptTool, names: Sequence[str]) -> Generator[str, None, str]:
    """Run a tool's script to its end, or stop it when it takes too long or the generator is closed.

    Parameters
    ----------
    folder : Path
        The JOB folder.
    tool : ScriptTool
    names : sequence of str
        Of the images.

    Yields
    ------
    str
        The name of each image that is done.

    Returns
    -------
    str
        Reason why it did not end well; empty if it did.
    """
    python = str(Path(shutil.which(tool.python) or tool.python).absolute())
    try:
        with (folder / _STDERR).open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 (the user named the program, and no shell is involved)
                [python, str(tool.script.absolute()), str(folder)],
                stdin=subprocess.PIPE,  # it closes when this process dies, and `baseline_job` ends then
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=folder,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "PYTHONSAFEPATH": ""},
                start_new_session=True,
            )
    except OSError as error:
        return f"{python} cannot be started ({error.strerror or error})"
    try:
        in_time = yield from _follow(process, set(names), math.inf if tool.timeout is None else tool.timeout)
    finally:
        _end(process)
    if not in_time:
        return f"it was stopped: no image was done within {tool.timeout:g} s (--timeout)"
    return _explain_exit(process.returncode, folder / _STDERR)


def run_to_end(folder: Path, tool: ScriptTool, names: Sequence[str]) -> str:
    """Run a tool's script to its end; return why it did not end well, empty if it did. See `run_script`."""
    steps = run_script(folder, tool, names)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return str(finished.value)


def read_report(folder: Path) -> ScriptReport:
    """Read ``result.json``; a script that left none gives an empty report.

    Raises
    ------
    FileFormatError
        If it is something else.
    """
    try:
        return ScriptReport.model_validate_json(read_whole(folder / "result.json"))
    except FileNotFoundError:
        return ScriptReport()
    except OSError as error:
        raise FileFormatError(f"its result.json cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = to_one_line(f"{where} {first['msg']}")
        raise FileFormatError(f"its result.json is not as expected ({message})") from error


def read_tool_labels(folder: Path, name: str, shape: tuple[int, ...]) -> Labels:
    """Read the labels of an image.

    Raises
    ------
    FileMissingError
        If the script wrote none.
    FileFormatError
        If they are not a label image of that shape.
    """
    file = folder / f"{name}_labels.npy"
    try:
        stored = np.load(file, mmap_mode="r", allow_pickle=False)  # only the header is read
        if stored.shape != shape:
            raise InputError(f"shape {stored.shape}, expected that of the image, {shape}")
        labels = validate_labels(np.array(stored), name="the array")
    except FileNotFoundError as error:
        raise FileMissingError("it wrote no labels") from error
    except (OSError, ValueError, EOFError) as error:  # InputError is a ValueError
        raise FileFormatError(f"its labels cannot be used ({to_one_line(str(error))})") from error
    if labels.min(initial=0) < 0:
        raise FileFormatError(f"its labels cannot be used (ids from {labels.min()}, expected 0 and above)")
    return labels


def to_one_line(text: str) -> str:
    """Convert foreign text to one line that a terminal shows as it is."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:600]


def _follow(process: subprocess.Popen[bytes], names: set[str], limit: float) -> Generator[str, None, bool]:
    """Yield the names that the script prints; return whether it ended by itself within the limit for each."""
    # Not a SimpleQueue, whose `get` may wait for ever when its time is up while a lock is being passed on.
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        try:
            name = lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if process.poll() is not None:
                return True
            continue
        if name in names:
            names.remove(name)
            deadline = time.monotonic() + limit
            yield name
    return False


def _forward(stdout: IO[bytes], lines: "queue.Queue[str]") -> None:
    """Read what the script prints until it ends, and pass on the names after "done"."""
    with stdout:
        while line := stdout.readline(4096):
            words = line.decode("utf-8", "replace").split()
            if len(words) == 2 and words[0] == "done":
                lines.put(words[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the script and whatever it started, where that still runs."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _explain_exit(code: int, stderr: Path) -> str:
    if code == 0:
        return ""
    line = _last_line(stderr)
    if code in _MISSING and line:
        return line
    if code < 0:
        name = signal.Signals(-code).name
        return f"it was killed by {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")
    return f"it ended with exit code {code}" + (f": {line}" if line else "")


def _last_line(stderr: Path) -> str:
    """Find the last "error: " in what a script wrote to stderr, or else its last line."""
    with stderr.open("rb") as file:
        file.seek(max(stderr.stat().st_size - 65536, 0))
        text = file.read().decode("utf-8", "replace")
    lines = [to_one_line(line) for line in text.splitlines() if line.strip()]
    stated = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (stated or lines or [""])[-1]
