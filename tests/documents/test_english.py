"""Summaries open as the field writes them, and one thing has one word.

ruff's ``D401`` looks at the ending of the first word of a summary only, and passes "Give", "Say" and "What".
"""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("src", "tests", "benchmarks", "examples", "docs")
    for path in ROOT.joinpath(folder).rglob("*.py")
)

REFUSED = {
    "give", "gives", "hear", "hears", "how", "if", "make", "makes", "put", "refuse", "refuses", "say", "says",
    "tell", "tells", "what", "when", "where", "whether", "which", "who", "why",
}  # fmt: skip
"""First words that no summary opens with."""

VERBS = set(
    """
    accept adapt add adopt advance align allocate allow append apply arrange ask assemble assert
    assign attach average begin bind blend bound bring build cache calculate call cancel change
    check choose clean clear clip close collect combine command compare compile complete compose
    compress compute configure connect construct continue convert copy count cover create crop cut
    damage decide declare decode decompress delete derive describe detect determine discard divide
    do download draw drop encode end ensure enter enumerate estimate evaluate examine exit expand
    explain export expose extend extract fail fetch fill filter find finish fit flatten flip flood
    flush fold follow forget format freeze gather generate get group grow guard guess handle hash
    hide hold identify ignore import include increase index inflate initialise insert inspect
    install interpolate intersect invert iterate join judge keep kill label launch lay leave
    lengthen let limit link list load locate lock log look lower map mark mask match measure merge
    move multiply name normalise note number open order override pack pad paint pair parse pass pick
    place plan plot pool predict prepare preprocess pretrain print process project propagate prove
    publish quote raise rank reach read rebuild receive recognise record reduce register reject
    relabel release remember remove rename render renumber repair repeat replace report require
    resample rescale reserve reset resize resolve restore resume return reverse rotate round run
    sample save scale scan score search seed segment select send separate serve set shift show
    shrink shuffle shut sign silence simplify simulate skip smooth sort spell split spread stack
    standardise start state step stitch stop store stream stretch strip subtract sum summarise
    suppress swap synchronise take test time touch trace track train transform translate transpose
    trim try tune turn undo union unpack update use validate verify view visit wait walk warm warn
    warp watch weight widen wrap write yield
    """.split()  # noqa: SIM905
)
"""Verbs that summaries of functions open with: those of numpydoc, and of what this package does."""

HOUSE_TERMS = {
    r"stains?": "channel", r"ceilings?": "upper bound", r"taps?": "feature map", r"rehears\w+": "dry run",
    r"rims?": "boundary", r"rivals?": "baseline", r"equali[sz]e\w*": "clahe",
}  # fmt: skip
"""Words that were used here for what the field calls otherwise."""

KEYS = {"rims", "stains_in_colours", '"taps"'}
"""Names on disk that stay: a column of records that a run resumes from, a setting about dyes, and a key that
checkpoints may have."""


def _is_property(node: ast.AST) -> bool:
    decorators = [
        each.func if isinstance(each, ast.Call) else each for each in getattr(node, "decorator_list", ())
    ]
    names = {ast.unparse(each).rpartition(".")[2] for each in decorators}
    return bool(names & {"property", "cached_property", "fixture"})


def summaries(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield kind, line and first line of every docstring of a file; tests, whose names speak, have none."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Module | ast.ClassDef):
            yield from _attributes(node)
        text = ast.get_docstring(node)
        if not text:
            continue
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_property(node)
        is_function = is_function and not node.name.startswith("test_")  # their docstrings are remarks
        yield "function" if is_function else "noun", getattr(node, "lineno", 1), text.splitlines()[0]


def _attributes(node: ast.Module | ast.ClassDef) -> Iterator[tuple[str, int, str]]:
    """Yield the first lines of the texts below names, which describe them."""
    for before, after in itertools.pairwise(node.body):
        if (
            isinstance(before, ast.Assign | ast.AnnAssign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            yield "noun", after.lineno, after.value.value.splitlines()[0]


def problem(kind: str, summary: str) -> str | None:
    """Return what is wrong with the first word of a summary."""
    match = re.match(r"[A-Za-z]+", summary)
    first = match.group().lower() if match else ""
    if first in REFUSED:
        return f"opens with {first!r}"
    if kind == "function" and first not in VERBS:
        return f"opens with {first!r}, which is not a verb that `VERBS` lists"
    return None


def refused_openers(path: Path) -> list[str]:
    """Return a line for every summary of a file that does not open as it should."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {wrong}: {summary}"
        for kind, line, summary in summaries(path)
        if (wrong := problem(kind, summary))
    ]


@pytest.mark.parametrize(
    ("kind", "summary"),
    [
        ("function", "Give the hash."),
        ("function", "Whether it is."),
        ("noun", "What a plane is."),
        ("function", "The hash."),
    ],
)
def test_openers_of_the_house_are_refused(kind, summary):
    assert problem(kind, summary)


@pytest.mark.parametrize(
    ("kind", "summary"), [("function", "Return the hash."), ("noun", "Result of one image.")]
)
def test_openers_of_the_field_pass(kind, summary):
    assert problem(kind, summary) is None


def test_functions_open_with_a_verb_and_classes_with_a_noun():
    wrong = [line for path in SOURCES for line in refused_openers(path)]
    assert not wrong, f"{len(wrong)} summaries:\n" + "\n".join(wrong)


def house_terms(path: Path) -> list[str]:
    """Return a line for every word of a file for which the field has another; parts of names count too."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = re.sub("|".join(KEYS), "", line)
        for term, of_the_field in HOUSE_TERMS.items():
            if match := re.search(rf"(?<![A-Za-z]){term}(?![A-Za-z])", line, re.IGNORECASE):
                place = f"{path.relative_to(ROOT)}:{number}"
                found.append(f"{place}: {match.group()!r}, expected {of_the_field!r}: {line.strip()}")
    return found


def test_a_house_term_is_found_in_a_name(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "a.py"
    file.write_text("rim_widths = 1\ntrim = tape = 2\n")
    assert [line.partition(", ")[0] for line in house_terms(file)] == ["a.py:1: 'rim'"]


def test_things_have_the_words_of_the_field():
    wrong = [line for path in SOURCES if path != Path(__file__) for line in house_terms(path)]
    assert not wrong, f"{len(wrong)} places:\n" + "\n".join(wrong)
