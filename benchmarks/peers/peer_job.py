"""The part that the scripts beside this one share: each runs one part of a tool's work on one array.

The Python of that tool's environment executes them, so they import the standard library, NumPy and the tool.
They keep to the protocol of ``src/dinocell/evaluation/baselines/baseline_job.py``, with two more options:
``threads``, and ``part``, which says what is done with the array:

- ``derive`` takes true cells, int32 (Y, X), and stores in the JOB folder what an ideal network would give;
- ``post-processing`` takes the same true cells to warm up, and turns what was stored into labels. It is a
  process of its own, so that the memory of ``derive`` is not counted;
- ``network`` takes an image, uint8 (Y, X), and computes the network's raw output, of which nothing is stored.

The last two report what they measured.
"""

from __future__ import annotations

import importlib.metadata
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "src" / "dinocell" / "evaluation" / "baselines"))

from baseline_job import Baseline, run_job

if TYPE_CHECKING:
    from collections.abc import Callable

WARM = 320
"""Side of the corner of the image with which a tool warms up."""

IDEAL = Path("ideal.npz")
"""File in the JOB folder, in which the script runs, that ``derive`` writes and ``post-processing`` reads."""


class Peer(Protocol):
    """Tool with an untrained network."""

    packages: tuple[str, ...]
    """Packages whose versions are reported; the tool's own comes first."""

    def predict(self, image: Any) -> Any:
        """Compute what the network gives, whatever that is, for an image uint8 ``(Y, X)``."""

    def derive(self, labels: Any) -> dict[str, Any]:
        """Compute what a perfect network would give, for labels int32 ``(Y, X)``."""

    def postprocess(self, ideal: dict[str, Any]) -> Any:
        """Compute labels ``(Y, X)`` from what `derive` gave."""


def run_part(load: Callable[[dict[str, Any], int], Peer]) -> None:
    """Run the part that the JOB folder of the command line asks for.

    Parameters
    ----------
    load : callable
        From the job's options and the number of threads to a `Peer`.
    """

    def load_part(options: dict[str, Any]) -> Baseline:
        peer = load(options, options["threads"])
        versions = {name: importlib.metadata.version(name) for name in peer.packages}
        measured: dict[str, Any] = {"versions": versions}

        def run(array: Any) -> Any:
            return PARTS[options["part"]](peer, array, measured)

        package = peer.packages[0]
        return Baseline(package, versions[package], str(options["model"]), "cpu", run, measured)

    run_job(load_part)


def derive(peer: Peer, labels: Any, measured: dict[str, Any]) -> Any:
    """Store what an ideal network would give; return the labels as they are."""
    np.savez(IDEAL, **peer.derive(labels))
    return labels


def postprocess(peer: Peer, labels: Any, measured: dict[str, Any]) -> Any:
    """Return the cells that the tool finds in what was stored, and measure how."""
    with np.load(IDEAL) as stored:
        ideal = dict(stored)
    peer.postprocess(peer.derive(labels[:WARM, :WARM].copy()))
    return measure(lambda: peer.postprocess(ideal), measured)


def predict(peer: Peer, image: Any, measured: dict[str, Any]) -> Any:
    """Run the network and measure how; return no cells.

    Raises
    ------
    ValueError
        If the network gave values that are not finite, which say nothing of its speed.
    """
    peer.predict(image[:WARM, :WARM])
    result = measure(lambda: peer.predict(image), measured)
    if not all(np.isfinite(part).all() for part in result):
        raise ValueError("the network gave values that are not finite: they say nothing of its speed")
    measured["output"] = ", ".join(str(np.shape(part)) for part in result)
    return np.zeros(image.shape, np.int32)


PARTS = {"derive": derive, "post-processing": postprocess, "network": predict}


def measure(work: Callable[[], Any], measured: dict[str, Any]) -> Any:
    """Run some work; note its seconds on the clock, and MiB before it and at most while it ran."""
    before = forget_peak()
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    measured.update({"seconds": seconds, "before_mib": before, "peak_mib": peak_mib()})
    return result


def forget_peak() -> float:
    """Forget the peak of the resident memory, where the system can; return what is resident now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_mib()


def peak_mib() -> float:
    """Return the most memory that was resident since then, or ever where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
