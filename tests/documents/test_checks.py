"""A commit, a landing and the public CI are checked alike, on every Python that is supported."""

import re
import tomllib

import yaml

from tests.documents.test_docs import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_public_ci_runs_every_supported_python_on_three_systems():
    matrix = read_yaml(".github/workflows/check.yml")["jobs"]["test"]["strategy"]["matrix"]
    python = "Programming Language :: Python :: 3."
    supported = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if each.startswith(python)]
    assert matrix["python"] == supported
    assert {each.partition("-")[0] for each in matrix["os"]} == {"ubuntu", "macos", "windows"}


def test_public_ci_runs_what_make_check_runs():
    steps = read_yaml(".github/workflows/check.yml")["jobs"]["style"]["steps"]
    run = [step["run"] for step in steps if "run" in step]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (parts,) = re.findall(r"^check: (.*?)  ##", makefile, re.MULTILINE)
    for part in parts.split():
        (recipe,) = re.findall(rf"^{part}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        for line in recipe.splitlines():
            assert line.strip().removeprefix("$(BIN)/") in run


def test_the_ruff_of_a_commit_is_the_one_of_the_checks():
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    hooks = read_yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]
    pins = {pin for hook in hooks for pin in hook.get("additional_dependencies", ())}
    assert pins
    assert pins <= set(constraints)


def test_what_must_hold_before_landing_builds_the_site():
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert set(re.findall(r"^make (?:-j2 )?(\w+)$", text, re.MULTILINE)) == {"check", "test", "docs"}
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert re.search(r"^strict: true$", site, re.MULTILINE)
