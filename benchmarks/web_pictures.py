"""Pictures of the page of `dinocell serve` for docs/web.md: a real server, real cells, a real browser.

Needs the extra ``serve``, Node.js with the packages of page/ (``npm ci``), and Chromium, whose path is
``$CHROMIUM`` where it is not /usr/bin/chromium.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from serve_load import SAMPLES, server

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "images"
MOST_BYTES = 250_000
COLOURS = (256, 192, 128, 64)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    node = shutil.which("node")
    if node is None:
        raise SystemExit("node: it is not there, expected Node.js; install it")
    with tempfile.TemporaryDirectory() as taken, server() as (_, address):
        script = ["test/pictures.mjs", address.removesuffix("api/v1"), taken, *map(str, SAMPLES)]
        subprocess.run([node, *script], cwd=ROOT / "page", check=True)  # noqa: S603 (our own script)
        for path in sorted(Path(taken).glob("*.png")):
            print(save_small(path, output / path.name))


def save_small(path: Path, target: Path) -> Path:
    """Write a picture with as many colours as keep its file small; return the path."""
    picture = Image.open(path).convert("RGB")
    for colours in COLOURS:
        picture.quantize(colours, dither=Image.Dither.NONE).save(target, optimize=True)
        if target.stat().st_size <= MOST_BYTES:
            return target
    raise SystemExit(f"{target}: it is larger than {MOST_BYTES} bytes; take a simpler picture")


if __name__ == "__main__":
    main()
