"""docs/architecture.md lists the rooms that there are, in the order that import-linter holds."""

import re
import tomllib
from pathlib import Path

from tests.documents.test_docs import DOCS, ROOT, table_rows

PACKAGE = ROOT / "src" / "dinocell"
PAGE = DOCS / "architecture.md"
OUTSIDE = {"__init__", "__main__"}
"""Files of the package that are in no row."""


def documented_layers() -> list[set[str]]:
    """Return the rooms of every row of the page; those in parentheses keep them."""
    rows = table_rows(PAGE, "| layer | rooms |")
    items = [re.split(r" · ", row[1]) for row in rows]
    return [{re.match(r"\(?`\w+`\)?", item).group().replace("`", "") for item in row} for row in items]


def linted_layers() -> list[set[str]]:
    """Return the rows of import-linter's contract, topmost first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in contracts["contracts"] if each["type"] == "layers")
    return [set(re.split(r" *[|:] *", layer)) for layer in layers]


def loose_files() -> set[str]:
    """Return the modules that lie beside the rooms."""
    return {path.stem for path in PACKAGE.glob("*.py*") if path.suffix in {".py", ".pyi"}}


def rooms() -> set[str]:
    """Return the names of all folders and modules at the top of the package."""
    return {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | (loose_files() - OUTSIDE)


def test_the_page_lists_the_rows_of_import_linter_in_their_order():
    assert documented_layers() == linted_layers()


def test_rooms_that_exist_are_listed_and_those_in_parentheses_do_not_exist():
    listed = set().union(*documented_layers())
    assert {room for room in listed if not room.startswith("(")} == rooms()
    assert not {room.strip("()") for room in listed if room.startswith("(")} & rooms()


def test_the_package_shows_rooms_and_at_most_ten_loose_files():
    assert len(loose_files()) <= 10, sorted(loose_files())


def test_the_places_where_something_is_added_exist():
    rows = table_rows(PAGE, "| to add | write |")
    places = [place for row in rows for cell in row for place in re.findall(r"`([\w/]+(?:/|\.py))`", cell)]
    assert len(places) >= len(rows)
    for place in places:
        assert (PACKAGE / place).exists() or (ROOT / place).exists(), place


def test_the_drawing_names_rooms_that_exist():
    drawing = (DOCS / "images" / "architecture.svg").read_text(encoding="utf-8")
    named = [word for text in re.findall(r'monospace">([^<]+)<', drawing) for word in text.split()]
    assert named
    for place in named:
        path = PACKAGE / place
        assert path.is_dir() or path.with_suffix(".py").is_file(), place


def test_every_test_lies_in_the_room_of_what_it_tests():
    beside = {"documents", "benchmarks", "fakes"}
    folders = {path.parent.name for path in Path(ROOT / "tests").glob("*/__init__.py")}
    assert folders - beside <= rooms()
