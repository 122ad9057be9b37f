"""Size of the installation, part by part, beside those of cellpose and stardist.

python benchmarks/install.py [--requirements NAME …] [--peers cellpose "stardist tensorflow"] [--no-peers]

The core's requirements (by default those of pyproject.toml) are installed into a fresh environment. For the
peers pip only says which files it would take from the public index for a machine like this one, with a GPU or
without; of those the size and the list of contents are read, and nothing is downloaded. MB are 10⁶ bytes; on
disk are the files of the packages, without the bytecode that is made of them.
"""

import argparse
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe_machine

PEERS = ("cellpose", "stardist tensorflow")

PURPOSE = {
    "edt": "exact distances to the boundaries of cells",
    "imagecodecs": "compressed TIFF, PNG, JPEG, CZI",
    "lazy_loader": "`import dinocell` loads nothing yet",
    "numpy": "arrays",
    "onnxruntime": "runs the networks",
    "opencv-python-headless": "resampling, connected pieces",
    "packaging": "compares versions",
    "platformdirs": "the cache folder",
    "pydantic": "checks settings",
    "pyyaml": "settings and presets in files",
    "rich": "progress and tables in the terminal",
    "safetensors": "weights",
    "scipy": "filters, sparse graphs, assignment",
    "tifffile": "TIFF and OME-TIFF",
    "typer": "the command line",
}
"""Purpose of each requirement of the core."""

MEGA = 1e6
ROOT = Path(__file__).parents[1]

LOCAL_SETTINGS = {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_CONSTRAINT"}
"""Variables that make pip look elsewhere than in the public index."""


class RemoteFile(io.RawIOBase):
    """A file on a server, of which only what is asked for is fetched."""

    def __init__(self, url: str) -> None:
        self.url = url
        with _open(url, method="HEAD") as answer:
            self.size = int(answer.headers["Content-Length"])
        self._place = 0

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place."""
        self._place = offset + (0, self._place, self.size)[whence]
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fetch the next bytes."""
        end = min(self.size, self._place + len(buffer))
        if end <= self._place:
            return 0
        with _open(self.url, Range=f"bytes={self._place}-{end - 1}") as answer:
            if answer.status != 206:
                raise OSError(f"{self.url}: the server sends whole files only")
            content: bytes = answer.read()
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


def _open(url: str, method: str = "GET", **headers: str) -> Any:
    request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 (an index's own URL)
    return urllib.request.urlopen(request, timeout=60)  # noqa: S310


@dataclass(frozen=True)
class Part:
    """A package: its version, the bytes of its file to download, and those of its files on disk."""

    name: str
    version: str
    download: int
    disk: int


def plan(python: Path, requirements: list[str], folder: Path, *, local: bool) -> list[Part]:
    """Ask pip which packages it would install, and measure their files.

    With `local` pip is configured as on this machine; without, it takes the public index alone.
    """
    report = folder / "report.json"
    command = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--report", report]
    # Dependencies are read from parts of the files.
    command += ["--no-cache-dir", "--use-feature=fast-deps", *requirements]
    environment = dict(os.environ)
    if not local:
        environment = {key: value for key, value in environment.items() if key not in LOCAL_SETTINGS}
        environment["PIP_CONFIG_FILE"] = os.devnull
    subprocess.run(command, check=True, capture_output=True, env=environment)  # noqa: S603 (our own command)
    return [_measure(item) for item in json.loads(report.read_text(encoding="utf-8"))["install"]]


def _measure(item: dict[str, Any]) -> Part:
    url = item["download_info"]["url"]
    if url.startswith("file://"):
        path = Path(urllib.request.url2pathname(url.removeprefix("file://")))
        size, disk = path.stat().st_size, _contents(path.open("rb"), url)
    else:
        remote = RemoteFile(url)
        size, disk = remote.size, _contents(io.BufferedReader(remote, 2**16), url)
    return Part(item["metadata"]["name"], item["metadata"]["version"], size, disk)


def _contents(file: Any, url: str) -> int:
    """Add up the files in a wheel, from its list of contents."""
    if not url.endswith(".whl"):
        raise SystemExit(f"{url} is no wheel: its size on disk is not known before it is built")
    with file, zipfile.ZipFile(file) as wheel:
        return sum(info.file_size for info in wheel.infolist())


def installed(python: Path, requirements: list[str]) -> tuple[dict[str, int], int]:
    """Install requirements, and return the bytes on disk of every package, and those of all bytecode."""
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)  # noqa: S603
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps([(d.name, p.suffix, p.locate().stat().st_size) for d in m.distributions() "
        "if d.name != 'pip' for p in d.files or () if p.locate().is_file()]))"
    )
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
    sizes: Counter[str] = Counter()
    bytecode = 0
    for name, suffix, size in json.loads(done.stdout):
        if suffix == ".pyc":
            bytecode += size
        else:
            sizes[_plain(name)] += size
    return sizes, bytecode


def own_wheel(python: Path, folder: Path) -> Part:
    """Build DINOCell's wheel and measure it."""
    build = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(build, check=True)  # noqa: S603 (our own command)
    (path,) = folder.glob("*.whl")
    return Part(
        "dinocell", path.name.split("-")[1], path.stat().st_size, _contents(path.open("rb"), path.name)
    )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def core_requirements() -> list[str]:
    """Read the core's requirements from pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    requirements: list[str] = tomllib.loads(text)["project"]["dependencies"]
    return requirements


def fresh_environment(folder: Path) -> Path:
    """Create an environment with a pip that reads dependencies from parts of files, and return its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)  # noqa: S603 (our own command)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)  # noqa: S603
    return python


def print_core(own: Part, parts: list[Part], on_disk: dict[str, int], named: list[str]) -> None:
    """Print a row for each requirement, for what they need in turn, for DINOCell, and the total."""
    purposes = {_plain(name): purpose for name, purpose in PURPOSE.items()}
    direct = {_plain(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]) for requirement in named}
    print("| package | version | download, MB | on disk, MB | for |\n|---|---|--:|--:|---|")
    for part in sorted(parts, key=lambda part: -on_disk[_plain(part.name)]):
        if (name := _plain(part.name)) in direct:
            _print_row(f"`{part.name}`", part.version, part.download, on_disk[name], purposes.get(name, ""))
    others = [part for part in parts if _plain(part.name) not in direct]
    disk = sum(on_disk[_plain(part.name)] for part in others)
    names = ", ".join(f"`{part.name}`" for part in sorted(others, key=lambda part: _plain(part.name)))
    _print_row("what these need", "", sum(part.download for part in others), disk, names)
    _print_row("`dinocell` itself", own.version, own.download, own.disk, "with the weights of `nano`")
    total = own.disk + sum(on_disk[_plain(part.name)] for part in parts)
    download = own.download + sum(part.download for part in parts)
    _print_row(f"**{1 + len(parts)} packages**", "", download, total, "")


