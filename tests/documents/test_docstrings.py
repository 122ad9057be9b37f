"""Examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import dinocell

PACKAGE = Path(str(dinocell.__file__)).parent
MODULES = sorted(
    ".".join(("dinocell", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in PACKAGE.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_what_they_say(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(
        importlib.import_module(module), extraglobs={"np": np}, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert found.attempted
    assert not found.failed
