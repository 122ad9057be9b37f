"""Commands are listed without their modules, which are imported when they are used."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import dinocell.cli
from dinocell.cli.commands import COMMANDS, load_command


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
