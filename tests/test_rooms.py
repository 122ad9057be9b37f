"""Every room gives its public names, and loads them only when they are used."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dinocell

PACKAGE = Path(str(dinocell.__file__)).parent
STUBS = sorted(PACKAGE.rglob("__init__.pyi"))
ROOMS = [".".join(("dinocell", *stub.parent.relative_to(PACKAGE).parts)) for stub in STUBS]


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_exact_and_come_from_where_the_stub_says(room):
    module = importlib.import_module(room)
    stub = Path(str(module.__file__)).with_suffix(".pyi")
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    homes = {
        alias.name: f"{room}.{node.module}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (listed,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert set(module.__all__) == set(dir(module)) == set(listed) == set(homes)
    for name, home in homes.items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)
        assert not stub.with_name(f"{name}.py").exists(), "the module of that name would hide it"


def test_importing_all_rooms_loads_no_library():
    code = (
        f"import importlib, sys; [importlib.import_module(room) for room in {ROOMS}]; "
        "print(sorted({'cv2', 'numpy', 'scipy', 'skimage', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
