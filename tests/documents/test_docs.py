"""The pages of docs/ agree with the program."""

import importlib
import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import dinocell
from dinocell.cli import app
from dinocell.models.listing import list_models
from dinocell.training import TrainConfig

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ROOT = DOCS.parent
OTHER_PAGES = [
    ROOT / "README.md",
    ROOT / "samples" / "README.md",
    ROOT / "src/dinocell/models/shipped/nano/README.md",
]
BLOCK = re.compile(r"^(?:<!-- not run: ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = {"bash", "python", "yaml", "json"}
"""Languages whose blocks are run, or checked, by the tests below."""


def blocks(page, *languages):
    """Return language and text of the blocks that are to be run, in their order."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(language, code) for why_not, language, code in found if language in languages and not why_not]


def table_rows(page, first):
    """Return the cells of the rows below the line that begins with `first`."""
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
            ", ".join(map(str, info.feature_blocks)),
        ]
        for info in list_models()
    ]
    assert table_rows(DOCS / "models.md", "| model | backbone |") == expected


def test_the_table_of_memory_has_every_variant_and_its_weights():
    rows = table_rows(DOCS / "models.md", "| model | weights, MiB |")
    for row, info in zip(rows, list_models(), strict=True):
        megabytes = (info.backbone_parameters + info.decoder_parameters) * 4 / 2**20
        assert row[:2] == [f"`{info.name}`", f"{megabytes:,.1f}"]


def named(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES + OTHER_PAGES, ids=named)
def test_lines_of_prose_are_at_most_120_characters_long(page):
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for line in prose.splitlines():
        unbroken = line.startswith(("|", "#", "![", "<!--")) or " " not in line.lstrip("-* ")
        one_link = re.fullmatch(r"\s*(?:[-*] )?[(*]*\[[^\]]+\]\([^)]*\)\S*", line)
        assert unbroken or one_link or len(line) <= 120, line


@pytest.mark.parametrize("page", PAGES + OTHER_PAGES, ids=named)
def test_every_block_is_run_or_says_why_not(page):
    text = page.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) * 2 == len(re.findall(r"^```", text, re.MULTILINE))
    for why_not, language, code in BLOCK.findall(text):
        assert why_not or language in RUN, f"nothing runs this, and nothing says why: {code}"
    outside = BLOCK.sub("", text)
    assert not re.search(r"^    +(dinocell|python|pip|make) ", outside, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_blocks_work_one_after_the_other(page, tmp_path, monkeypatch):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    for language, code in blocks(page, "bash", "python"):
        if language == "python":
            exec(compile(code, page.name, "exec"), {})  # noqa: S102 (our own page)
            continue
        for line in code.splitlines():
            program, *arguments = line.split()
            assert program == "dinocell"
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}: {result.output}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_json_blocks_are_json(page):
    for _, code in blocks(page, "json"):
        for line in code.splitlines():
            json.loads(line)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_yaml_blocks_are_valid_training_settings(page):
    data = {"train": [{"path": "x"}], "validation": [{"path": "x"}]}
    for _, block in blocks(page, "yaml"):
        settings = data | yaml.safe_load(block)
        TrainConfig.model_validate(settings)
        for line in re.findall(r"^# (\w+: .*?) +#", block, re.MULTILINE):  # what may be uncommented
            TrainConfig.model_validate(settings | yaml.safe_load(line))


@pytest.mark.parametrize("page", PAGES + OTHER_PAGES, ids=named)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)h#][^)#]*)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES + OTHER_PAGES, ids=named)
def test_files_of_the_repository_that_a_page_names_exist(page):
    for path in re.findall(r"\b(?:tests|benchmarks|configs|examples)/[\w/]+\.\w+", page.read_text("utf-8")):
        assert (ROOT / path).exists(), path


def test_every_public_name_is_on_the_page_of_the_python_interface():
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in set(dinocell.__all__) - {"__version__", "DINOCellError"}:
        place = getattr(dinocell, name).__module__
        listed = f"::: {place}.{name}" in text or (f"::: {place}\n" in text and f"{name}" in text)
        assert listed, f"{place}.{name}"
    assert "::: dinocell.errors" in text


def test_what_is_on_the_page_of_the_python_interface_can_be_imported_as_it_says():
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for place, name in re.findall(r"^::: ([\w.]+)\.(\w+)$", text, re.MULTILINE):
        if place == "dinocell":
            continue  # a module of the ground
        home = (
            dinocell if name in dinocell.__all__ else importlib.import_module(".".join(place.split(".")[:2]))
        )
        assert name in home.__all__ or name == "images", f"{place}.{name}"
