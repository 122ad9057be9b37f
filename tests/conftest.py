"""Hypothesis draws the same examples every time, so that what passes here passes elsewhere.

``HYPOTHESIS_PROFILE=search``, as in ``make test-all``, looks for new ones.
"""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
