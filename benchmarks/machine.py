"""Description of the machine that a table was measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "torch",
    "transformers",
    "onnxruntime",
    "openvino",
    "numpy",
    "scikit-image",
    "opencv-python-headless",
)


def describe_machine() -> str:
    """Return the processor, its cores and instructions, and the versions that matter."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    values = dict(part.split(":", 1) for part in (line.replace("\t", "") for line in lines) if ":" in part)
    flags = [
        name
        for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
        if name in values.get("flags", "")
    ]
    named = values.get("model name", platform.processor() or platform.machine()).strip()
    return f"{named} ({', '.join(flags)}), {os.cpu_count()} cores; {', '.join(_versions())}"


def _versions() -> list[str]:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found
