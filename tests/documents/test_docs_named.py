"""Every option, format and column that README.md and docs/*.md name is one of the program's."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer

from dinocell.cli import app
from dinocell.cli.commands import COMMANDS as COMMAND_LINE
from dinocell.cli.commands import load_command
from dinocell.datasets.formats import DATASET_FORMATS
from dinocell.datasets.table import TABLE_COLUMNS
from dinocell.io.readers.formats import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES, READERS
from dinocell.measure.cells import measure_cells
from dinocell.metrics.score_table import SCORES
from dinocell.results.formats import BLOCK_FORMATS, DEFAULT_FORMATS, PLANE_FORMATS
from dinocell.training.checkpoints import EpochRecord
from dinocell.training.pretraining.state import PretrainRecord
from tests.cases import disk
from tests.documents.test_docs import table_rows

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md")])

# Pages about one command or a few: what they name outside of a command line is an option of one of these.
ABOUT = {
    "batch.md": {"segment"},
    "choosing.md": {"segment"},
    "datasets.md": {"process folder"},
    "evaluation.md": {"evaluate", "tune", "compare"},
    "finetuning.md": {"finetune"},
    "formats.md": {"segment", "measure", "import"},
    "getting_started.md": {"segment"},
    "large.md": {"segment-large"},
    "models.md": {"segment", "train"},
    "pretraining.md": {"pretrain", "train"},
    "segmenting.md": {"segment"},
    "synthesis.md": {"synthesize"},
    "training_guide.md": {"train"},
}
OF_OTHERS = {"--resources": "dask", "--nproc-per-node": "torchrun"}
"""Options of other programs, and of which."""

SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[a-z])(?![\w-])")


def commands():
    """Return the options by command, such as ``process folder``; those of all under an empty name."""
    found = {}
    left = [("", typer.main.get_command(app)), *((name, load_command(name)) for name in COMMAND_LINE)]
    while left:
        name, command = left.pop()
        found[name] = {option for part in command.params for option in (*part.opts, *part.secondary_opts)}
        found[name] |= {"--help", "-h"}
        inner = getattr(command, "commands", {}) if name else {}
        left += [(f"{name} {key}".strip(), each) for key, each in inner.items()]
    return found


COMMANDS = commands()


def named(page):
    return page.relative_to(ROOT).as_posix()


def code_of(page):
    """Return the lines of blocks, and what stands between backticks in the text."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return lines, SPAN.findall(FENCED.sub("", text))


def invocations(page):
    """Yield every command line of dinocell on a page: the command's name, and the rest of the line."""
    lines, spans = code_of(page)
    for line in [*lines, *spans]:
        for call in re.findall(r"(?:^|[\s/])dinocell ([a-z][^|>#;&]*)", line):
            words = call.split()
            name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
            yield name, call


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_their_options_are_those_of_the_program(page):
    for name, call in invocations(page):
        assert name in COMMANDS, f"{call!r}: no such command"
        below = (COMMANDS[each] for each in COMMANDS if each.startswith(f"{name} "))  # process FORMAT …
        known = COMMANDS[name].union(*below)
        unknown = set(OPTION.findall(call)) - known - COMMANDS[""]
        assert not unknown, f"{call!r}: {name} has no {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_options_in_the_text_are_those_of_its_commands(page):
    text = page.read_text(encoding="utf-8")
    about = ABOUT.get(page.name, COMMANDS.keys())
    known = set().union(*(COMMANDS[name] for name in about), COMMANDS[""], *_named_beside(page))
    for span in code_of(page)[1]:
        if span.startswith("-"):
            for option in OPTION.findall(span):
                other = OF_OTHERS.get(option)
                assert option in known or (other and other in text), f"{option} in `{span}`"


def _named_beside(page):
    """Yield the options of the benchmarks that a page names, and of the other commands on it."""
    text = page.read_text(encoding="utf-8")
    for script in re.findall(r"(?<!tests/)benchmarks/\w+\.py", text):
        yield set(re.findall(r"\"(--[a-z-]+)\"", (ROOT / script).read_text(encoding="utf-8")))
    for name in COMMANDS:
        if name and re.search(rf"`(?:dinocell )?{name}[ `]", text):
            yield COMMANDS[name]