def _print_row(name: str, version: str, download: int, disk: int, purpose: str) -> None:
    print(f"| {name} | {version} | {download / MEGA:.1f} | {disk / MEGA:.1f} | {purpose} |", flush=True)


def print_peer(requirements: str, parts: list[Part]) -> None:
    """Print the row of one installation, with its five largest downloads."""
    largest = sorted(parts, key=lambda part: -part.download)[:5]
    named = ", ".join(f"`{part.name}` {part.version} ({part.download / MEGA:.0f})" for part in largest)
    download, disk = sum(part.download for part in parts), sum(part.disk for part in parts)
    sizes = f"{download / MEGA:.0f} | {disk / MEGA:.0f}"
    print(f"| `pip install {requirements}` | {len(parts)} | {sizes} | {named} |", flush=True)


def main() -> None:
    """Print a table of the core, and one of the core beside the peers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requirements", nargs="+", default=core_requirements())
    parser.add_argument(
        "--peers", nargs="*", default=PEERS, help="What is installed together in one argument"
    )
    parser.add_argument("--no-peers", dest="peers", action="store_const", const=())
    options = parser.parse_args()
    print(f"{platform.system()} {platform.machine()}, {describe_machine()}\n")
    with tempfile.TemporaryDirectory() as name:
        python = fresh_environment(Path(name) / "environment")
        parts = plan(python, options.requirements, Path(name), local=True)
        on_disk, bytecode = installed(python, options.requirements)
        own = own_wheel(python, Path(name))
        print_core(own, parts, on_disk, options.requirements)
        print(f"\nBytecode of the packages: {bytecode / MEGA:.1f} MB more on disk.")
        print("\n| installation | packages | download, MB | on disk, MB | largest downloads (MB) |")
        print("|---|--:|--:|--:|---|")
        print_peer("dinocell", [own, *parts])
        for peer in options.peers:
            print_peer(peer, plan(python, peer.split(), Path(name), local=False))


if __name__ == "__main__":
    main()
