"""The site of docs/ and its notebook. (test_docs.py runs what the pages show.)"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dinocell.cli.commands import COMMANDS, load_command

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "Tutorial.ipynb"

CHROMIUM = shutil.which("chromium")

_SPEC = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
hooks = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(hooks)


def run(*command, cwd, **variables):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=cwd, env=os.environ | variables, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_tutorial_runs_from_top_to_bottom_and_has_pictures(tmp_path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    options = ["--to", "notebook", "--execute", "--output-dir", tmp_path, "--output", "done"]
    run("nbconvert", *options, NOTEBOOK, cwd=tmp_path, JUPYTER_PLATFORM_DIRS="1", MPLBACKEND="")
    cells = json.loads((tmp_path / "done.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 6


def test_the_tutorial_is_stored_with_its_pictures_and_without_errors():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 6
    assert not [
        output
        for output in outputs
        if output["output_type"] == "error" or "stderr" in str(output.get("name"))
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    said = run("mkdocs", "build", "--strict", "--site-dir", folder, cwd=ROOT, NO_MKDOCS_2_WARNING="1")
    assert "WARNING" not in said
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_and_asks_no_server(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    for source in (ROOT / "docs").glob("*.md"):
        assert f"{source.stem}.html" in pages
    assert {"Tutorial.html", "cards/nano.html", "command_line.html", "api.html"} <= pages
    for page in pages:
        text = (site / page).read_text(encoding="utf-8")
        assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["'](?:https?:)?//[^"']*""", text), (
            page
        )


@pytest.mark.slow
def test_links_between_pages_lead_somewhere(site):
    for path in site.rglob("*.html"):
        for link in re.findall(r'href="([^"#:?]+)(?:#[^"]*)?"', path.read_text(encoding="utf-8")):
            if path.name != "404.html" and link not in (".", "./"):
                assert (path.parent / link).exists(), f"{path.name}: {link}"


@pytest.mark.slow
def test_the_command_line_page_names_every_command(site):
    text = (site / "command_line.html").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f">dinocell {name}<" in text or f">dinocell {name} " in text


def each_command():
    def walk(command, name):
        if not hasattr(command, "commands"):
            yield name, command
        for part, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{name} {part}")

    for name in COMMANDS:
        yield from walk(load_command(name), f"dinocell {name}")


@pytest.mark.parametrize(("name", "command"), list(each_command()))
def test_the_examples_of_all_options_are_read_by_their_command(name, command):
    needed = {p.name: ["x"] if p.param_type_name == "argument" else [p.opts[0], "x"] for p in command.params
              if p.required}  # fmt: skip
    for parameter in command.params:
        example = hooks.example_of(parameter, name).strip("`").split()
        if example:
            others = [word for other, words in needed.items() if other != parameter.name for word in words]
            command.make_context(name, [*others, *example])  # raises for what the option does not take


def test_no_example_is_left_over():
    names = {p.opts[0] for _, command in each_command() for p in command.params} | {"--log-file"}
    assert set(hooks.EXAMPLES) <= names


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser")
def test_the_search_works_on_pages_that_are_opened_from_disk(site):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    shown = subprocess.run(
        [CHROMIUM, *options, "--virtual-time-budget=20000", "--dump-dom", f"file://{site}/index.html?q=diameter"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert re.search(r"\d+ matching documents", shown)


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/]+\.(?:md|ipynb)", str(yaml.safe_load(text)["nav"])))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} | {NOTEBOOK.name} <= named