def test_the_table_of_result_formats_is_the_programs():
    rows = table_rows(DOCS / "formats.md", "| `--format` |")
    assert {row[0].strip("`") for row in rows} == PLANE_FORMATS.keys()
    for name, file, *_ in rows:
        ending = PLANE_FORMATS[name.strip("`")].ending
        assert file == (f"`STEM{ending}`" if ending else "`labels/dinocell` in the source")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_formats_of_results_are_those_of_the_program(page):
    large = page.name == "large.md"
    for line in [part for code in code_of(page) for part in code]:
        for values in re.findall(r"--format[ =]([a-z,]+)", line):
            known = {*BLOCK_FORMATS, "none"} if large or "segment-large" in line else PLANE_FORMATS.keys()
            assert set(values.split(",")) <= set(known), line


def test_the_help_of_format_names_every_format():
    for command, known in (("segment", PLANE_FORMATS), ("segment-large", BLOCK_FORMATS)):
        (option,) = (p for p in load_command(command).params if "--format" in p.opts)
        assert all(re.search(rf"\b{name}\b", option.help) for name in known), option.help
    for name in DEFAULT_FORMATS:
        assert f"STEM{PLANE_FORMATS[name].ending}" in (ROOT / "README.md").read_text(encoding="utf-8")


READABLE = {name for reader in READERS for name in (reader.name, *reader.kinds)}
"""Names of all formats that are read, and of their kinds."""


def test_every_format_that_is_read_is_named_and_no_other():
    read = {kind if kind != "NPY" else "NumPy" for kind in READABLE}
    first = " ".join(row[0] for row in table_rows(DOCS / "formats.md", "| format | needs |"))
    assert all(re.search(rf"\b{kind}\b", first) for kind in read)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"own images \(([^;]+);", text)
    assert set(listed.split(", ")) <= read
    assert read - {"NumPy"} <= set(listed.split(", "))
    suffixes = {*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES}
    ending = re.compile(r"`\*?(\.(?:tiff?|btf|tf2|tf8|stk|lsm|npy|nd2|czi|lif|zarr|png|jpe?g|bmp))`")
    for page in (DOCS / "formats.md", DOCS / "batch.md", DOCS / "segmenting.md"):
        assert set(ending.findall(page.read_text(encoding="utf-8"))) <= suffixes


def test_every_dataset_format_is_named_and_no_other():
    rows = table_rows(DOCS / "datasets.md", "| format | what INPUT is |")
    assert {row[0].strip("`") for row in rows} == DATASET_FORMATS.keys()
    (csv_row,) = (row for row in rows if row[0] == "`csv`")
    assert set(SPAN.findall(csv_row[1])) == set(TABLE_COLUMNS)


def real_columns():
    """Return the columns of the table of cells, of one channel, with a pixel size."""
    labels = disk((40, 40), (20, 20), 8).astype(np.int32)
    table = measure_cells(
        labels, labels.astype(np.float32), pixel_size_um=0.5, confidence=np.array([0.5], np.float32)
    )
    return set(table)


def test_the_table_of_columns_is_the_programs():
    rows = table_rows(DOCS / "segmenting.md", "| column | meaning |")
    documented = {name for row in rows for name in SPAN.findall(row[0])}
    assert documented - {"…_um", "…_um2"} == {c for c in real_columns() if not c.endswith(("_um", "_um2"))}


def columns_used(text):
    """Yield the columns that Python blocks take from tables that were read with pandas."""
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        if "_cells.csv" in block:
            for chosen in re.findall(
                r"cells\[\[?([^\]]+)\]|_values\((\"[^)]+)\)|doubtful\[\[([^\]]+)\]", block
            ):
                yield from re.findall(r"\"([^\"]+)\"", "".join(chosen))


def test_columns_that_examples_read_exist():
    found = {name for page in PAGES for name in columns_used(page.read_text(encoding="utf-8"))}
    assert found
    assert found <= real_columns()


def test_columns_of_metrics_are_the_programs():
    rows = table_rows(DOCS / "pretraining.md", "| column | healthy |")
    documented = {name for row in rows for name in SPAN.findall(row[0])[:1]}
    assert documented <= PretrainRecord.__dataclass_fields__.keys()
    assert "collapsed" in PretrainRecord.__dataclass_fields__
    assert {"train_loss", "validation_loss"} <= EpochRecord.__dataclass_fields__.keys()


def test_every_score_is_explained_and_no_other():
    explained = {
        row[0].removesuffix(" …") for row in table_rows(DOCS / "evaluation.md", "| score | meaning |")
    }
    titles = {score.title for score in SCORES.values()}
    assert explained == {title for title in titles if not title.startswith("AP@") or title == "AP@0.5"}
