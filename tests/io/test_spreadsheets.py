import csv
import re
from pathlib import Path

import numpy as np
import pytest

import dinocell
from dinocell.io.spreadsheets import escape_formula, join_tables, write_rows
from dinocell.reports.tables import write_table
from dinocell.results.table import write_csv


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")']
)
def test_what_a_spreadsheet_would_compute_is_shown_as_text(text):
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-0.5", "+1e-3", "-nan", "a=1", "'=1", "", " =1", 5, -5, -0.5, None, True])
def test_numbers_and_other_texts_stay_as_they_are(value):
    assert escape_formula(value) is value


def test_every_table_is_written_so(tmp_path):
    write_rows(tmp_path / "rows.csv", [["=a", "b"], ["-x", -1.5]])
    write_table(tmp_path / "scores.csv", [{"image": "=1+1", "@column": -0.25}])
    write_csv(tmp_path / "cells.csv", {"label": np.array([1]), "=channel": np.array([-2.5])})
    tables = {}
    for path in tmp_path.iterdir():
        with path.open(newline="", encoding="utf-8") as file:
            tables[path.stem] = list(csv.reader(file))
    assert tables == {
        "rows": [["'=a", "b"], ["'-x", "-1.5"]],
        "scores": [["image", "'@column"], ["'=1+1", "-0.25"]],
        "cells": [["label", "'=channel"], ["1", "-2.5"]],
    }


def test_no_other_module_writes_texts_as_csv():
    # rows of metrics.csv, which run_folder writes, are numbers alone
    source = Path(dinocell.__file__).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in source.rglob("*.py")}
    writers = {name for name, text in texts.items() if re.search(r"csv\.(Dict)?[wW]riter\(", text)}
    assert writers == {"spreadsheets.py", "run_folder.py"}


def test_columns_that_a_plane_lacks_are_nan(tmp_path):
    (tmp_path / "a.csv").write_text("label,mean_A\n1,5\n")
    (tmp_path / "b.csv").write_text("label,mean_A,mean_B\n1,6,7\n")
    join_tables(tmp_path / "c.csv", [tmp_path / "a.csv", tmp_path / "b.csv"], [{"t": 0}, {"t": 1}])
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["t", "label", "mean_A", "mean_B"], ["0", "1", "5", "nan"], ["1", "1", "6", "7"]]
