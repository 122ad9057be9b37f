"""Images bigger than memory: time and memory by size, seams, a killed worker, two workers against one.

python benchmarks/large.py [sizes|nano|seams|kill|pair] [--data FOLDER] [--sizes 4096 8192 …] [--seed 0]

Images are mosaics of annotated crops (NAME_img.png, NAME_masks.png; by default samples/), drawn with the seed
and flipped at random. ``sizes`` and ``kill`` take a stub for the network: pixels are a true distance map in
255 steps, and the stub gives them back, so that all but the network is measured, on realistic cells.
``nano``, ``seams`` and ``pair`` take the shipped model. Every run of ``sizes`` and ``nano`` is a process of
its own with one thread; memory is the most that was resident at once, by stage (Linux only). Beside the time
on the clock stands that of the processor, as the machine may have other work.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from numpy.typing import NDArray

from dinocell.inference.remote_model import RemoteModel
from dinocell.io.images import read_image, read_labels
from dinocell.io.selection import SelectedPlane
from dinocell.labels import Target, relabel
from dinocell.large.plan import LargeResult
from dinocell.large.run import segment_large
from dinocell.large.settings import LargeSettings, LargeTarget, SourcePlane
from dinocell.large.stages import MAP
from dinocell.metrics.scores import evaluate
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.preprocess.preprocessing import Preprocessing, to_grayscale
from dinocell.tiling import Tile, cut_tile
from dinocell.workers.cluster_start import open_executor
from dinocell.workers.executor import Executor, HereExecutor

CROP = 2048  # side of the pieces that a mosaic is drawn in


@dataclass(frozen=True)
class Stub:
    """A network that takes pixels for a distance map in 255 steps."""

    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(0, 100, clahe=False))
    tile_size: int = 256
    overlap: int = 32

    def load(self) -> "Stub":
        """Return the stub itself: there is nothing to load."""
        return self

    @property
    def used(self) -> tuple[str, str]:
        """Engine that computes its maps, and precision."""
        return "stub", "float32"

    def resumed_with(self, _: tuple[str, str]) -> "Stub":
        """Return the stub itself: it has one way to compute."""
        return self

    def described(self) -> dict[str, Any]:
        """Return the description that the record of the run holds."""
        return {"stub": "pixels / 255"}

    @property
    def targets(self) -> tuple[Target, ...]:
        """The one target of its map."""
        return ("cells",)

    def predict(
        self, gray: NDArray[np.uint8], targets: Sequence[Target]
    ) -> dict[Target, NDArray[np.float32]]:
        """Return the pixels as the map of each target."""
        return {target: gray.astype(np.float32) / np.float32(255) for target in targets}

    def predict_batches(
        self, gray: NDArray[np.uint8], tiles: Sequence[Tile]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the tiles as maps, eight at a time."""
        for start in range(0, len(tiles), 8):
            batch = np.stack([cut_tile(gray, tile) for tile in tiles[start : start + 8]])
            yield batch[:, None].astype(np.float32) / np.float32(255)


def shipped() -> RemoteModel:
    """Return the shipped model on the CPU."""
    return RemoteModel.named("nano", device="cpu")


def own_thresholds() -> Thresholds:
    """Return the thresholds that the shipped model has for the target of these measurements."""
    return shipped().settings.thresholds_of["cells"]


def settings_for(thresholds: Thresholds, **options: Any) -> LargeSettings:
    """Return settings for whole cells, at the image's own scale."""
    return LargeSettings({"cells": LargeTarget(thresholds)}, **options)


def read_crops(data: Path, *, as_map: bool) -> list[NDArray[np.uint8]]:
    """Read the crops of a folder, or their true distance maps in 255 steps."""
    crops = []
    for path in sorted(data.glob("*_img.png")):
        if as_map:
            distance = labels_to_distance(read_labels(path.with_name(path.name.replace("_img", "_masks"))))
            crops.append(np.rint(255 * distance).astype(np.uint8))
        else:
            crops.append(scale_to_uint8(to_grayscale(read_image(path).pixels)))
    return crops


