"""Other tools beside DINOCell in one run, each in an environment of its own: seconds and peak memory.

python benchmarks/peers.py --prepare ENVS        (once: creates the environments, some 5 GB)
python benchmarks/peers.py --environments ENVS [--data FOLDER …] [--scales 1 0.5] [--side 2048]
                           [--threads 2] [--repeats 3] [--only NAME …] [--json FILE]

*Network*: a mosaic of annotated images to the network's raw output, by the tool's own normalisation and
tiling; weights are random, which changes no time. *Post-processing*: what a perfect network would give for
the true cells to labels, with the tool's own thresholds; AP says how well the true cells come back.

Every measurement is a process of its own, with imports, models and a small image done before the clock. The
order is shuffled; the fastest of the repeats counts. Peak is all that the process held while it worked, its
libraries and weights too; "of it for the work" is what came on top of what it held before.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dinocell import evaluate
from dinocell.evaluation.baselines.script_tool import (
    ScriptTool,
    read_report,
    read_tool_labels,
    run_to_end,
    write_job,
)
from dinocell.machine import processor_name
from postprocessing import mosaic
from upper_bound import default_folders

SCRIPTS = Path(__file__).parent / "peers"
NETWORK, POST, DERIVE = "network", "post-processing", "derive"
INPUT = {NETWORK: "image", POST: "labels", DERIVE: "labels"}
"""Arrays that the parts work on."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
TORCH = ("torch==2.13.0",)
INSTALLED = {
    "stardist": (("stardist==0.9.2", "tensorflow-cpu==2.21.0"),),
    "cellpose": (
        TORCH,
        (
            "--no-deps",
            "cellpose==4.2.1.1",
            "segment_anything==1.0",
        ),  # they ask for torchvision, which they do not need
        ("numpy", "scipy", "natsort", "tifffile", "tqdm", "opencv-python-headless", "fastremap"),
        ("imagecodecs", "roifile", "fill-voids"),
    ),
    "cellpose3": ((*TORCH, "cellpose==3.1.1.2"),),
}
"""Packages that pip installs, call by call, in every environment."""


@dataclass(frozen=True)
class Peer:
    """Row of the table.

    Attributes
    ----------
    name : str
    script : str
        Of the folder beside this file.
    environment : str
        A key of `INSTALLED`; empty for the environment of this process.
    model : str or None
        As the script knows it.
    options : dict
        For the script.
    postprocesses : bool
        Whether its post-processing is another than that of the rows above.
    """

    name: str
    script: str
    environment: str = ""
    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    postprocesses: bool = False


PEERS = (
    Peer("DINOCell nano", "peer_dinocell", "", "nano", postprocesses=True),
    Peer("DINOCell small", "peer_dinocell", "", "small"),
    Peer("DINOCell small in SAMCell's loop", "peer_dinocell", "", "small", {"loop": True}),
    Peer("StarDist, whole image", "peer_stardist", "stardist", postprocesses=True),
    Peer("StarDist, tiled", "peer_stardist", "stardist", options={"tiled": True}),
    Peer("Cellpose 3", "peer_cellpose", "cellpose3", postprocesses=True),
    Peer("Cellpose-SAM, bfloat16", "peer_cellpose", "cellpose", None, {"bfloat16": True}, True),
    Peer("Cellpose-SAM, float32", "peer_cellpose", "cellpose", options={"bfloat16": False}),
)


@dataclass
class Task:
    """Cell of the table: a part of a peer's work on an image, and what its runs gave."""

    peer: Peer
    part: str
    image: str
    folder: Path
    runs: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""

    @property
    def seconds(self) -> list[float]:
        """Seconds of all runs."""
        return [run["seconds"] for run in self.runs]

    def as_json(self) -> dict[str, Any]:
        """Return all that was measured."""
        named = {"peer": self.peer.name, "part": self.part, "image": self.image}
        return named | ({"failure": self.failure} if self.failure else {"runs": self.runs})


def prepare(environments: Path, names: list[str]) -> None:
    """Create the environments that are not there yet."""
    for name in names:
        folder = environments / name
        if not (folder / "bin" / "python").is_file():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603
        for packages in INSTALLED[name]:
            command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages]
            print(f"{name}: {' '.join(packages)}", flush=True)
            subprocess.run(command, check=True)  # noqa: S603


