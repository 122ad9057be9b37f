"""Tasks that tests run in other processes, which import them by name."""

import os
import signal
import threading
import time
from pathlib import Path

from dinocell.errors import FileFormatError
from dinocell.workers.executor import device_lock

PATIENCE = 60  # seconds


def square(number, plus=0):
    return number**2 + plus


def process_id(_):
    return os.getpid()


def raise_for_three(number):
    if number == 3:
        raise FileFormatError("three is damaged")
    return number


def fail_once(number, folder):
    """Fail the first time, while the file of that number is missing."""
    marker = Path(folder) / str(number)
    if not marker.exists():
        marker.touch()
        raise OSError(f"{number} hiccups")
    return number


def fail_always(number, folder):
    descriptor = os.open(Path(folder) / "calls", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, b"x")
    os.close(descriptor)
    raise OSError(f"{number} is gone")


def threads(_):
    import cv2
    import torch

    return cv2.getNumThreads(), torch.get_num_threads(), os.environ["OPENBLAS_NUM_THREADS"]


def wait_for(path):
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.01)


def wait_to_be_released(number, folder):
    """Leave a file that says which process is at the item, and go on when there is another file."""
    begun = Path(folder) / f"{number}-{os.getpid()}"
    begun.write_text(str(os.getpid()))
    begun.rename(begun.with_suffix(".pid"))  # never found half written
    wait_for(Path(folder) / "released")
    return number**2


def wait_after_the_first(number, folder):
    return wait_to_be_released(number, folder) if number else 0


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


_at_once = {"now": 0, "most": 0}
_counting = threading.Lock()


def count_at_once(_, locked):
    """Return how many threads of this process were ever in here together."""
    if locked:
        with device_lock():
            return _count()
    return _count()


def _count():
    with _counting:
        _at_once["now"] += 1
        _at_once["most"] = max(_at_once.values())
    time.sleep(0.005)
    with _counting:
        _at_once["now"] -= 1
        return _at_once["most"]