def write_mosaic(folder: Path, side: int, crops: list[NDArray[np.uint8]], seed: int) -> Path:
    """Write an OME-Zarr of crops side by side, a piece at a time."""
    rng = np.random.default_rng(seed)
    height, width = (min(crop.shape[axis] for crop in crops) for axis in (0, 1))
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    image = group.create_array("0", shape=(side, side), chunks=(512, 512), shards=(CROP, CROP), dtype="uint8")
    for top in range(0, side, CROP):
        for left in range(0, side, CROP):
            piece = np.zeros((CROP, CROP), np.uint8)
            for y in range(0, CROP, height):
                for x in range(0, CROP, width):
                    crop = crops[rng.integers(len(crops))][:height, :width]
                    crop = crop[:: rng.choice([1, -1]), :: rng.choice([1, -1])][: CROP - y, : CROP - x]
                    piece[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
            image[top : top + CROP, left : left + CROP] = piece[: side - top, : side - left]
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    return folder


def run(
    image: Path, output: Path, network: Any, settings: LargeSettings, executor: Executor, **options: Any
) -> tuple[LargeResult, dict[str, tuple[float, float, float]]]:
    """Segment, and give seconds, the processor's seconds and peak MiB by stage."""
    source = SourcePlane(image, 0, SelectedPlane(0, 0, None, ""), None)
    stages: dict[str, tuple[float, float, float]] = {}
    began, began_here = time.perf_counter(), time.process_time()
    reset_peak()
    for event in segment_large(source, output, network, settings, executor, **options):
        if isinstance(event, LargeResult):
            return event, stages
        if event.done == event.total:
            spent, spent_here = time.perf_counter() - began, time.process_time() - began_here
            stages[event.stage] = (spent, spent_here, peak_mib())
            began, began_here = time.perf_counter(), time.process_time()
            reset_peak()
    raise AssertionError


def reset_peak() -> None:
    """Reset the peak of the resident memory."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """Return the largest resident memory since the last `reset_peak`, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


STUB_THRESHOLDS = Thresholds(cells_max_threshold=0.55, cell_fill_threshold=0.13, merge=0.5, regrow=True)


def measure_one(side: int, data: Path, seed: int, *, stub: bool) -> None:
    """Measure one size in this process, and print it as JSON."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        image = write_mosaic(Path(folder, "image.zarr"), side, read_crops(data, as_map=stub), seed)
        network = Stub() if stub else shipped()
        thresholds = STUB_THRESHOLDS if stub else own_thresholds()
        result, stages = run(image, Path(folder, "o.zarr"), network, settings_for(thresholds), HereExecutor())
    found = {"cells": result.cells, "large": result.large, "cut": result.cut, "stages": stages}
    print(json.dumps(found))


def measure_sizes(sizes: list[int], data: Path, seed: int, *, stub: bool) -> None:
    """Measure every size in a process of its own with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    print(f"{'stub' if stub else 'nano'}, one process of one thread, mosaics of {data.name}")
    for side in sizes:
        command = [sys.executable, __file__, "one", "--sizes", str(side), "--data", str(data)]
        command += ["--seed", str(seed), *(["--stub"] if stub else [])]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
        found = json.loads(done.stdout.splitlines()[-1])
        stages, mpx = found["stages"], side**2 / 1e6
        clock, cpu = (sum(column) for column in list(zip(*stages.values(), strict=True))[:2])
        print(
            f"{side:6}²  {found['cells']:9} cells  {clock:8.1f} s  {1000 * clock / mpx:7.1f} ms/Mpx on the "
            f"clock, {1000 * cpu / mpx:7.1f} of the processor; "
            f"peak {max(mib for *_, mib in stages.values()):6.0f} MiB; "
            f"large {found['large']}, cut {found['cut']}",
            flush=True,
        )
        by_stage = (f"{name} {1000 * s / mpx:.1f} ({mib:.0f})" for name, (_, s, mib) in stages.items())
        print("         processor's ms/Mpx (MiB): " + ", ".join(by_stage), flush=True)


def measure_seams(side: int, data: Path, seed: int) -> None:
    """Compare the labels of blocks with those of the whole map, in memory."""
    network = shipped()
    own = own_thresholds()
    joined = own.model_copy(update={"cell_fill_threshold": 0.02})  # so low that most cells hang together
    with tempfile.TemporaryDirectory(dir=".") as folder:
        image = write_mosaic(Path(folder, "image.zarr"), side, read_crops(data, as_map=False), seed)
        output = Path(folder, "labels.zarr")
        for block, largest, halo, thresholds in (
            (512, 4096**2, 256, own),
            (512, 4096**2, 256, joined),
            (512, 1, 64, own),
            (512, 1, 256, own),
            (512, 1, 64, joined),
            (512, 1, 256, joined),
        ):
            settings = settings_for(thresholds, block=block, largest=largest, halo=halo, formats=())
            options = {"keep_map": True, "overwrite": True}
            result, _ = run(image, output, network, settings, HereExecutor(), **options)
            (work,) = output.with_name(f"{output.name}.work").glob("map-*")
            distance = zarr.open_array(work / MAP, mode="r")[:]
            whole = distance_to_labels(distance, thresholds=thresholds)
            labels = relabel(zarr.open_array(output / "0", mode="r")[:].astype(np.int64))
            scores = evaluate(whole, labels)
            print(
                f"{data.name} {side}² in blocks of {block}, fill {thresholds.cell_fill_threshold}: "
                f"{result.cells} cells, in memory {whole.max()}; "
                f"large {result.large}, cut {result.cut} (halo {halo}); "
                f"{'equal' if same(whole, labels) else 'not equal'} up to numbers, PQ {scores.pq:.6f}"
            )


def same(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Return whether two label images are equal up to the numbers."""
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


def measure_kill(side: int, data: Path, seed: int) -> None:
    """Kill one of two workers in every stage, and compare with an undisturbed run in one process."""
    settings = settings_for(STUB_THRESHOLDS, block=512)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        image = write_mosaic(Path(folder, "image.zarr"), side, read_crops(data, as_map=True), seed)
        expected, _ = run(image, Path(folder, "here.zarr"), Stub(), settings, HereExecutor())
        killed = []
        with open_executor(workers=2) as executor:
            source = SourcePlane(image, 0, SelectedPlane(0, 0, None, ""), None)
            for event in segment_large(source, Path(folder, "two.zarr"), Stub(), settings, executor):
                if isinstance(event, LargeResult):
                    result = event
                elif event.done == event.total // 3 and event.total > 8:
                    os.kill(worker_processes()[-1], signal.SIGKILL)
                    killed.append(f"{event.stage} at {event.done} of {event.total}")
        first, second = (zarr.open_array(run.labels / "0", mode="r")[:] for run in (expected, result))
        print(f"killed a worker in {', '.join(killed)}")
        equal = np.array_equal(first, second)
        print(f"{result.cells} cells, undisturbed {expected.cells}; labels bit-equal: {equal}")


def worker_processes() -> list[int]:
    """Return the process numbers of the workers."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if any("spawn_main" in part for part in child.cmdline())]


def measure_pair(side: int, data: Path, seed: int) -> None:
    """Compare two workers with one, one thread each, on the same image."""
    network = shipped()
    # Small blocks, so that the map has several pieces for each.
    settings = settings_for(own_thresholds(), block=1024)
    seconds = {}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        image = write_mosaic(Path(folder, "image.zarr"), side, read_crops(data, as_map=False), seed)
        for workers in (1, 2):
            with open_executor(workers=workers, threads=1) as executor:
                began = time.perf_counter()
                output = Path(folder, f"{workers}-{len(seconds)}-{began}.zarr")
                _, stages = run(image, output, network, settings, executor)
            seconds.setdefault(workers, []).append(time.perf_counter() - began)
            parts = ", ".join(f"{name} {s:.1f}" for name, (s, *_) in stages.items())
            print(f"{workers} worker(s) of one thread: {seconds[workers][-1]:.1f} s ({parts})", flush=True)
    best = {workers: min(times) for workers, times in seconds.items()}
    print(f"{side}²: two workers are {best[1] / best[2]:.2f} times as fast as one")


def main() -> None:
    """Measure what was asked for, or all at small sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["sizes", "nano", "seams", "kill", "pair", "one"])
    parser.add_argument("--data", type=Path, default=Path("samples"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stub", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.what == "one":
        measure_one(asked.sizes[0], asked.data, asked.seed, stub=asked.stub)
        return
    alone: dict[str, Callable[[int, Path, int], None]] = {
        "seams": measure_seams,
        "kill": measure_kill,
        "pair": measure_pair,
    }
    for what in [asked.what] if asked.what else ["sizes", "nano", "seams", "kill", "pair"]:
        if what in alone:
            for side in asked.sizes if asked.what else asked.sizes[:1]:
                alone[what](side, asked.data, asked.seed)
        else:
            measure_sizes(asked.sizes, asked.data, asked.seed, stub=what == "sizes")


if __name__ == "__main__":
    main()