def run_part(task: Task, part: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a part in a process of its own; return what it measured, or set the task's `failure`."""
    python = sys.executable
    if task.peer.environment:
        python = str(options.environments / task.peer.environment / "bin" / "python")
        if not Path(python).is_file():
            task.failure = f"no environment: run `{Path(__file__).name} --prepare {options.environments}`"
            return {}
    tool = ScriptTool(
        task.peer.name,
        SCRIPTS / f"{task.peer.script}.py",
        python,
        device="cpu",
        model=task.peer.model,
        timeout=options.timeout,
        options={"part": part, "threads": options.threads, **task.peer.options},
    )
    name = INPUT[part]
    write_job(task.folder, tool, [name])
    (task.folder / "result.json").unlink(missing_ok=True)
    task.failure = run_to_end(task.folder, tool, [name])
    report = read_report(task.folder)
    task.failure = task.failure or report.failed.get(name, "")
    return dict(report.measured)


def plan(options: argparse.Namespace, folder: Path) -> Iterator[Task]:
    """Write the images, and list what is to be measured: the network on the first image alone."""
    peers = [peer for peer in PEERS if not options.only or peer.name in options.only]
    number = 0
    for place, data in enumerate(options.data):
        for scale in options.scales:
            image, labels = mosaic(data, options.side, scale)
            named = f"{data.name} × {scale:g}, {labels.max()} cells"
            parts = [NETWORK] if place == 0 and scale == options.scales[0] else []
            for part in (*parts, POST):
                for peer in peers:
                    if part == NETWORK or peer.postprocesses:
                        job = folder / f"{number:03}"
                        job.mkdir()
                        np.save(job / "image.npy", image)
                        np.save(job / "labels.npy", labels)
                        number += 1
                        yield Task(peer, part, named, job)


def measure(task: Task, options: argparse.Namespace) -> None:
    """Run a task once more, unless it failed or takes long and was run already."""
    if task.failure or max(task.seconds, default=0) > options.once_above:
        return
    if task.part == POST and not task.runs:
        run_part(task, DERIVE, options)
        if task.failure:
            return
    measured = run_part(task, task.part, options)
    if not task.failure:
        if task.part == POST and not task.runs:
            true = np.load(task.folder / "labels.npy")
            scores = evaluate(true, read_tool_labels(task.folder, INPUT[POST], true.shape))
            counts = scores.counts
            measured |= {"ap": {str(level): scores.ap[level] for level in (0.5, 0.75)}}
            measured |= {"cells": counts.predicted_cells}
        measured["load"] = os.getloadavg()[0]
        task.runs.append(measured)
    print(
        f"  {task.peer.name}, {task.part}: {task.failure or round(measured['seconds'], 3)}", file=sys.stderr
    )


def row(task: Task, reference: Task | None) -> str:
    """Write a row of the table."""
    if task.failure:
        return f"| {task.peer.name} | {task.failure} | | | | | |"
    best = min(task.seconds)
    ratio = f"{best / min(reference.seconds):.2f}" if reference and reference.runs else "–"
    peak, work = (max(run["peak_mib"] - less * run["before_mib"] for run in task.runs) for less in (0, 1))
    spread = f"{best:.2f} (–{max(task.seconds):.2f}, {len(task.runs)} runs)"
    if task.part == NETWORK:
        last = f"{task.runs[0]['output']}"
    else:
        first = task.runs[0]
        last = f"{first['ap']['0.5']:.3f}, {first['ap']['0.75']:.3f}; {first['cells']} cells"
    return f"| {task.peer.name} | {spread} | {ratio} | {peak:,.0f} | {work:,.0f} | {last} |"


def table(tasks: list[Task]) -> Iterator[str]:
    """Write the table, a block for each part and image; ratios are to the first row of a block that ran."""
    for part, image in dict.fromkeys((task.part, task.image) for task in tasks):
        block = [task for task in tasks if (task.part, task.image) == (part, image)]
        last = "shape of the output" if part == NETWORK else "AP@0.5, AP@0.75"
        yield f"\n**{part}**, {image}\n"
        yield f"| | seconds | to nano | peak, MiB | of it for the work | {last} |"
        yield "|---|--:|--:|--:|--:|--:|"
        reference = next((task for task in block if task.peer is PEERS[0]), None)
        yield from (row(task, reference) for task in block)


def versions(tasks: list[Task]) -> str:
    """List the versions of all environments."""
    found = {
        task.peer.environment or "this environment": run["versions"] for task in tasks for run in task.runs
    }
    return "; ".join(
        f"{name}: {', '.join(f'{package} {number}' for package, number in installed.items())}"
        for name, installed in found.items()
    )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prepare", type=Path, metavar="ENVS", help="make the environments, and end")
    parser.add_argument("--environments", type=Path, default=Path("peers"), metavar="ENVS")
    parser.add_argument("--data", type=Path, nargs="+", default=default_folders())
    parser.add_argument("--scales", type=float, nargs="+", default=[1, 0.5])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once-above", type=float, default=120, help="seconds of what is not repeated")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds after which a run is stopped")
    parser.add_argument("--only", nargs="+", choices=[peer.name for peer in PEERS], metavar="NAME")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, and print a table."""
    options = parse()
    if options.prepare:
        prepare(options.prepare.absolute(), list(INSTALLED))
        return
    options.environments = options.environments.absolute()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(options.threads)))
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        tasks = list(plan(options, Path(folder)))
        for repeat in range(options.repeats):
            for task in random.Random(repeat).sample(tasks, len(tasks)):  # noqa: S311 (an order, no secret)
                measure(task, options)
    print("\n".join(table(tasks)))
    about = {"processor": processor_name(), "processors": os.cpu_count(), "threads": options.threads}
    print(
        f"\n{about['processor']}, {os.cpu_count()} processors; {options.threads} threads. {versions(tasks)}."
    )
    if options.json:
        found = about | {"side": options.side, "measured": [task.as_json() for task in tasks]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
