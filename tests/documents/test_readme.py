"""Every command and code block of the README is run, or named here with the reason why not."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.io.images import read_labels
from tests.documents.test_docs import table_rows

ROOT = Path(__file__).parents[2]
NOT_RUN = {
    "make demo": "creates a virtual environment; tried by hand in a fresh clone",
}


def blocks(language):
    return re.findall(
        rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )


def commands():
    return [line for block in blocks("bash") for line in block.splitlines() if line]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with the samples in it, as a reader's checkout has them."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", [line for line in commands() if line not in NOT_RUN])
def test_commands_work(line, checkout):
    program, *arguments = line.split()
    assert program == ".venv/bin/dinocell"
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    if "results" in arguments:
        assert len(list((checkout / "results").glob("*_labels.tif"))) == 5
        assert read_labels(checkout / "results" / "phase_1_img_labels.tif").max() > 0


def test_python_blocks_work(checkout, capsys):
    code = blocks("python")
    assert code
    for block in code:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 (our own README)
    assert re.match(r"[1-9]\d* cells", capsys.readouterr().out)


def test_every_exception_is_still_in_the_readme():
    assert set(NOT_RUN) <= set(commands())


def test_targets_and_files_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", text)) - {"demo"} <= targets
    for link in re.findall(r"\]\(([^)h][^)#]*)", text):
        assert (ROOT / link).exists(), link


def test_the_shipped_recipe_is_a_valid_configuration():
    from dinocell.io.settings_files import read_settings
    from dinocell.training import TrainConfig

    for path in (ROOT / "configs").glob("*.yaml"):
        if path.name.startswith("pretrain"):
            continue
        assert read_settings(TrainConfig, path).total_steps > 0


def test_the_readme_is_read_in_two_minutes():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 600
    assert len(re.findall(r"^\|---", text, re.MULTILINE)) == 1, "one table"


def test_scores_in_the_readme_and_the_models_page_are_those_of_the_card():
    card = ROOT / "src/dinocell/models/shipped/nano/README.md"
    rows = table_rows(card, "| validation set |")
    assert table_rows(ROOT / "docs" / "models.md", "| validation set |") == rows
    scores = [float(row[5].split()[0]) for row in rows if "†" not in row[0]]  # sets of enough images
    expected = f"AP@0.5 of {min(scores):.2f} to {max(scores):.2f}"
    assert expected in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
