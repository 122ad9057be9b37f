"""Hypothesis draws the same examples every time, so that what passes here passes elsewhere.

``HYPOTHESIS_PROFILE=search``, as in ``make test-all``, looks for new ones.
"""

import atexit
import os
import shutil
import signal
import tempfile

# Before anything imports NumPy: each process of pytest-xdist has a core, and more threads would only wait for
# each other (three times the time on two cores).
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# One cache for all processes of a run, and none of the user's: a design is translated to ONNX once.
if "DINOCELL_CACHE" not in os.environ:
    os.environ["DINOCELL_CACHE"] = tempfile.mkdtemp(prefix="dinocell-tests-")
    atexit.register(shutil.rmtree, os.environ["DINOCELL_CACHE"], ignore_errors=True)

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Shells start what runs in the background deaf to Ctrl-C, and its children inherit that; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def export_cache(tmp_path_factory):
    """Cache of exported models for all tests: one export of nano is enough."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("exports")
        patch.setenv("DINOCELL_CACHE", str(folder))
        yield folder


def pytest_terminal_summary(terminalreporter):
    """Print a line where tests in a window were skipped: nobody looks for what is quiet."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ())}
    for reason in sorted(reason for reason in reasons if "window" in reason):
        terminalreporter.write_line(reason)
