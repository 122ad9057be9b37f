"""The names of trained models, which are known without PyTorch, are those of the designs."""

import pytest

from dinocell.errors import UnknownModelError
from dinocell.models.finding import NAMES, PACKAGES, find_checkpoint
from dinocell.models.variants import VARIANTS


def test_the_names_are_those_of_the_variants():
    assert tuple(VARIANTS) == NAMES
    assert PACKAGES.keys() <= VARIANTS.keys()


def test_a_wrong_name_is_refused_with_all_that_there_are(tmp_path):
    with pytest.raises(UnknownModelError, match=", ".join(NAMES)):
        find_checkpoint(tmp_path / "nanno")
    assert find_checkpoint(tmp_path) == tmp_path
