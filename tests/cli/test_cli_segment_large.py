"""`dinocell segment-large`, from file to file, and what it refuses."""

import shutil
import sys

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from dinocell.cli import main
from dinocell.datasets.folder import find_pairs
from dinocell.datasets.formats import open_dataset
from dinocell.evaluation.scoring import evaluate_prediction
from dinocell.inference.segment import segment
from dinocell.io.images import read_image, read_labels
from dinocell.io.saving import write_labels
from dinocell.labels import median_diameter, relabel
from dinocell.large.plan import read_provenance
from dinocell.metrics.scores import evaluate
from tests.cases import disk
from tests.fakes.zarr import write_ome_zarr

pytest.importorskip("zarr")
parquet = pytest.importorskip("pyarrow.parquet")


def disks():
    shape = (150, 170)
    image = np.full(shape, 40, np.uint8)
    for centre in [(30, 30), (40, 95), (95, 50), (3, 140), (75, 128)]:
        image[disk(shape, centre, 12)] = 160
    return image


@pytest.fixture
def image_file(tmp_path):
    """Five cells, the third of them across blocks, of pixels of half a micrometre."""
    path = tmp_path / "in" / "cells.ome.tif"
    path.parent.mkdir()
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, disks(), tile=(64, 64), metadata={"axes": "YX"} | size)
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command as from a terminal; gives the exit code, and what was printed and said of errors."""

    def run_main(*arguments):
        monkeypatch.setattr(sys, "argv", ["dinocell", "segment-large", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return run_main


def test_a_low_mean_confidence_is_said(run, image_file, tmp_path):
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(96, 130)), 3)
    noise = np.interp(noise, (noise.min(), noise.max()), (0, 255)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "noise.tif", noise, tile=(64, 64))
    output = tmp_path / "a.zarr"
    _, said, _ = run(tmp_path / "noise.tif", "-o", output, "--block", 64)
    mean = parquet.read_table(tmp_path / "a_cells.parquet")["confidence"].to_numpy().mean()
    assert f"low confidence (mean {mean:.2f})" in said
    _, again, _ = run(tmp_path / "noise.tif", "-o", output, "--block", 64)
    assert "made before" in again
    assert f"low confidence (mean {mean:.2f})" in again
    assert "low confidence" not in run(image_file, "-o", tmp_path / "b.zarr", "--block", 96)[1]


def test_cells_of_an_unusual_size_bring_a_warning(run, image_file, tmp_path):
    output = tmp_path / "a.zarr"
    assert "warning" not in run(image_file, "-o", output, "--block", 96)[1]
    assert read_provenance(output)["median_diameter"] == pytest.approx(
        median_diameter(segment(disks()).labels)
    )
    command = (image_file, "-o", tmp_path / "b.zarr", "--block", 96, "--diameter", 300)
    _, said, _ = run(*command)
    (line,) = (line for line in said.splitlines() if "warning" in line)
    found = read_provenance(tmp_path / "b.zarr")["median_diameter"]
    assert line.startswith(f"warning: the median cell is {found:.0f} px wide (")
    assert line.endswith(f"try --diameter {found:.0f}")
    again = run(*command)[1]
    assert "made before" in again
    assert line in again


def test_labels_and_table_are_written_and_told(run, image_file, tmp_path):
    output = tmp_path / "out" / "cells.zarr"
    code, said, errors = run(image_file, "-o", output, "--block", 96)
    assert (code, errors) == (0, "")
    table = output.with_name("cells_cells.parquet")
    assert f"→ {output}, {table}" in said
    assert "cut with a halo" not in said
    labels = read_labels(output)
    whole = segment(disks()).labels
    assert evaluate(whole, labels).ap[0.95] == 1
    assert np.array_equal(labels > 0, whole > 0)
    rows = parquet.read_table(table).to_pandas().sort_values("label")
    assert rows["area"].tolist() == np.bincount(labels.ravel())[1:].tolist()
    assert rows["area_um2"].tolist() == pytest.approx((rows["area"] / 4).tolist())
    assert sorted(path.name for path in output.parent.iterdir()) == ["cells.zarr", "cells_cells.parquet"]
    again = run(image_file, "-o", output, "--block", 96)
    assert again[0] == 0
    assert "5 cells" in again[1]
    assert "(made before)" in again[1]


def test_a_pixel_size_is_given_where_the_file_is_silent(run, tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", disks(), tile=(64, 64))
    output = tmp_path / "a.zarr"
    options = (tmp_path / "plain.tif", "-o", output, "--block", 96, "--diameter-um", 12, "--pixel-size")
    for size in (0.5, 0.25):  # another size is another table, of the same map
        code, _, errors = run(*options, size, *(["--overwrite"] if size == 0.25 else []))
        assert (code, errors) == (0, "")
        rows = parquet.read_table(tmp_path / "a_cells.parquet").to_pandas()
        assert rows["area_um2"].tolist() == pytest.approx((rows["area"] * size**2).tolist())
        assert read_image(output).pixel_size_um == size


def test_evaluate_scores_the_labels_as_predictions_and_as_masks(run, image_file, tmp_path, monkeypatch):
    labels = segment(disks()).labels
    data, predicted = tmp_path / "data", tmp_path / "predicted"
    for folder in (data, predicted):
        folder.mkdir()
    tifffile.imwrite(data / "a_img.tif", disks())
    write_labels(data / "a_masks.tif", labels)
    assert run(image_file, "-o", predicted / "a_labels.zarr", "--format", "none")[0] == 0
    (item,) = find_pairs(data)
    assert evaluate_prediction(item, predicted).scores.ap[0.95] == 1
    (tmp_path / "t.csv").write_text("image,masks\ndata/a_img.tif,predicted/a_labels.zarr\n")
    (data / "a_masks.tif").unlink()
    shutil.copytree(predicted / "a_labels.zarr", data / "a_masks.zarr")
    for item in (*open_dataset(tmp_path / "t.csv"), *open_dataset(data)):
        assert item.masks.suffix == ".zarr"
        assert item.name == "a" or item.name == "a_img"
        assert evaluate(labels, item.read().labels).ap[0.95] == 1


def test_options_reach_the_result(run, image_file, tmp_path):
    output = tmp_path / "cells.zarr"
    more = ("--block", 96, "--format", "none", "--keep-map")
    assert "5 cells" in run(image_file, "-o", output, *more)[1]
    assert not output.with_name("cells_cells.parquet").exists()
    assert output.with_name("cells.zarr.work").is_dir()
    code, said, errors = run(image_file, "-o", output, *more, "--cells-max", 1)
    assert (code, said.strip()) == (1, "")
    assert "--overwrite" in errors
    assert "0 cells" in run(image_file, "-o", output, *more, "--cells-max", 1, "--overwrite")[1]
    large = run(image_file, "-o", output, *more, "--min-size", 440, "--overwrite")[1]
    areas = np.bincount(segment(disks()).labels.ravel())[1:]
    assert f"{(areas >= 440).sum()} cells" in large
    assert f"{(areas < 440).sum()} objects under 440 px removed" in large
    both = run(image_file, "-o", output, "--block", 96, "--format", "geojson,geoparquet", "--overwrite")
    assert "cells_polygons.geojson" in both[1]
    assert "cells_polygons.parquet" in both[1]


def test_diameters_rescale_the_image(run, image_file, tmp_path):
    labels = []
    for name, options in [("pixels", ("--diameter", 130)), ("um", ("--diameter-um", 65))]:
        output = tmp_path / f"{name}.zarr"
        assert run(image_file, "-o", output, "--block", 256, "--format", "none", *options)[0] == 0
        labels.append(read_labels(output))
    assert np.array_equal(*labels)
    whole = segment(disks(), diameter=130).labels
    assert evaluate(whole, relabel(labels[0])).ap[0.9] == 1


def test_one_plane_of_a_stack_is_chosen(run, tmp_path):
    stack = np.zeros((2, 2, 2, *disks().shape), np.uint8)
    stack[1, 1, 0] = disks()
    source = write_ome_zarr(tmp_path / "s.zarr", stack, "tczyx", channel_names=("a", "b"))
    options = ("--block", 256, "--format", "none")
    for number, (chosen, cells) in enumerate([((1, "b", 0), 5), ((1, 1, "max"), 5), ((0, "b", 0), 0)]):
        time, channel, z = chosen
        where = ("--time", time, "--channel", channel, "--z", z)
        code, said, _ = run(source, "-o", tmp_path / f"{number}.zarr", *where, *options)
        assert code == 0
        assert f"{cells} cells" in said
    for missing, message in [
        (("--time", 1, "--z", 0), "has 2 channels (a, b), expected a choice"),
        (("--time", 1, "--channel", 0), "2 slices: --z N"),
        (("--z", 0, "--channel", 0), "2 times: --time N"),
        (("--z", 0, "--channel", 0, "--time", "0:2"), "2 planes were chosen, expected one"),
        (("--z", 0, "--channel", "c", "--time", 0), "channel"),
        (("--z", 0, "--channel", 0, "--time", 9), "--time"),
    ]:
        refuse(run, message, source, "-o", tmp_path / "none.zarr", *missing)


def refuse(run, message, *arguments):
    """Check that a call is refused in one line."""
    code, said, errors = run(*arguments)
    assert code == 1
    assert said.strip() == ""
    assert message in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--diameter", "big"], "not 'big'"),
        (["--diameter", "10", "--diameter-um", "5"], "both given"),
        (
            ["--scheduler", "tcp://a:1", "--workers", "2"],
            "--scheduler tcp://a:1 and --workers 2 are both given",
        ),
        (["--format", "xls"], "format 'xls' is unknown, expected some of parquet"),
        (["--model", "nanoo"], "no model and no folder is called 'nanoo'"),
        (["--scene", "7"], "no scene"),
        (["--channel", "3"], "channel"),
        (["--tile-size", "100"], "multiple of 32"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run, image_file, tmp_path, options, message):
    refuse(run, message, image_file, "-o", tmp_path / "a.zarr", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_preset_with_a_setting_that_blocks_do_not_know_is_refused(run, image_file, tmp_path):
    preset = tmp_path / "preset.yaml"
    preset.write_text("model: nano\nthresholds: {}\nfill_holes: true\n", encoding="utf-8")
    message = "sets fill_holes, which segment-large does not have"
    refuse(run, message, image_file, "-o", tmp_path / "a.zarr", "--preset", preset)


def test_files_that_are_not_there_are_refused_in_one_line(run, image_file, tmp_path):
    refuse(run, "expected a name that ends in .zarr", image_file, "-o", tmp_path / "a.tif")
    refuse(run, "none.zarr does not exist", tmp_path / "none.zarr", "-o", tmp_path / "a.zarr")
    refuse(run, "is a folder, expected an image file", image_file.parent, "-o", tmp_path / "a.zarr")
    (tmp_path / "file").write_text("no folder")
    refuse(run, "cannot be written", image_file, "-o", tmp_path / "file" / "a.zarr")
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, disks())
    refuse(run, "does not say its pixel size", plain, "-o", tmp_path / "a.zarr", "--diameter-um", 5)


@pytest.mark.parametrize("shape", [(70, 90), (1, 1)])
def test_an_image_of_one_value_has_no_cells(run, tmp_path, shape):
    tifffile.imwrite(tmp_path / "flat.tif", np.full(shape, 7, np.uint16))
    code, said, _ = run(tmp_path / "flat.tif", "-o", tmp_path / "a.zarr", "--format", "parquet,geojson")
    assert code == 0
    assert "0 cells" in said
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr"), np.zeros(shape, np.int32))


def test_a_run_that_was_stopped_goes_on(run, image_file, tmp_path):
    output, plain = tmp_path / "a.zarr", tmp_path / "plain.zarr"
    source = write_ome_zarr(plain, disks(), "yx", version="0.5", chunks=(75, 85))
    chunk = source / "0" / "c" / "1" / "1"
    content = chunk.read_bytes()
    chunk.write_bytes(b"no chunk")
    code, _, errors = run(source, "-o", output, "--block", 96)
    assert code == 1
    assert "plain.zarr is a damaged" in errors
    assert output.with_name("a.zarr.work").is_dir()
    chunk.write_bytes(content)
    assert "5 cells" in run(source, "-o", output, "--block", 96)[1]
    assert not output.with_name("a.zarr.work").exists()
