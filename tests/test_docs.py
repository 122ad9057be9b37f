"""The pages of docs/ say what the program says."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.model import list_models
from dinocell.training import TrainConfig

NOT_RUN = {
    ".venv/bin/dinocell download small": "needs the network; tests/test_hub.py does it on a server here"
}
DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def table_rows(page, first):
    """Cells of the rows below the line that begins with `first`."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(first))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_table_of_variants_is_the_counted_one():
    expected = [
        [
            f"`{info.name}`",
            info.title,
            f"{(info.backbone_parameters + info.decoder_parameters) / 1e6:.1f} M",
            f"{info.decoder_parameters / 1e6:.1f} M",
            str(info.stride),
            ", ".join(map(str, info.taps)),
        ]
        for info in list_models()
    ]
    assert table_rows(DOCS / "models.md", "| model | backbone |") == expected


def test_the_table_of_memory_has_every_variant_and_its_weights():
    rows = table_rows(DOCS / "models.md", "| model | weights, MiB |")
    for row, info in zip(rows, list_models(), strict=True):
        megabytes = (info.backbone_parameters + info.decoder_parameters) * 4 / 2**20
        assert row[:2] == [f"`{info.name}`", f"{megabytes:,.1f}"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page, capsys):
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})  # noqa: S102 (our own page)
        assert re.match(r"\d+ ", capsys.readouterr().out)


def commands(page):
    return [line for block in blocks(page, "bash") for line in block.splitlines() if line]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_work_one_after_the_other(page, tmp_path, monkeypatch):
    (tmp_path / "samples").symlink_to(DOCS.parent / "samples")
    monkeypatch.chdir(tmp_path)
    for line in commands(page):
        if line in NOT_RUN:
            continue
        program, *arguments = line.split()
        assert program == ".venv/bin/dinocell"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}: {result.output}"


def test_every_exception_is_still_in_a_page():
    assert set(NOT_RUN) <= {line for page in PAGES for line in commands(page)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_blocks_are_valid_training_settings(page):
    data = {"train": [{"path": "x"}], "validation": [{"path": "x"}]}
    for block in blocks(page, "yaml"):
        settings = data | yaml.safe_load(block)
        TrainConfig.model_validate(settings)
        for line in re.findall(r"^# (\w+: .*?) +#", block, re.MULTILINE):  # what may be uncommented
            TrainConfig.model_validate(settings | yaml.safe_load(line))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)h#][^)#]*)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
