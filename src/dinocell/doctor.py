"""Inspection of an installation: versions, devices, memory, models, extras, and a trial segmentation.

Packages are imported where they are inspected: one that is missing or broken is a finding, and ends nothing.
"""

import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from dinocell.errors import DINOCellError
from dinocell.machine import cache_folder, may_have_gpu, memory_bytes, processor_name, thread_count
from dinocell.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEVELOPMENT = "dev"
"""The extra that users do not need."""

LEAST_MEMORY = 2 << 30
"""Bytes; `segment` on one ordinary image stays well below."""


@dataclass(frozen=True)
class Finding:
    """A line of the report.

    Attributes
    ----------
    topic : str
        Such as ``memory``.
    text : str
        What was found.
    advice : str
        What to do about it, or what can be installed; may be empty.
    broken : bool
        Whether DINOCell cannot work.
    """

    topic: str
    text: str
    advice: str = ""
    broken: bool = False


def examine() -> Iterator[Finding]:
    """Inspect this installation, part by part; nothing is downloaded or changed.

    Yields
    ------
    Finding
        The last one says whether the shipped model finds the cells of a drawn image.
    """
    package = Path(__file__).parent
    yield Finding("dinocell", f"{__version__} in {package}")
    yield Finding("python", f"{platform.python_version()}, {platform.platform()}")
    yield from _packages()
    yield Finding("processor", f"{processor_name()}, {os.cpu_count()} cores")
    yield _memory()
    yield from _devices()
    yield from _extras()
    yield from _weights()
    yield from _caches()
    yield _trial()


def _requirements() -> Iterator[tuple[str, Requirement]]:
    """Yield the requirements of the package with their extra, which is empty for those always needed."""
    try:
        lines = importlib.metadata.requires("dinocell") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            yield "", requirement
            continue
        for extra in importlib.metadata.metadata("dinocell").get_all("Provides-Extra") or []:
            if marker.evaluate({"extra": extra}):
                yield extra, requirement


