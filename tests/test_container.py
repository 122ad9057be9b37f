"""The container: linted, and its steps taken without one."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "container" / "Dockerfile"
PYTHON = "/usr/bin/python3"
"""A Python that other users may run."""

TOKEN = "sixteen-letters-or-more"  # noqa: S105


def instructions():
    """Return the instructions of the Dockerfile, a line each."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_composition_takes_every_right_that_is_not_needed():
    service = yaml.safe_load((ROOT / "container" / "compose.yaml").read_text())["services"]["dinocell"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert all(each.startswith("127.0.0.1:") for each in service["ports"])
    assert ["USER", "10001"] in instructions()


def test_what_is_copied_is_there_and_not_ignored():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        name
        for kind, rest in instructions()
        if kind == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    ]
    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in copied)


def test_the_linter_has_nothing_to_say():
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed")
    found = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert found.stdout == ""


@pytest.mark.slow
def test_the_steps_give_a_server_that_another_user_runs_from_a_folder_that_cannot_be_written(tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    if subprocess.run([PYTHON, "-c", "import ensurepip"], check=False, capture_output=True).returncode:
        pytest.skip(f"{PYTHON} cannot make environments")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    source = tmp_path / "source"
    source.mkdir()
    for kind, rest in instructions():
        if kind == "COPY" and "--from" not in rest:
            for name in rest.split()[:-1]:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, source / name)
    step = next(rest for kind, rest in instructions() if kind == "RUN" and "venv" in rest)
    environment = tmp_path / "opt"
    step = (
        step.replace("/opt/dinocell", str(environment))
        .replace("${EXTRAS}", "serve")
        .replace("python -m", f"{PYTHON} -m")
    )
    subprocess.run(["/bin/bash", "-euc", step], cwd=source, check=True, timeout=900, capture_output=True)
    subprocess.run(["/bin/chmod", "-R", "a+rX,a-w", environment], check=True)
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    command = json.loads(next(rest for kind, rest in instructions() if kind == "CMD"))
    command = [each.replace("/data", str(data)) for each in command]
    with subprocess.Popen(
        [environment / "bin" / "dinocell", *command, "--port", "0"],
        user=10001, group=10001, extra_groups=[], cwd="/", stdout=subprocess.PIPE, text=True,
        env={"HOME": str(data), "DINOCELL_TOKEN": TOKEN, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "300"},
    ) as process:  # fmt: skip
        try:
            port = re.search(r":(\d+)/\?token=", process.stdout.readline())[1]
            address = f"http://127.0.0.1:{port}/api/v1"
            with urllib.request.urlopen(f"{address}/health") as answer:  # noqa: S310
                assert json.load(answer)["dinocell"]
            asked = urllib.request.Request(f"{address}/models", headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310
            with urllib.request.urlopen(asked) as answer:  # noqa: S310
                assert json.load(answer)["models"][0]["name"] == "nano"
        finally:
            process.terminate()
            process.wait(timeout=60)
    assert (data / "archive.sqlite").exists()
