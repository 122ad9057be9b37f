"""Damaged files: thousands of mutations, of which none may crash, hang or give wrong pixels in silence.

``python benchmarks/fuzz.py`` (options: ``--files FILE …``, ``--mutations 2000``, ``--seed 0``). Exits with 1
where one does. Every mutation is read in a process with a memory limit: all planes, as planes, windows and
pages, three times over. What is read is compared with the sound file, by where the damage is:

- *structure* (headers, tags, offsets, descriptions): read must be what was there, or it is refused, or a
  warning says what is wrong. All else is SILENT, unless a tag, header or description has another value that
  is allowed as well, so that no reader can know: those are counted apart, as REDEFINED, with what it was.
- *anywhere*: pixels that are stored without a checksum may come out otherwise, and bytes that are put in or
  taken away move them. Here only crashes, hangs, tracebacks, other pixels at another reading, and planes,
  windows and pages that differ count (UNEQUAL).

Without ``--files``: the samples as PNG, JPEG, BMP, NPY, OME-Zarr and TIFF of many kinds, written anew.
"""

import argparse
import hashlib
import json
import logging
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from dinocell.errors import DINOCellError
from dinocell.io.images import open_image, read_image
from mutations import Sound, mutate, redefined, sounds

LIMIT_MIB = 3000
TIMEOUT_S = 30
READINGS = 3
MOST = 64  # planes, and scenes, that are read of a file
WRONG = ("SILENT", "UNEQUAL", "ESCAPED", "CRASHED", "HUNG")


def main() -> None:
    """Damage files, read them, compare, and count what happens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, nargs="+")
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    logging.getLogger("tifffile").disabled = True  # the readers, which listen to it, are other processes
    found = [Sound.of(file) for file in arguments.files] if arguments.files else sounds()
    each = -(-arguments.mutations // len(found))
    totals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        for sound in found:
            totals += try_mutations(sound, Path(name) / "damaged", each, arguments.seed)
    bad = sum(count for what, count in totals.items() if what.startswith(WRONG))
    print(f"{totals.total()} mutations of {len(found)} files: {dict(totals.most_common())}")
    print(f"{bad} silently wrong, unequal, escaped, crashed or hung")
    sys.exit(bad > 0)


def try_mutations(sound: Sound, folder: Path, count: int, seed: int) -> "Counter[str]":
    """Read mutations of one file and count what came of them."""
    reader = start_reader()
    path = sound.write(folder)
    before, _ = ask(reader, path)
    if before["result"] != "read" or before["said"] or not before["agree"]:
        raise SystemExit(f"{sound.name} cannot be read before it is damaged: {before}")
    found: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        arm, damaged = mutate(sound, f"{seed} {sound.name} {number}")
        path = damaged.write(folder)
        after, seconds = ask(reader, path)
        slowest = max(slowest, seconds)
        what = judge(sound, damaged, arm, before, after)
        found[what.split(":")[0] if what.startswith(WRONG) else what] += 1
        if what.startswith(WRONG):
            print(f"{sound.name} mutation {number} ({arm}): {what}", flush=True)
        if reader.poll() is not None:
            reader = start_reader()
    reader.kill()
    reader.wait()
    print(f"{sound.name:<18} {dict(found.most_common())}, slowest {slowest:.2f} s", flush=True)
    return found


def judge(sound: Sound, damaged: Sound, arm: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    """Name what came of a mutation; what is wrong begins with one of `WRONG`."""
    if after["result"] != "read":
        return str(after["result"])
    if not after["agree"]:
        return f"UNEQUAL: {after['why']}"
    if after["planes"] == before["planes"]:
        return "equal" if after["shape"] == before["shape"] or after["said"] else "equal, other axes"
    if after["said"]:
        return "said"
    if arm == "anywhere":
        return "other pixels"
    reason = redefined(sound, damaged)
    if reason:
        return f"REDEFINED {reason}"
    return f"SILENT: {before['shape']} became {after['shape']}"


def observe(path: Path) -> dict[str, Any]:
    """Read a file several times, and say what came of it and whether it agrees with itself."""
    told: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("dinocell")
    logger.addHandler(listener)
    try:
        readings = [_read_all(path) for _ in range(READINGS)]
    except DINOCellError as error:
        return {"result": type(error).__name__}
    except Exception as error:  # noqa: BLE001 (that is what is looked for)
        return {"result": f"ESCAPED: {type(error).__name__}: {error}"}
    finally:
        logger.removeHandler(listener)
    why = next((why for *_, why in readings if why), "")
    if any(reading[:2] != readings[0][:2] for reading in readings):
        why = "it is read differently each time"
    shape, planes, _ = readings[0]
    return {"result": "read", "shape": shape, "planes": planes, "said": told, "agree": not why, "why": why}


def _read_all(path: Path) -> tuple[list[Any], list[str], str]:
    """Return the sizes of all scenes, the digests of their planes, and what does not agree."""
    shapes: list[Any] = []
    digests: list[str] = []
    why = ""
    with open_image(path) as first:
        n_scenes = len(first.info.scenes)
    for scene in range(min(n_scenes, MOST)):
        with open_image(path, scene=scene) as image:
            shapes.append([*image.info.shape, image.info.samples])
            for at in list(np.ndindex(*image.info.shape[:3]))[:MOST]:
                if not image.has_plane(*at):
                    digests.append("missing")
                    continue
                plane = image.read_plane(*at)
                whole = hashlib.sha256(np.ascontiguousarray(plane))
                digests.append(f"{plane.shape} {plane.dtype} {whole.hexdigest()}")
                half = plane.shape[0] // 2
                parts = [slice(0, half), slice(half, None)] if half else [slice(None)]
                windows = [image.read_window(rows, slice(None), *at) for rows in parts]
                if not np.array_equal(np.concatenate(windows), plane, equal_nan=plane.dtype.kind == "f"):
                    why = f"windows of {at} are not their plane"
                if scene == 0 and image.info.missing_planes == 0:
                    why = why or _disagreeing_page(path, image.info, at, plane)
    return shapes, digests, why


def _disagreeing_page(path: Path, info: Any, at: tuple[int, ...], plane: Any) -> str:
    t, c, z = at
    pixels = read_image(path, page=t * info.shape[2] + z).pixels
    pixels = pixels.reshape(*pixels.shape[:2], -1)[..., c * info.samples : (c + 1) * info.samples]
    same = np.array_equal(pixels, plane.reshape(pixels.shape), equal_nan=plane.dtype.kind == "f")
    return "" if same else f"the page of {at} is not its plane"


def serve() -> None:
    """Read the files that are told through standard input, each answered by a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_MIB * 2**20,) * 2)
    for line in sys.stdin:
        start = time.perf_counter()
        result = observe(Path(line.rstrip("\n")))
        print(json.dumps([result, time.perf_counter() - start]), flush=True)


def start_reader() -> "subprocess.Popen[str]":
    """Start a process that reads the files it is told."""
    return subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, __file__, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def ask(reader: "subprocess.Popen[str]", path: Path) -> tuple[dict[str, Any], float]:
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
        result = f"HUNG: for {TIMEOUT_S} s" if seconds >= TIMEOUT_S else f"CRASHED: with {code}"
        return {"result": result}, seconds
    result, seconds = json.loads(line)
    return result, float(seconds)


if __name__ == "__main__":
    main()
