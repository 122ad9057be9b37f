"""Trained models are found by name or path."""

import pytest

from dinocell.errors import UnknownModelError
from dinocell.models.finding import PACKAGES, find_checkpoint
from dinocell.models.variants import VARIANTS


def test_what_another_package_holds_is_a_variant():
    assert PACKAGES.keys() <= VARIANTS.keys()


def test_a_wrong_name_is_refused_with_all_that_there_are(tmp_path):
    with pytest.raises(UnknownModelError, match=", ".join(VARIANTS)):
        find_checkpoint(tmp_path / "nanno")
    assert find_checkpoint(tmp_path) == tmp_path
