"""What the scripts beside this one share: each runs one part of a tool's work over a JOB folder's images.

The Python of that tool's environment executes them, so they import the standard library, NumPy and the tool.
``python SCRIPT JOB``, where the folder JOB holds

- ``job.json``: ``{"part": "derive", "network" or "post-processing", "threads": 2, "options": {…}}``;
- ``image.npy``: uint8 (Y, X); ``labels.npy``: int32 (Y, X), the true cells.

``derive`` writes what an ideal network would give for the true cells, which ``post-processing`` reads; it is
a process of its own, so that its memory is not counted. The other two write ``result.json``, and
``post-processing`` writes the cells it found to ``found.npy``.
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

WARM = 320
"""Side of the corner of the image with which a tool warms up."""


class Peer(Protocol):
    """A tool with an untrained network."""

    packages: tuple[str, ...]
    """Whose versions are reported."""

    def predict(self, image: Any) -> Any:
        """Make what the network gives, whatever that is, of an image uint8 ``(Y, X)``."""

    def derive(self, labels: Any) -> dict[str, Any]:
        """Make what a perfect network would give, of labels int32 ``(Y, X)``."""

    def postprocess(self, ideal: dict[str, Any]) -> Any:
        """Make labels ``(Y, X)`` of what `derive` gave."""


def run_job(load: Callable[[dict[str, Any], int], Peer]) -> None:
    """Run the part that the JOB folder of the command line asks for.

    Parameters
    ----------
    load : callable
        From the job's options and the number of threads to a `Peer`; it loads with all imports.
    """
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    peer = load(job["options"], job["threads"])
    if job["part"] == "derive":
        np.savez(folder / "ideal.npz", **peer.derive(np.load(folder / "labels.npy")))
        return
    if job["part"] == "network":
        image = np.load(folder / "image.npy")
        peer.predict(image[:WARM, :WARM])
        result, measured = measure(lambda: peer.predict(image))
        if not all(np.isfinite(part).all() for part in result):
            raise ValueError("the network gave values that are not finite: they say nothing of its speed")
        measured["output"] = ", ".join(str(np.shape(part)) for part in result)
    else:
        with np.load(folder / "ideal.npz") as stored:
            ideal = dict(stored)
        peer.postprocess(peer.derive(np.load(folder / "labels.npy")[:WARM, :WARM].copy()))
        found, measured = measure(lambda: peer.postprocess(ideal))
        np.save(folder / "found.npy", np.asarray(found).astype(np.int32))
    measured["versions"] = {name: importlib.metadata.version(name) for name in peer.packages}
    (folder / "result.json").write_text(json.dumps(measured), encoding="utf-8")


def measure(work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """Run some work: its result, its seconds on the clock, and MiB before it and at most while it ran."""
    before = forget_peak()
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    return result, {"seconds": seconds, "before_mib": before, "peak_mib": peak_mib()}


def forget_peak() -> float:
    """Begin to look for the peak of the resident memory anew, where the system can; what is resident now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_mib()


def peak_mib() -> float:
    """Give the most memory that was resident since then, or ever where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
