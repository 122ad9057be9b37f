"""Numbers of examples that hypothesis draws: few in the quick tests, many in ``make test-all``."""

from hypothesis import settings


def examples(quick: int, search: int) -> settings:
    """Return settings for a property whose examples take long.

    Parameters
    ----------
    quick, search : int
        Examples in the quick tests, and under the profile ``search``: see ``tests/conftest.py``.
    """
    searching = settings.get_current_profile_name() == "search"
    return settings(max_examples=search if searching else quick)
