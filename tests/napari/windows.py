"""Display for tests in a real Qt window: the one that there is, or an Xvfb that is started for them."""

import functools
import os
import shutil
import subprocess
import sys

REASON = "tests in a napari window need Linux, the extra dev, Xvfb and Qt's libraries (.ci/run installs them)"

_OPEN = "from qtpy.QtWidgets import QApplication; QApplication([])"


# Xvfb ends after this process, which then leaves the pipe: ended before, it would take Qt along.
_SERVE = "Xvfb -displayfd 1 -screen 0 1400x1000x24 -nolisten tcp 2>/dev/null & cat >/dev/null; kill $!"


@functools.lru_cache(maxsize=1)
def start_display():
    """Start an Xvfb unless there is a display, for as long as this process lives; return its process."""
    if os.environ.get("DISPLAY"):
        return None
    process = subprocess.Popen(
        ["/bin/sh", "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    number = process.stdout.readline().strip()  # it is written when the display can be used
    os.environ["DISPLAY"] = f":{number}"
    return process


def may_open():
    """Return whether a display is there, or can be started."""
    return sys.platform == "linux" and bool(os.environ.get("DISPLAY") or shutil.which("Xvfb"))


def opens():
    """Return whether Qt opens on the display, asked in a process that a missing library may end."""
    done = subprocess.run([sys.executable, "-c", _OPEN], capture_output=True, timeout=60, check=False)
    return done.returncode == 0
