"""Damaged files: thousands of mutations of real ones, of which none may crash, hang or escape as a traceback.

``python benchmarks/fuzz.py`` (options: ``--files FILE …``, ``--mutations 2000``, ``--seed 0``). Exits with 1
where one escapes. Every mutation is opened, and its first and last plane read, in a process with a memory
limit. A crash of the process, a hang of over 30 seconds and every other exception are counted and printed.

Without ``--files``: the samples as PNG, JPEG, BMP, TIFF (plain, tiled, OME, ImageJ) and NPY, written anew.
Files of microscopes are taken as they are given; an OME-Zarr folder has one of its files mutated.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import tifffile

from dinocell.images import read_image

SAMPLES = Path(__file__).parents[1] / "samples"
LIMIT_MIB = 3000
TIMEOUT_S = 30
_READ = f"""
import json, resource, sys, time
from dinocell.errors import DINOCellError
from dinocell.images import open_image
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT_MIB} * 2**20,) * 2)
for line in sys.stdin:
    start = time.perf_counter()
    try:
        with open_image(line.rstrip("\\n")) as image:
            t, c, z = image.info.shape[:3]
            image.read_plane()
            image.read_plane(t - 1, c - 1, z - 1)
        result = "read"
    except DINOCellError as error:
        result = type(error).__name__
    except Exception as error:
        result = f"ESCAPED {{type(error).__name__}}: {{error}}"
    print(json.dumps([result, time.perf_counter() - start]), flush=True)
"""


def main() -> None:
    """Mutate, read, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, nargs="+")
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = arguments.files or make_files(Path(name) / "sound")
        each = -(-arguments.mutations // len(files))
        totals: Counter[str] = Counter()
        for file in files:
            totals += try_mutations(file, Path(name), each, arguments.seed)
    bad = totals.total() - totals["read"] - sum(totals[key] for key in totals if key.endswith("Error"))
    print(f"{totals.total()} mutations of {len(files)} files: {dict(totals)}; {bad} escaped, crashed or hung")
    sys.exit(bad > 0)


def make_files(folder: Path) -> list[Path]:
    """Write the samples in several formats."""
    folder.mkdir()
    pixels = read_image(SAMPLES / "phase_1_img.png").pixels[:96, :128]
    stack = np.stack([pixels] * 6).reshape(2, 3, *pixels.shape)
    for name in ("plain.png", "plain.jpg", "plain.bmp"):
        cv2.imwrite(str(folder / name), pixels)
    tifffile.imwrite(folder / "plain.tif", pixels, compression="zlib")
    tifffile.imwrite(folder / "tiled.tif", pixels, tile=(32, 32), compression="lzw")
    tifffile.imwrite(folder / "stack.ome.tif", stack, metadata={"axes": "TZYX"}, photometric="minisblack")
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    np.save(folder / "array.npy", pixels)
    return sorted(folder.iterdir())


def try_mutations(file: Path, folder: Path, count: int, seed: int) -> "Counter[str]":
    """Read mutations of one file and count what came of them."""
    draw = random.Random(f"{seed} {file.name}")  # noqa: S311 (damage, no secrets)
    found: Counter[str] = Counter()
    slowest = 0.0
    reader = start_reader()
    if (sound := read(reader, file)[0]) != "read":
        raise SystemExit(f"{file} cannot be read before it is damaged: {sound}")
    for number in range(count):
        path = folder / f"mutation{file.suffix}"
        mutate_into(file, path, draw)
        result, seconds = read(reader, path)
        slowest = max(slowest, seconds)
        if result.startswith(("ESCAPED", "CRASHED", "HUNG")):
            print(f"{file.name} mutation {number}: {result}")
            found[result.split()[0]] += 1
        else:
            found[result] += 1
        if reader.poll() is not None:
            reader = start_reader()
    reader.kill()
    reader.wait()
    print(f"{file.name:<16} {dict(found)}, slowest {slowest:.2f} s")
    return found


def start_reader() -> "subprocess.Popen[str]":
    """Start a process that reads the files it is told."""
    return subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-c", _READ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def read(reader: "subprocess.Popen[str]", path: Path) -> tuple[str, float]:
    """Let it read one file."""
    if reader.stdin is None or reader.stdout is None:
        raise RuntimeError("the reader has no pipes")
    start = time.monotonic()
    watch = threading.Timer(TIMEOUT_S, reader.kill)
    watch.start()
    reader.stdin.write(f"{path}\n")
    reader.stdin.flush()
    line = reader.stdout.readline()
    watch.cancel()
    if not line:
        seconds = time.monotonic() - start
        code = reader.wait()
        return (f"HUNG for {TIMEOUT_S} s" if seconds >= TIMEOUT_S else f"CRASHED with {code}"), seconds
    result, seconds = json.loads(line)
    return str(result), float(seconds)


def mutate_into(file: Path, path: Path, draw: random.Random) -> None:
    """Write a damaged copy."""
    if file.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(file, path)
        inner = draw.choice(sorted(p for p in path.rglob("*") if p.is_file()))
        inner.write_bytes(mutate(inner.read_bytes(), draw))
    else:
        path.write_bytes(mutate(file.read_bytes(), draw))


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Damage bytes as disks, networks and hostile people do; more often at the start, where headers are."""
    damaged = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        length = max(1, len(damaged))
        at = draw.randrange(min(length, 512) if draw.random() < 0.6 else length)
        kind = draw.randrange(7)
        if kind == 0:
            damaged[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            del damaged[at:]
        elif kind == 2:
            damaged[at : at + draw.randrange(64)] = b""
        elif kind == 3:
            damaged[at:at] = draw.randbytes(draw.randrange(1, 64))
        elif kind == 4:  # sizes, counts and offsets at their limits
            damaged[at : at + 4] = draw.choice(
                (b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"\0\0\0\x01")
            )
        elif kind == 5:
            start = draw.randrange(length)
            damaged[at : at + 32] = damaged[start : start + 32]
        else:
            damaged[at : at + 8] = draw.randbytes(8)
    return bytes(damaged)


if __name__ == "__main__":
    main()
