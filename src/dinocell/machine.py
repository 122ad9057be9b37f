"""The machine that this runs on: its processor, its memory, and the place for what is kept on it."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs


def processor_name() -> str:
    """Return the name of the processor; on Linux only a file has it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


_sharers = 1  # parts of the process that work at once, see `shared_threads`


def thread_count() -> int:
    """Return the number of threads for numerical work: ``OMP_NUM_THREADS`` if set, else all cores.

    Where several parts of the process work at once, it is the share of each.
    """
    return max(1, _all_threads() // _sharers)


@contextmanager
def shared_threads(parts: int) -> Iterator[None]:
    """Divide the threads of this process among parts that work at once, within a ``with`` block."""
    global _sharers
    before, _sharers = _sharers, _sharers * parts
    try:
        yield
    finally:
        _sharers = before


def _all_threads() -> int:
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> tuple[int | None, int | None]:
    """Return the machine's memory and the free part of it, in bytes; None where the system does not tell."""
    return _pages("SC_PHYS_PAGES"), _pages("SC_AVPHYS_PAGES")


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, macOS not every name
        return None


def may_have_gpu() -> bool:
    """Return whether there seems to be a GPU that PyTorch can use; quick, and certain only if it is false."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if Path("/dev/kfd").exists():  # AMD's
        return True
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):  # no driver of NVIDIA's, or none that works
        return False


def cache_folder() -> Path:
    """Return the folder of exported models: ``$DINOCELL_CACHE``, else in the cache folder of the user."""
    chosen = os.environ.get("DINOCELL_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("dinocell", appauthor=False)
