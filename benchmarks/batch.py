"""A batch of small crops: its rate against bare forward passes, its memory, kills, and faulty files.

``python benchmarks/batch.py`` (options: ``--data FOLDER …`` of images, ``--images 1000``, ``--side 256``,
``--kills 5``, ``--seed 0``). Exits with 1 where a killed and resumed batch differs from one left alone.

The rate: the tiles of the same crops, preprocessed and in memory, crop by crop through the network and
nothing else. The command and the bare passes take turns (``--repeats``), as the machine may have other work.
"""

import argparse
import hashlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.images import read_image
from dinocell.io.saving import write_image
from dinocell.machine import thread_count
from dinocell.tiling import cut_tile, plan_tiles

SAMPLES = Path(__file__).parents[1] / "samples"
FAULTS = {
    "truncated.png": lambda good: good[: len(good) // 2],
    "empty.tif": lambda _good: b"",
    "text.jpg": lambda _good: b"no image",
}
_MEASURED = """
import resource, sys
from dinocell.cli import main
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {peak:.0f} MiB", file=sys.stderr)
"""


def main() -> None:
    """Run and print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", default=[SAMPLES])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crops = cut_crops(arguments.data, folder / "crops", arguments.images, arguments.side, arguments.seed)
        few = folder / "few"
        few.mkdir()
        for crop in crops[: max(1, len(crops) // 10)]:
            shutil.copy(crop, few)
        print(f"{len(crops)} crops of {arguments.side} px, threads: {thread_count()}")
        rate_and_memory(folder, few, crops, arguments.repeats)
        faulty_files(folder, crops[:200])
        differences = kill_and_resume(folder, few, arguments.kills, arguments.seed)
    sys.exit(differences > 0)


def cut_crops(data: list[Path], folder: Path, count: int, side: int, seed: int) -> list[Path]:
    """Cut crops at random places of the images of folders, into a tree of ten folders."""
    draw = np.random.default_rng(seed)
    images = sorted(path for of in data for path in of.glob("*_img.png"))
    planes = [read_image(path).pixels for path in images]
    crops = []
    for number in range(count):
        pixels = planes[int(draw.integers(len(planes)))]
        top, left = (int(draw.integers(max(1, length - side + 1))) for length in pixels.shape[:2])
        path = folder / f"day{number % 10}" / f"crop{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.ascontiguousarray(pixels[top : top + side, left : left + side]))
        crops.append(path)
    return crops


def rate_and_memory(folder: Path, few: Path, crops: list[Path], repeats: int) -> None:
    """Print images a second of the command's batch and of bare forward passes, and memory at two sizes."""
    small, _ = segment(few, folder / "out_few")
    batch, bare = [], []
    for repeat in range(repeats):
        whole, messages = segment(folder / "crops", folder / f"out{repeat}")
        batch.append(batch_seconds(folder / f"out{repeat}"))
        bare.append(bare_seconds(crops))
    for name, choose in (("best", min), ("median", statistics.median)):
        seconds, least = choose(batch), choose(bare)
        rates = f"batch {len(crops) / seconds:.1f}, bare forwards {len(crops) / least:.1f} images/s"
        print(
            f"{name}: {rates}; the batch (log: first image to last) takes {seconds / least:.2f} times as long"
        )
    counts = len(list(few.iterdir())), len(crops)
    print(f"peak memory    {small:.0f} MiB with {counts[0]} images, {whole:.0f} MiB with {counts[1]}")
    print(messages.splitlines()[-1] if messages else "")


def segment(inputs: Path, output: Path) -> tuple[float, str]:
    """Run the command; return its peak memory in MiB, and what it printed."""
    command = [sys.executable, "-c", _MEASURED, "segment", str(inputs), "-r", "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own program)
    peak = float(done.stderr.splitlines()[-1].split()[1])
    return peak, done.stdout


def batch_seconds(output: Path) -> float:
    """Return the seconds from the first line of the log to the last."""
    lines = [json.loads(line) for line in (output / "segment.jsonl").read_text().splitlines()]
    first, last = (np.datetime64(line["time"].removesuffix("+00:00")) for line in (lines[0], lines[-1]))
    return float((last - first) / np.timedelta64(1, "s"))


def bare_seconds(crops: list[Path]) -> float:
    """Measure the seconds of the forward passes alone, one crop in each pass as in the batch."""
    pipeline = DINOCellPipeline("nano")
    predictor = pipeline.predictor
    seconds = 0.0
    for crop in crops:
        gray = pipeline.prepare(read_image(crop).pixels)
        plan = plan_tiles(gray.shape, predictor.tile_size, predictor.overlap)
        tiles = np.stack([cut_tile(gray, tile) for tile in plan])
        start = time.perf_counter()
        predictor.engine.forward(tiles)
        seconds += time.perf_counter() - start
    return seconds


def faulty_files(folder: Path, crops: list[Path]) -> None:
    """Print the closing table of a batch with three faulty files."""
    inputs = folder / "faulty"
    inputs.mkdir()
    for crop in crops[: len(crops) - len(FAULTS)]:
        shutil.copy(crop, inputs)
    for name, damage in FAULTS.items():
        (inputs / name).write_bytes(damage(crops[0].read_bytes()))
    command = [sys.executable, "-m", "dinocell", "segment", str(inputs), "-o", str(folder / "out_faulty")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own program)
    table = done.stdout[done.stdout.index("done ") :].replace(str(folder), "")
    print(f"a batch of {len(crops)} with {len(FAULTS)} faulty files, exit code {done.returncode}:")
    print(table)


def kill_and_resume(folder: Path, inputs: Path, kills: int, seed: int) -> int:
    """Kill a batch at random moments, go on, and compare its files with those of one left alone."""
    moments = random.Random(seed)  # noqa: S311 (moments, no secrets)
    whole, killed = folder / "out_few", folder / "out_killed"
    count = len(list(inputs.iterdir()))
    for left in range(kills, 0, -1):
        done = len(list(killed.rglob("*_provenance.json")))
        command = [sys.executable, "-u", "-m", "dinocell", "segment", str(inputs), "-r", "-o", str(killed)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
        more = moments.randint(1, max(1, (count - done) // left))
        for _ in zip(range(done + more), process.stdout or (), strict=False):
            pass
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.communicate()
        how = "killed" if process.returncode else "had ended before it could be killed"
        print(f"{how} with {len(list(killed.rglob('*_labels.tif')))} label images there")
    segment(inputs, killed)
    one, other = hashes(whole), hashes(killed)
    different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    log = [json.loads(line) for line in (killed / "segment.jsonl").read_text().splitlines()]
    repeated = [line["name"] for line in log if line["event"] == "done"]
    print(f"{len(one)} files left alone, {len(other)} killed and resumed, {len(different)} differ")
    print(f"{len(repeated)} planes logged as done, {len(repeated) - len(set(repeated))} of them twice")
    return len(different)


def hashes(folder: Path) -> dict[str, str]:
    """Hash every file but the log."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "segment.jsonl"
    }


if __name__ == "__main__":
    main()
