"""Commands are listed without their modules, which are imported when they are used."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import dinocell.cli
from dinocell.cli.commands import COMMANDS, load_command
from dinocell.cli.inputs import check_any_exists
from dinocell.errors import FileMissingError

HEAVY = {"torch", "transformers", "scipy.ndimage", "scipy.sparse", "skimage.measure", "matplotlib", "dask"}
"""Libraries that take long to import."""


def start(*arguments, check="", **environment):
    """Run the command line in a process of its own; afterwards `check` is evaluated there."""
    script = f"import sys; from dinocell.cli import app\ntry: app({list(arguments)}, prog_name='dinocell')\n"
    script += f"except SystemExit: assert not sys.exc_info()[1].code\nassert {check or True}, sys.modules"
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | environment
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_what_lists_the_commands_imports_none_of_them(arguments):
    heavy = {"numpy", "torch", "dinocell.cli.segment", "dinocell.cli.process"}
    done = start(*arguments, check=f"not {heavy} & set(sys.modules)")
    assert done.returncode == 0, done.stderr
    if arguments == ["--help"]:
        assert all(f"│ {name} " in done.stdout for name in COMMANDS)


def test_a_command_imports_no_other():
    done = start("info", "--help", check="'dinocell.cli.segment' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_the_module_of_a_command_loads_no_network():
    """Help, and errors of the command line, come before the seconds that PyTorch takes."""
    modules = [f"dinocell.cli.{module}" for module, _ in COMMANDS.values()]
    load = f"import importlib, sys; [importlib.import_module(each) for each in {modules}]"
    code = f"{load}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_shows_the_first_paragraph_of_the_help_of_a_command(name):
    text = load_command(name).help
    assert " ".join(text.split("\n\n")[0].split()) == COMMANDS[name][1]


def test_every_module_with_a_command_is_listed():
    files = Path(dinocell.cli.__file__).parent.glob("*.py")
    modules = {file.stem: import_module(f"dinocell.cli.{file.stem}") for file in files}
    del modules["__init__"]
    having = {
        name for name, module in modules.items() if hasattr(module, "command") or hasattr(module, "app")
    }
    assert having == {module for module, _ in COMMANDS.values()}


@pytest.mark.parametrize(
    ("words", "expected", "check"),
    [
        ("seg", {"segment", "segment-large"}, "'torch' not in sys.modules"),
        ("info --js", {"--json"}, "True"),
        ("process insp", {"inspect"}, "True"),
    ],
)
def test_shells_complete_names_and_options(words, expected, check):
    asked = {
        "COMP_WORDS": f"dinocell {words}",
        "COMP_CWORD": str(len(words.split())),
        "_DINOCELL_COMPLETE": "complete_bash",
    }
    done = start(check=check, **asked)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["segmnt"], ["segment", "--chanel", "1", "samples", "-o", "out"],
        ["segment", "none.tif", "-o", "out"], ["segment", "*.tif", "-o", "out", "--preset", "none.yaml"],
        ["segment-large", "none.zarr", "-o", "out.zarr"], ["segment-large", "--chanel", "1"],
        ["measure", "none.tif", "none.tif", "-o", "out"], ["info", "none.tif"],
        ["evaluate", "--data", "none"], ["evaluate", "--dta", "none"],
        ["compare", "--data", "none", "-o", "out"], ["tune", "none"], ["finetune", "none"],
        ["train", "--train", "none"], ["train", "--config", "none.yaml"], ["pretrain", "none", "-o", "out"],
        ["process", "folder", "none", "-o", "out"], ["process", "inspect", "none"],
        ["export", "--precison", "int8"], ["synthesize", "--recipes", "x"],
        ["segment", ".", "-o", "out", "--model", "nanno"], ["segment", ".", "-o", "out", "--model", "7b"],
        ["segment", ".", "-o", "out", "--diameter", "9", "--diameter-um", "9"],
        ["segment", "none.tif", "-o", "out", "--separate-planes", "--numbers", "--legend"],
        ["segment-large", ".", "-o", "out.zarr", "--model", "nanno"],
        ["segment-large", ".", "-o", "out.zarr", "--min-size", "x"],
        ["measure", ".", "none.tif", "-o", "out", "--legend"],
        ["evaluate", "--data", ".", "--masks", "none"], ["evaluate", "--data", ".", "--model", "nanno"],
        ["evaluate", "--data", ".", "--pixel-size", "0.5"], ["evaluate", "--data", ".", ".", "--masks", "."],
        ["compare", "--data", ".", "--masks", "none", "-o", "out"],
        ["tune", ".", "none"], ["tune", ".", "--model", "nanno"],
        ["finetune", ".", "none"], ["finetune", ".", "--model", "nanno"],
        ["export", "nanno", "-o", "out.onnx"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_mistyped_is_refused_before_anything_that_takes_long_is_imported(arguments, tmp_path):
    script = (
        f"import sys; sys.argv = {['dinocell', *arguments]}; from dinocell.cli import main\n"
        "try: main()\nexcept SystemExit as ended: code = ended.code\n"
        f"print(code, sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() in ("1 []", "2 []"), done.stderr
    said = done.stderr.strip().splitlines()
    assert said[-1].lower().startswith("error: ")
    assert any(word in said[-1] for word in arguments)
    assert not [*tmp_path.iterdir()]


def test_an_error_in_the_options_is_not_wrapped_in_a_file(tmp_path):
    name = "a_long_option_" * 9
    done = subprocess.run(
        [sys.executable, "-m", "dinocell", "segment", "a.png", "-o", "out", f"--{name}"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert name in done.stderr
    assert "│" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.tif"], "none.tif does not exist: check the path"),
        (["a", "b"], "none of a, b exists: check"),
    ],
)
def test_a_batch_of_which_nothing_exists_is_refused_at_once(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileMissingError, match=expected):
        check_any_exists(arguments)
    (tmp_path / "there.tif").touch()
    check_any_exists([*arguments, "there.tif"])
    check_any_exists([*arguments, "*.tif"])  # a pattern is told apart later
