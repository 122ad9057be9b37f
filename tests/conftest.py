"""Hypothesis draws the same examples every time, so that what passes here passes elsewhere.

``HYPOTHESIS_PROFILE=search``, as in ``make test-all``, looks for new ones.
"""

import os
import signal

# Before anything imports NumPy: each process of pytest-xdist has a core, and more threads would only wait for
# each other (three times the time on two cores).
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

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
