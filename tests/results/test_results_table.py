import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dinocell.errors import InputError, OutputError
from dinocell.measure.cells import measure_cells
from dinocell.results.table import write_csv, write_parquet
from tests.cases import CASES

PROVENANCE = {"version": "1.2", "thresholds": {"merge": 0.5}, "source": "Zelle µ.tif", "scale": None}
DTYPES = (np.bool_, np.int8, np.int64, np.uint16, np.float32, np.float64, ">i4", ">f8")

columns = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, 5))


def table_of(name: str) -> dict[str, NDArray[Any]]:
    labels = CASES[name]
    image = np.random.default_rng(0).random(labels.shape)
    confidence = np.linspace(0, 1, labels.max(), dtype=np.float32)
    return measure_cells(labels, {"a": image, "b": image * 1e9}, pixel_size_um=0.3, confidence=confidence)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_csv_by_hand(tmp_path: Path) -> None:
    table = {
        "label": np.array([1, 2**53 + 1]),
        "area, of µ": np.array([1234567.0, 1 / 3]),
        "mean": np.array([np.nan, -1.5e-12], np.float32),
        "edge": np.array([True, False]),
        "far": np.array([np.inf, -np.inf]),
    }
    write_csv(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_bytes().decode() == (
        f'label,"area, of µ",mean,edge,far\r\n1,1234567,nan,1,inf\r\n{2**53 + 1},0.333333,-1.5e-12,0,-inf\r\n'
    )


@pytest.mark.parametrize("name", ["one", "many"])
def test_csv_is_read_by_csv_and_pandas(tmp_path: Path, name: str) -> None:
    table = table_of(name)
    write_csv(tmp_path / "a.csv", table)
    header, *rows = rows_of(tmp_path / "a.csv")
    assert header == list(table)
    frame = pd.read_csv(tmp_path / "a.csv")
    for number, (column, values) in enumerate(table.items()):
        assert [float(row[number]) for row in rows] == pytest.approx(values.tolist(), rel=1e-5)
        assert frame[column].tolist() == pytest.approx(values.tolist(), rel=1e-5)
        if values.dtype.kind == "i":
            assert frame[column].dtype == np.int64
            assert frame[column].tolist() == values.tolist()


@pytest.mark.parametrize("name", ["empty", "one", "many"])
def test_parquet_keeps_values_dtypes_and_provenance(tmp_path: Path, name: str) -> None:
    table = table_of(name)
    write_parquet(tmp_path / "a.parquet", table, provenance=PROVENANCE)
    read = pq.read_table(tmp_path / "a.parquet")
    assert json.loads(read.schema.metadata[b"dinocell"]) == PROVENANCE
    assert read.schema.names == list(table)
    frame = pd.read_parquet(tmp_path / "a.parquet")
    for column, values in table.items():
        assert read.schema.field(column).type == pa.from_numpy_dtype(values.dtype)
        np.testing.assert_array_equal(read[column].to_numpy(), values)
        assert frame[column].dtype == values.dtype
    assert read.schema.field("label").type == pa.int64()
    assert read.schema.field("confidence").type == pa.float32()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(table=st.dictionaries(st.text(max_size=5), columns, max_size=4))
def test_parquet_round_trip(tmp_path: Path, table: dict[str, NDArray[Any]]) -> None:
    write_parquet(tmp_path / "a.parquet", table, provenance={})
    read = pq.read_table(tmp_path / "a.parquet")
    assert read.schema.names == list(table)
    for name, values in table.items():
        found = read[name].to_numpy()
        assert found.dtype == values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, values)


def test_no_cells_leave_the_header(tmp_path: Path) -> None:
    table = table_of("empty")
    write_csv(tmp_path / "a.csv", table)
    assert rows_of(tmp_path / "a.csv") == [list(table)]


def test_a_view_is_written_as_seen(tmp_path: Path) -> None:
    table = {"a": np.arange(10)[::-2]}
    write_parquet(tmp_path / "a.parquet", table, provenance={})
    assert pq.read_table(tmp_path / "a.parquet")["a"].to_pylist() == [9, 7, 5, 3, 1]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_writing_is_all_or_nothing(tmp_path: Path, kind: str) -> None:
    def write(path: Path, table: dict[str, NDArray[Any]]) -> None:
        if kind == "csv":
            write_csv(path, table)
        else:
            write_parquet(path, table, provenance=PROVENANCE)

    target = tmp_path / f"a.{kind}"
    target.write_text("old")
    for table in (
        {"a": np.zeros(2), "b": np.zeros(3)},
        {"a": np.zeros((2, 2))},
        {"a": np.zeros(2), "b": np.array(1)},
    ):
        with pytest.raises(InputError, match=r"table has columns of shapes .*, expected \(N,\) for all"):
            write(target, table)
    assert target.read_text() == "old"
    write(target, {"a": np.zeros(2)})
    assert target.read_bytes()[:3] in (b"a\r\n", b"PAR")
    (tmp_path / "taken").mkdir()
    for name in ("taken", "missing/a", "file/a"):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="cannot be written"):
            write(tmp_path / name, {"a": np.zeros(2)})
    assert {file.name for file in tmp_path.iterdir()} == {target.name, "taken", "file"}