def _lacking(requirement: Requirement) -> str:
    """Return why a requirement is not met; empty where it is."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} is {version}, expected {requirement.specifier}"


def _packages() -> Iterator[Finding]:
    needed = [requirement for extra, requirement in _requirements() if not extra]
    if not needed:
        yield Finding("packages", "DINOCell itself is not installed, so not checked", "pip install .")
        return
    lacking = list(filter(None, map(_lacking, needed)))
    if lacking:
        names = " ".join(f'"{one}"' for one in needed if _lacking(one))
        yield Finding("packages", ", ".join(lacking), f"pip install {names}", broken=True)
    found = [one.name for one in needed if not _lacking(one)]
    yield Finding("packages", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in found))


def _extras() -> Iterator[Finding]:
    extras: dict[str, list[Requirement]] = {}
    for extra, requirement in _requirements():
        if extra not in ("", DEVELOPMENT):
            extras.setdefault(extra, []).append(requirement)
    for extra, requirements in extras.items():
        lacking = list(filter(None, map(_lacking, requirements)))
        advice = f'optional: pip install "dinocell[{extra}]"' if lacking else ""
        yield Finding(f"extra {extra}", ", ".join(lacking) or "installed", advice)


def _memory() -> Finding:
    size, free = memory_bytes()
    if size is None:
        return Finding("memory", "the system does not say")
    text = _gibibytes(size, free)
    if size < LEAST_MEMORY:
        return Finding("memory", text, "take small images, or `dinocell segment-large`")
    return Finding("memory", text)


def _gibibytes(size: int, free: int | None) -> str:
    return f"{size / 2**30:.1f} GiB" + ("" if free is None else f", {free / 2**30:.1f} GiB of it unused")


def _devices() -> Iterator[Finding]:
    try:
        import torch

        from dinocell.models.network.devices import choose_device, multiplies_bfloat16
    except (ImportError, OSError) as error:  # OSError: a library of torch's that cannot be loaded
        yield Finding("device", f"cpu, {thread_count()} threads, with ONNX Runtime", _about_gpu())
        with suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("torch")
            advice = "install it again: pip install --force-reinstall torch"
            yield Finding("torch", f"cannot be loaded ({error})", advice)
        return
    device = choose_device()
    for number in range(torch.cuda.device_count()):
        try:
            free, size = torch.cuda.mem_get_info(number)
        except RuntimeError as error:  # somebody else has all of it, or it is out of order
            yield Finding(
                f"GPU {number}", f"cannot be used: {str(error).splitlines()[0]}", "take --device cpu"
            )
            continue
        name = torch.cuda.get_device_name(number)
        yield Finding(f"GPU {number}", f"{name}, {_gibibytes(size, free)}")
    if device.type != "cpu":
        yield Finding("device", f"{device.type} (of --device auto)")
        return
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    fast = ", bfloat16 is fast on it: --precision bfloat16" if multiplies_bfloat16() else ""
    text = f"cpu, {thread_count()} threads, with ONNX Runtime{fast}; torch is {built}"
    yield Finding("device", text, _about_gpu())


def _about_gpu() -> str:
    """Return what to do where there is a GPU that nothing installed can use."""
    if may_have_gpu() or shutil.which("nvidia-smi") is not None:
        return "there seems to be a GPU: install torch for it, see docs/getting_started.md"
    return ""


def _weights() -> Iterator[Finding]:
    """Yield which models are trained, and which backbones have their published weights in the cache."""
    try:
        from dinocell.models.checkpoint import hash_checkpoint, is_trained, read_config
        from dinocell.models.finding import PACKAGES, find_checkpoint
        from dinocell.models.hub import cached_folder
        from dinocell.models.variants import VARIANTS
    except (ImportError, OSError):  # `_trial` says why
        return
    missing = []
    for name, variant in VARIANTS.items():
        try:
            if is_trained(name):
                folder, package = find_checkpoint(name), PACKAGES.get(name, "the package")
                known, digest = " and ".join(read_config(folder).targets), hash_checkpoint(folder)
                text = f"trained for {known}, ships with {package} (SHA-256 {digest[:12]}…)"
                yield Finding(f"model {name}", text)
                continue
        except DINOCellError as error:
            yield Finding(f"model {name}", str(error), "install DINOCell again", broken=True)
            continue
        try:
            here = next(filter(None, map(cached_folder, variant.sources)), None)
        except DINOCellError as error:  # a damaged download
            yield Finding(f"model {name}", str(error), f"dinocell download {name}")
            continue
        if here is None:
            missing.append(name)
        else:
            yield Finding(f"model {name}", f"to be trained; backbone weights in {here}")
    if missing:
        text = f"{', '.join(missing)}: to be trained; backbone weights not downloaded"
        yield Finding("other models", text, "dinocell download NAME, if you want to train one")


def _caches() -> Iterator[Finding]:
    folders = {"exports in": cache_folder()}
    with suppress(ImportError, OSError):
        from huggingface_hub.constants import HF_HUB_CACHE

        folders["downloads in"] = Path(HF_HUB_CACHE)
    for topic, folder in folders.items():
        # Unlike Path.exists, this is false for a folder that cannot be read.
        there = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))  # noqa: PTH110
        free = f"{shutil.disk_usage(there).free / 2**30:.0f} GiB free"
        writable = os.access(there, os.W_OK)
        advice = "" if writable else "choose another with DINOCELL_CACHE, HF_HOME"
        yield Finding(topic, f"{folder}, {free}{'' if writable else ', cannot be written'}", advice)


def _trial() -> Finding:
    """Segment a drawn image."""
    try:
        from dinocell.inference.segment import segment

        image, cells = draw_cells()
        start = time.perf_counter()
        found = segment(image).count
    except (DINOCellError, ImportError, OSError, RuntimeError, AttributeError) as error:  # versions at odds
        return Finding("trial", f"nano cannot be run: {error}", "install DINOCell again", broken=True)
    text = (
        f"nano finds {found} of {cells} drawn cells in {time.perf_counter() - start:.1f} s, loading included"
    )
    if found == cells:
        return Finding("trial", text)
    return Finding("trial", text, "the weights or a library are damaged: install again", broken=True)


def draw_cells() -> "tuple[NDArray[np.uint8], int]":
    """Draw an image of bright disks of 36 px on a dark ground; return it and their number."""
    import numpy as np

    y, x = np.mgrid[:256, :256]
    ground = np.random.default_rng(0).normal(20, 3, (256, 256))
    nearest = np.hypot(y % 64 - 32, x % 64 - 32)
    disks = 180 / (1 + np.exp(nearest - 18))
    return (ground + disks).clip(0, 255).astype(np.uint8), 16
