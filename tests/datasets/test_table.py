import csv
import pickle

import numpy as np
import pytest
import tifffile

from dinocell.datasets.table import find_items
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.evaluation.scoring import evaluate_prediction
from dinocell.io.saving import write_image, write_labels

COLOURS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
LABELS = np.array([[0, 1, 1], [2, 0, 300]], np.uint16)


@pytest.fixture
def folder(tmp_path):
    """Images a and b, with masks in a folder of their own, as a table names them."""
    (tmp_path / "y").mkdir()
    for name in "ab":
        write_image(tmp_path / f"{name}.png", COLOURS)
        write_image(tmp_path / "y" / f"{name}.png", LABELS)
    write_image(tmp_path / "y" / "ignore.png", np.array([[255, 0, 0], [0, 0, 0]], np.uint8))
    return tmp_path


def _table(folder, *lines, encoding="utf-8"):
    path = folder / "pairs.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_a_table_with_every_column_is_read(folder):
    table = _table(
        folder,
        "name,masks,image,ignore,channel",
        "z, y/b.png, b.png, y/ignore.png, 2",
        f"a,{folder / 'y' / 'a.png'},a.png,,",
    )
    items = find_items(table)
    assert [item.name for item in items] == ["a", "z"]
    assert items[1].files == tuple(folder / file for file in ("b.png", "y/b.png", "y/ignore.png"))
    first, second = (item.read() for item in items)
    assert np.array_equal(first.pixels, COLOURS)
    assert np.array_equal(first.labels, LABELS)
    assert np.array_equal(second.pixels, COLOURS[..., 2])
    assert second.labels.tolist() == [[-1, 1, 1], [2, 0, 300]]
    assert pickle.loads(pickle.dumps(items)) == items  # noqa: S301 (our own bytes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_what_spreadsheets_write_is_read(folder, encoding, delimiter, end, quoting):
    write_image(folder / 'é, "1"; x.png', COLOURS)
    table = folder / "pairs.csv"
    with table.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=quoting)
        writer.writerows([("image", "masks"), ('é, "1"; x.png', "y/a.png"), ("", ""), ("a.png", "y/a.png")])
    items = find_items(table)
    assert [item.name for item in items] == ["a", 'é, "1"; x']
    assert all(item.ignore is None and item.channel is None for item in items)


def test_a_channel_is_chosen_by_name_as_everywhere(folder):
    names = {"Channel": {"Name": ["1", "2", "3"]}, "axes": "CYX"}
    channels = COLOURS.transpose(2, 0, 1)
    tifffile.imwrite(folder / "s.tif", channels, ome=True, photometric="minisblack", metadata=names)
    rows = [f"s.tif,y/a.png,{at},{channel}" for at, channel in enumerate(("name:1", "number:1", "3", "1"))]
    items = find_items(_table(folder, "image,masks,name,channel", *rows))
    for item, plane in zip(items[:3], (0, 1, 2), strict=True):
        assert np.array_equal(item.read().pixels, COLOURS[..., plane])
    with pytest.raises(InputError, match=r"s\.tif has a channel named '1'.*say name:1 or number:1"):
        items[3].read()


def test_a_row_may_end_early_and_empty_ones_are_passed_over(folder):
    items = find_items(_table(folder, "image,masks,ignore,channel", "a.png,y/a.png", "", ",,,", "", ""))
    assert [item.name for item in items] == ["a"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image,mask", r"row 1: unknown column 'mask' \(2\): did you mean 'masks'"),
        ("Image,masks", r"unknown column 'Image' \(1\): did you mean 'image'"),
        ("image,masks,weather", r"unknown column 'weather' \(3\), expected some of image, masks, ignore"),
        ("image,masks,", r"unknown column '' \(3\)"),
        ("image,masks,image", "names the column 'image' twice"),
        ("image", "row 1 has no column 'masks'"),
        ("", "row 1 has no column 'image' and no 'masks'"),
    ],
)
def test_headers_that_are_not_understood_are_refused(folder, header, message):
    with pytest.raises(FileFormatError, match=message):
        find_items(_table(folder, header, "a.png,y/a.png"))


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ("c.png,y/a.png,,", FileMissingError, r"row 4: no file .*c\.png, expected the image"),
        ("a.png,c.png,,", FileMissingError, r"row 4: no file .*c\.png, expected the masks"),
        ("b.png,y/b.png,c.png,", FileMissingError, r"row 4: no file .*c\.png, expected the ignore"),
        (".,y/a.png,,", FileMissingError, "row 4: no file"),
        (",y/a.png,,", FileFormatError, "row 4 has no image"),
        ("b.png,,,", FileFormatError, "row 4 has no masks"),
        ("b.png", FileFormatError, "row 4 has no masks"),
        ("b.png,y/b.png,,1,5", FileFormatError, "row 4 has 5 cells, expected 4"),
        ("a.png,y/b.png,,", FileFormatError, "row 4 has the name 'a' of another row: .*column 'name'"),
        ('"b.png,y/b.png', FileFormatError, "row 4: unexpected end of data"),
        ('"b".png,y/b.png', FileFormatError, "row 4: .*save it again"),
    ],
)
def test_rows_that_do_not_fit_are_named(folder, row, error, message):
    table = _table(folder, "image,masks,ignore,channel", "a.png,y/a.png,,", "", row)
    with pytest.raises(error, match=message) as caught:
        find_items(table)
    assert str(table) in str(caught.value)


def test_tables_that_cannot_be_read_are_refused(folder):
    with pytest.raises(FileMissingError, match=r"no file .*none\.csv"):
        find_items(folder / "none.csv")
    with pytest.raises(FileFormatError, match="cannot be opened"):
        find_items(folder)
    with pytest.raises(FileFormatError, match="a header but no rows"):
        find_items(_table(folder, "image,masks"))
    for encoding in ("utf-16", "latin-1"):
        with pytest.raises(FileFormatError, match="not UTF-8 text"):
            find_items(_table(folder, "image,masks", "é.png,y/a.png", encoding=encoding))


def test_a_row_may_name_a_plane_of_a_stack(tmp_path):
    t, z = np.meshgrid(range(3), range(2), indexing="ij")
    pixels = np.broadcast_to((10 * t + z)[..., None, None], (3, 2, 4, 5)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", pixels, imagej=True, metadata={"axes": "TZYX"})
    write_labels(tmp_path / "m.tif", np.eye(4, 5, dtype=np.int32))
    table = tmp_path / "t.csv"
    table.write_text("image,masks,t,z\ns.tif,m.tif,2,1\ns.tif,m.tif,1,max\ns.tif,m.tif,0,\n")
    first, maximum, open_slice = find_items(table)[::-1]
    assert (first.name, maximum.name, open_slice.name) == ("s_t0002_z001", "s_t0001_zmax", "s_t0000")
    assert (first.read().pixels == 21).all()
    assert (maximum.read().pixels == 11).all()
    with pytest.raises(InputError, match="has 2 slices, but none is named"):
        open_slice.read()
    write_labels(tmp_path / "s_t0002_z001_labels.tif", np.eye(4, 5, dtype=np.int32))
    assert evaluate_prediction(first, tmp_path).scores.seg == 1.0
    table.write_text("image,masks,t\ns.tif,m.tif,7\n")
    with pytest.raises(InputError, match="has 3 times, but 7 is asked for, expected 0 to 2"):
        find_items(table)[0].read()
    table.write_text("image,masks,z\ns.tif,m.tif,top\n")
    with pytest.raises(FileFormatError, match="row 2 has the z 'top', expected a number from 0, max or mean"):
        find_items(table)
