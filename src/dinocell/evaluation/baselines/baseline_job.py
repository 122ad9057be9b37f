"""The part that all scripts beside this one share: each runs another tool over the images of a JOB folder.

The Python of that tool's environment executes them, so they import the standard library, NumPy and the tool,
never DINOCell, and keep to what Python 3.9 knows. Any script that follows the same protocol can be compared:
``python SCRIPT JOB``, where the folder JOB holds

- ``job.json``: ``{"names": ["00000", …], "options": {"device": "auto", "model": null}}``; there may be more
  options, which only some scripts know;
- ``NAME.npy`` for each name: an image, (Y, X) or (Y, X, C), as in its file;

and the script writes into it

- ``NAME_labels.npy``: integers (Y, X), 0 is background; nothing for an image that it could not segment;
- ``result.json``, all of it optional: ``package``, ``version``, ``model``, ``device``, ``load_seconds``
  (without imports), ``seconds`` (``{NAME: seconds}``), ``failed`` (``{NAME: reason}``) and ``measured``
  (whatever else the script measured);
- a line ``done NAME`` to stdout after each image, which moves the progress bar and restarts the timeout.

Exit code 3 says that a package is missing and 4 that weights are, with ``error: what, and what to do`` as a
line on stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:
    sys.stderr.write(f"error: package 'numpy' is not installed for {sys.executable}: install it there\n")
    sys.exit(3)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_import_seconds: list[float] = []


class PackageMissingError(Exception):
    """Error where the tool is not installed here, or cannot be imported."""

    exit_code = 3


class WeightsMissingError(Exception):
    """Error where the tool's weights are not here and cannot be fetched."""

    exit_code = 4


@dataclass(frozen=True)
class Baseline:
    """Tool whose model is loaded.

    Attributes
    ----------
    package, version, model, device : str
    segment : callable
        Image (Y, X) or (Y, X, C) to labels (Y, X).
    measured : dict
        Values of JSON that `segment` may add to; they are in the report.
    """

    package: str
    version: str
    model: str
    device: str
    segment: Callable[[Any], Any]
    measured: dict[str, Any] = field(default_factory=dict)


def run_job(load: Callable[[dict[str, Any]], Baseline]) -> None:
    """Load the model once and segment the images of the JOB folder that the command line names.

    Parameters
    ----------
    load : callable
        From the job's options to a `Baseline`.
    """
    if len(sys.argv) != 2:
        sys.stderr.write(f"error: {len(sys.argv) - 1} arguments, expected one: the JOB folder\n")
        sys.exit(2)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_end_with_reader, daemon=True).start()
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    start = time.perf_counter()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a tool prints must not mix with "done NAME"
            baseline = load(job["options"])
    except (PackageMissingError, WeightsMissingError) as refusal:
        sys.stderr.write(f"\nerror: {refusal}\n")
        sys.exit(refusal.exit_code)
    report: dict[str, Any] = {
        "package": baseline.package,
        "version": baseline.version,
        "model": baseline.model,
        "device": baseline.device,
        "load_seconds": max(time.perf_counter() - start - sum(_import_seconds), 0.0),
        "seconds": {},
        "failed": {},
        "measured": baseline.measured,
    }
    _write_report(folder, report)
    for name in job["names"]:
        _segment_one(folder, name, baseline, report)
        _write_report(folder, report)
        sys.stdout.write(f"done {name}\n")
        sys.stdout.flush()


def require(module: str, *, tool: str, packages: str) -> Any:
    """Import a module of a tool.

    Parameters
    ----------
    module : str
        Full name, such as ``cellpose.models``.
    tool, packages : str
        For the message: what ``--python`` calls the tool, and what pip has to install.

    Raises
    ------
    PackageMissingError
        With the command that installs it.
    """
    remedy = (
        f"run `python -m venv ENV && ENV/bin/pip install {packages}`, then add --python {tool}=ENV/bin/python"
    )
    package = module.split(".")[0]
    start = time.perf_counter()
    try:
        return importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            message = f"package {package!r} is not installed for {sys.executable}: {remedy}"
        else:
            message = f"{module} cannot be imported by {sys.executable} ({_in_words(error)}): {remedy}"
        raise PackageMissingError(message) from error
    finally:
        _import_seconds.append(time.perf_counter() - start)


@contextlib.contextmanager
def loading_weights(remedy: str) -> Iterator[None]:
    """Explain what to do where a tool cannot load or fetch its weights.

    Raises
    ------
    WeightsMissingError
        For anything that the block raises.
    """
    try:
        yield
    except Exception as error:
        raise WeightsMissingError(f"its weights cannot be loaded ({_in_words(error)}): {remedy}") from error


def to_gray(image: Any) -> Any:
    """Reduce an image to (Y, X): ITU-R 601 luminance of RGB, alpha dropped, as DINOCell does it."""
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    return to_rgb(image) @ np.array([0.299, 0.587, 0.114])


def to_rgb(image: Any) -> Any:
    """Convert an image to three channels: gray is repeated, alpha dropped.

    Raises
    ------
    ValueError
        If it has other channels.
    """
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] not in (3, 4):
        raise ValueError(f"the image has {image.shape[2]} channels, expected gray, RGB or RGBA")
    return image[:, :, :3]


def _end_with_reader() -> None:
    """End this process when the pipe to its standard input closes: the one that reads its results is gone."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _segment_one(folder: Path, name: str, baseline: Baseline, report: dict[str, Any]) -> None:
    image = np.load(folder / f"{name}.npy", allow_pickle=False)
    start = time.perf_counter()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            labels = np.asarray(baseline.segment(image))
    except Exception as error:  # noqa: BLE001 (whatever a tool raises is its reason; the other images go on)
        report["failed"][name] = _in_words(error)
        return
    report["seconds"][name] = time.perf_counter() - start
    if labels.dtype.kind in "bui":  # anything else is refused by the reader
        labels = labels.astype(np.int32)
    temporary = folder / f"{name}_labels.tmp"
    with temporary.open("wb") as file:
        np.save(file, labels, allow_pickle=False)
    temporary.replace(folder / f"{name}_labels.npy")


def _write_report(folder: Path, report: dict[str, Any]) -> None:
    temporary = folder / "result.tmp"
    temporary.write_text(json.dumps(report), encoding="utf-8")
    temporary.replace(folder / "result.json")


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
