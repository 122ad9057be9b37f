"""The machine that this runs on: its processor and its memory."""

import os
import platform
from contextlib import suppress
from pathlib import Path


def processor_name() -> str:
    """Return the name of the processor; on Linux only a file has it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def thread_count() -> int:
    """Return the number of threads for numerical work: ``OMP_NUM_THREADS`` if set, else all cores."""
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
