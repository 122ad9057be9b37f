"""All measurements of speed in one run, one after the other: the table of docs/performance.md.

python benchmarks/speed.py [-o speed.md] [--peers ENVS]

ENVS are the environments that `peers.py --prepare ENVS` made; without them that part is left out. Takes about
an hour and a half on two cores. Leave the machine alone meanwhile.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent

PARTS = (
    ("Floor", ["floor.py"]),
    ("Engines", ["engines.py", "--every", "6"]),
    ("End to end", ["end_to_end.py"]),
    ("Tiles", ["tiles.py", "--every", "6"]),
    ("Post-processing", ["postprocessing.py"]),
    (
        "Post-processing, 8192²",
        ["postprocessing.py", "--side", "8192", "--maps", "2", "--repeats", "1", "--no-network"],
    ),
    ("The table of cells", ["table.py"]),
    ("Start-up", ["startup.py"]),
)


def main() -> None:
    """Run every part, and write what it prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("speed.md"))
    parser.add_argument("--peers", type=Path)
    arguments = parser.parse_args()
    parts = list(PARTS)
    if arguments.peers is not None:
        parts.append(("Peers", ["peers.py", "--environments", str(arguments.peers), "--scales", "0.5"]))
    with arguments.output.open("w", encoding="utf-8") as report:
        for title, (script, *options) in parts:
            start = time.monotonic()
            command = [sys.executable, str(HERE / script), *options]
            done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 (our own)
            text = done.stdout if done.returncode == 0 else f"{done.stdout}\nfailed: {done.stderr[-2000:]}"
            took = time.monotonic() - start
            call = " ".join([script, *options])
            for out in (report, sys.stdout):
                out.write(f"\n## {title}\n\n`benchmarks/{call}` ({took:.0f} s)\n\n{text}")
                out.flush()


if __name__ == "__main__":
    main()
