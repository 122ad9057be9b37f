import csv
import html
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.cli.outputs import dataset_names
from dinocell.cli.terminal import Notes
from dinocell.datasets.folder import find_pairs
from dinocell.datasets.formats import open_dataset
from dinocell.datasets.process import ProcessSettings, process
from dinocell.errors import FileFormatError, InputError, OutputError
from dinocell.evaluation.output import write_evaluation
from dinocell.evaluation.predictions import prediction_path
from dinocell.evaluation.run import EvaluationRun
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.images import read_image, read_labels
from dinocell.io.saving import create_folder, write_image, write_labels
from dinocell.models.checkpoint import read_config
from dinocell.models.finding import SHIPPED
from tests.cases import disk
from tests.fakes.layouts import LAYOUTS, write_cellpose_file, write_file

SAMPLES = Path(__file__).parents[2] / "samples"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path):
    """One sample image."""
    folder = tmp_path / "nuclei"
    folder.mkdir()
    for part in ("img", "masks"):
        shutil.copy(SAMPLES / f"fluorescence_2_{part}.png", folder / f"a_{part}.png")
    return folder


@pytest.fixture
def checkpoint(tmp_path):
    """A copy of nano that may be changed."""
    return Path(shutil.copytree(SHIPPED / "nano", tmp_path / "checkpoint"))


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_names_that_are_formulas_reach_no_table(data, tmp_path):
    folder = data.rename(tmp_path / "=2+3")
    for part in ("img", "masks"):
        (folder / f"a_{part}.png").rename(folder / f"=1+1_{part}.png")
    out = tmp_path / "out"
    assert run("evaluate", "--data", folder, "-o", out).exit_code == 0
    (image,), (summary,) = rows(out / "images.csv"), rows(out / "summary.csv")
    assert (image["dataset"], image["image"], summary["dataset"]) == ("'=2+3", "'=1+1", "'=2+3")
    assert read_labels(out / "labels" / "=2+3" / "=1+1_labels.tif").max() == int(image["predicted_cells"])


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2])
def test_an_output_folder_that_is_removed_meanwhile_ends_the_evaluation(data, tmp_path, after):
    shutil.copytree(data, tmp_path / "second")
    out = tmp_path / "out"
    create_folder(out)
    one, two = find_pairs(data)[0], find_pairs(tmp_path / "second")[0]

    class Moving:
        """An item that moves the output folder away when it is read."""

        def __init__(self, item, moves):
            self.name, self.files, self.item, self.moves = item.name, item.files, item, moves

        def read(self):
            if self.moves:
                out.rename(tmp_path / "moved")
            return self.item.read()

    runs = EvaluationRun({"one": [Moving(one, after == 1)], "two": [Moving(two, after == 2)]})
    with pytest.raises(OutputError, match="cannot be written"):
        list(runs.score_model(DINOCellPipeline("nano", device="cpu"), out))
    assert not out.exists()


def test_label_images_that_vanish_meanwhile_are_missed(data, tmp_path):
    out = tmp_path / "out"
    create_folder(out)
    runs = EvaluationRun({"nuclei": find_pairs(data)})
    list(runs.score_model(DINOCellPipeline("nano", device="cpu"), out))
    shutil.rmtree(out / "labels")
    with pytest.raises(OutputError, match=r"a_labels\.tif is gone"):
        write_evaluation(runs, out, "nano")
    assert not (out / "summary.csv").exists()


def test_tables_labels_and_report_are_written(data, tmp_path):
    out = tmp_path / "out"
    result = run("evaluate", "--data", data, "-o", out)
    assert result.exit_code == 0, result.output
    (image,), (summary,) = rows(out / "images.csv"), rows(out / "summary.csv")
    assert (image["dataset"], image["image"]) == ("nuclei", "a")
    assert image["ap50"] == summary["ap50"]
    assert float(summary["ap50"]) > 0.7
    assert f"{float(summary['ap50']):.3f}" in result.output
    assert read_labels(out / "labels" / "nuclei" / "a_labels.tif").max() == int(image["predicted_cells"])
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_label_images_of_any_program_get_the_same_scores(data, tmp_path):
    run("evaluate", "--data", data, "-o", tmp_path / "model")
    result = run(
        "evaluate",
        "--data",
        data,
        "--predictions",
        tmp_path / "model" / "labels" / "nuclei",
        "-o",
        tmp_path / "again",
    )
    assert result.exit_code == 0, result.output
    (one,), (other,) = rows(tmp_path / "model" / "images.csv"), rows(tmp_path / "again" / "images.csv")
    assert (one.pop("target"), other.pop("target")) == ("nuclei", "")  # other programs choose none
    scores = [key for key in one if not key.startswith("upper_bound")]
    assert [one[key] for key in scores] == [other[key] for key in scores]


def binary(folder, value=1):
    """Replace the label image in a folder by a mask of one value."""
    path = folder / "a_masks.png"
    write_image(path, (read_labels(path) > 0).astype(np.uint8) * value)


def test_a_mask_of_one_value_is_refused_with_the_remedy(data):
    binary(data)
    result = run("evaluate", "--data", data)
    assert result.exit_code == 1
    assert isinstance(result.exception, FileFormatError)
    assert "a_masks.png: 1 id in 46 pieces" in str(result.exception)
    assert "--split-components" in str(result.exception)


@pytest.mark.parametrize(("value", "option"), [(1, ["--split-components"]), (255, [])])
def test_pieces_of_a_mask_are_cells_and_that_is_said_on_the_screen_and_in_the_report(
    data, tmp_path, value, option
):
    binary(data, value)
    out = tmp_path / "out"
    result = run("evaluate", "--data", data, "-o", out, *option)
    assert result.exit_code == 0, result.output
    (image,) = rows(out / "images.csv")
    assert image["true_cells"] == "46"
    assert "46 pieces" in image["note"]
    assert result.output.count(f"note: {image['note']}") == 1
    assert image["note"] in html.unescape((out / "report.html").read_text(encoding="utf-8"))


def test_notes_are_printed_as_they_come_before_what_is_wrong_with_later_images(data):
    binary(data, 255)
    for part in ("img", "masks"):
        shutil.copy(SAMPLES / f"fluorescence_1_{part}.png", data / f"b_{part}.png")
    (data / "b_img.png").write_bytes((data / "a_img.png").read_bytes()[:500])
    result = run("evaluate", "--data", data)
    assert 0 <= result.output.index("a binary mask, its 46 pieces") < result.output.index("error: ")


def test_a_mask_for_a_prediction_is_refused_or_split_and_drawn(data, tmp_path):
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    shutil.copy(data / "a_masks.png", predictions / "a_labels.png")
    labels = read_labels(predictions / "a_labels.png")
    write_image(predictions / "a_labels.png", (labels > 0).astype(np.uint8))
    result = run("evaluate", "--data", data, "--predictions", predictions)
    assert "a_labels.png: 1 id in 46 pieces" in str(result.exception)
    arguments = ("--predictions", predictions, "--split-components", "-o", tmp_path / "out")
    result = run("evaluate", "--data", data, *arguments)
    assert result.exit_code == 0, result.output
    (image,) = rows(tmp_path / "out" / "images.csv")
    assert image["predicted_cells"] == "46"
    assert "No picture" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_of_many_notes_the_first_are_printed_and_the_rest_is_counted(capsys):
    notes = Notes(most=2)
    notes.add(["a", "b"])
    notes.add(["a", "c", "d"])
    notes.close(", see X")
    assert capsys.readouterr().out.splitlines() == [
        "note: a",
        "note: b",
        "note: and 2 more like these, see X",
    ]
    assert notes.all == ["a", "b", "c", "d"]


def test_missing_and_misplaced_predictions_are_refused(data, tmp_path):
    result = run("evaluate", "--data", data, "--predictions", tmp_path)
    assert isinstance(result.exception, FileFormatError)
    assert "no label image of a" in str(result.exception)
    result = run("evaluate", "--data", data, "--predictions", data)  # the truth itself is not a prediction
    assert "no label image of a" in str(result.exception)
    result = run("evaluate", "--data", data, "--data", SAMPLES, "--predictions", SAMPLES)
    assert "each has its predictions in one" in str(result.exception)
    result = run("evaluate", "--data", data, "--predictions", tmp_path, "--diameter", "30")
    assert isinstance(result.exception, InputError)


def test_several_datasets_may_follow_one_another(data, tmp_path):
    other = Path(shutil.copytree(data, tmp_path / "other"))
    results = [
        run("evaluate", "--data", data, *more, "--predictions", tmp_path)
        for more in ([other, "--channel", "0"], ["--channel", "0", "--data", other])
    ]
    assert results[0].exception.args == results[1].exception.args  # both ask for a folder of each dataset
    for folder in (data, other):
        predictions = tmp_path / "predictions" / folder.name
        predictions.mkdir(parents=True)
        shutil.copy(folder / "a_masks.png", predictions / "a_masks.png")
    result = run("evaluate", "--data", data, other, "--predictions", tmp_path / "predictions")
    assert result.exit_code == 0, result.output
    assert "nuclei" in result.output
    assert "other" in result.output


@pytest.mark.slow
def test_every_command_means_the_same_by_a_channel(data, tmp_path):
    pixels = read_image(data / "a_img.png").pixels[:96, :96]
    write_image(data / "a_masks.png", read_image(data / "a_masks.png").pixels[:96, :96])
    (data / "a_img.png").unlink()
    stack, names = np.stack([pixels * 0, pixels, pixels * 0]), {"Name": ["1", "2", "3"]}
    image = data / "a_img.tif"
    tifffile.imwrite(image, stack, ome=True, metadata={"axes": "CYX", "Channel": names})
    assert np.array_equal(read_image(image, channel=1).pixels, pixels)
    assert np.array_equal(read_image(image, channel="name:2").pixels, pixels)
    refused = "has a channel named '1' (number 0) and another that is number 1 (named '2')"
    commands = [
        ["segment", image],
        ["evaluate", "--data", data],
        ["finetune", data],
        ["process", "folder", data, "--workers", 0, "--strict"],
        ["tune", data, "--workers", 0],
        ["compare", "--data", data, "--tools", "dinocell"],
    ]
    for command in commands:
        result = run(*command, "--channel", "1", "-o", tmp_path / command[0])
        assert result.exit_code == 1
        assert refused in " ".join(f"{result.output} {result.exception}".split())
    for wanted in ("name:2", "number:1"):
        out = tmp_path / wanted.replace(":", "_")
        assert run("evaluate", "--data", data, "--channel", wanted, "-o", out).exit_code == 0
        assert float(rows(out / "summary.csv")[0]["ap50"]) > 0.5


def test_names_of_datasets_are_unique_whatever_the_others_are_called(tmp_path):
    paths = [tmp_path / "x" / "data", tmp_path / "1_x_data", tmp_path / "y" / "data", tmp_path / "y" / "DATA"]
    names = dataset_names(paths)
    assert names == ["1_1_x_data", "1_x_data", "3_y_data", "4_y_DATA"]
    assert len({name.casefold() for name in dataset_names(paths[::-1])}) == 4


def test_a_bad_image_is_named_and_the_rest_is_scored(data, tmp_path):
    for part in ("img", "masks"):
        shutil.copy(SAMPLES / f"fluorescence_1_{part}.png", data / f"b_{part}.png")
    (data / "b_img.png").write_bytes((data / "a_img.png").read_bytes()[:500])
    result = run("evaluate", "--data", data, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "b_img.png" in result.output
    assert "1 images could not be scored" in result.output
    assert [row["image"] for row in rows(tmp_path / "out" / "images.csv")] == ["a"]
    assert "b_img.png" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_channels_are_not_mixed_like_colours(tmp_path):
    stack = np.zeros((3, 40, 40), np.uint8)
    stack[1, 5:25, 5:25] = 200
    tifffile.imwrite(tmp_path / "a_img.tif", stack, photometric="minisblack", metadata={"axes": "CYX"})
    write_labels(tmp_path / "a_masks.tif", (stack[1] > 0).astype(np.int32))
    result = run("evaluate", "--data", tmp_path)
    assert "choose with --channel" in str(result.exception)
    assert run("evaluate", "--data", tmp_path, "--channel", 1).exit_code == 0


def test_two_folders_of_the_same_name_are_told_apart(tmp_path):
    labels = np.zeros((64, 64), np.int32)
    labels[disk(labels.shape, (30, 30), 12)] = 1
    for parent in ("x", "y"):
        folder = tmp_path / parent / "same"
        folder.mkdir(parents=True)
        write_image(folder / "a_img.png", (labels * 200).astype(np.uint8))
        write_labels(folder / "a_masks.tif", labels)
    out = tmp_path / "out"
    data = [tmp_path / parent / "same" for parent in ("x", "y")]
    result = run("evaluate", "--data", data[0], "--data", data[1], "-o", out)
    assert result.exit_code == 0, result.output
    assert len({row["dataset"] for row in rows(out / "summary.csv")}) == 2
    assert len(list((out / "labels").rglob("*.tif"))) == 2


@pytest.mark.slow
def test_thresholds_are_written_and_the_same_data_is_no_test_afterwards(data, checkpoint):
    before = read_config(checkpoint)
    search = ("--write-thresholds", "--workers", 0, "--annotates", "nuclei")
    result = run("evaluate", "--data", data, "--model", checkpoint, *search)
    assert result.exit_code == 0, result.output
    after = read_config(checkpoint)
    assert after.targets["nuclei"].thresholds != before.targets["nuclei"].thresholds
    assert after.targets["cells"] == before.targets["cells"]
    assert list(after.training["thresholds_chosen_on"]["nuclei"]) == ["nuclei"]
    moved = data.rename(data.with_name("test_set"))  # another name does not make it a test
    result = run("evaluate", "--data", moved, "--model", checkpoint)
    assert "were chosen on 1 of the 1 images of test_set: this is validation, not a test" in result.output
    result = run("evaluate", "--data", SAMPLES, "--model", checkpoint)
    assert "were chosen on 1 of the 5 images of samples" in result.output
    list(process(find_pairs(moved), moved.parent / "st", ProcessSettings("folder", whole=True), workers=0))
    result = run("evaluate", "--data", moved.parent / "st", "--model", checkpoint)
    assert "were chosen on 1 of the 1 images of st" in result.output


@pytest.mark.parametrize("record", [["nuclei"], "nuclei", None, {"nuclei": []}])
def test_whatever_a_checkpoint_records_of_its_thresholds_stops_nothing(data, checkpoint, record):
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    config["training"]["thresholds_chosen_on"] = record
    (checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")
    result = run("evaluate", "--data", data, "--model", checkpoint)
    assert result.exit_code == 0, result.output
    assert "not a test" not in result.output


def test_a_search_without_a_readable_image_is_refused_in_one_line(data):
    (data / "a_img.png").write_bytes(b"nothing")
    result = run("evaluate", "--data", data, "--search-thresholds")
    assert "no image could be scored" in str(result.exception)


def test_thresholds_of_the_shipped_model_are_never_overwritten(data):
    text = json.loads((SHIPPED / "nano" / "config.json").read_text(encoding="utf-8"))
    result = run("evaluate", "--data", data, "--write-thresholds")
    assert isinstance(result.exception, InputError)
    assert json.loads((SHIPPED / "nano" / "config.json").read_text(encoding="utf-8")) == text


@pytest.mark.slow
def test_a_preset_sets_what_segment_is_not_told(data, tmp_path):
    result = run("tune", data, "-o", tmp_path / "p.yaml", "--workers", 0)
    assert result.exit_code == 0, result.output
    assert "one image: nothing is left to check" in result.output
    preset = (tmp_path / "p.yaml").read_text(encoding="utf-8")
    cells = {}
    for name, options in {"tuned": (), "overridden": ("--cells-max", "1")}.items():
        result = run("segment", data, "-o", tmp_path / name, "--preset", tmp_path / "p.yaml", *options)
        assert result.exit_code == 0, result.output
        cells[name] = read_labels(tmp_path / name / "a_img_labels.tif").max()
    assert cells["tuned"] > 0
    assert cells["overridden"] == 0
    assert "model: nano" in preset
    assert "target: cells" in preset or "target: nuclei" in preset
    result = run("segment", data, "-o", tmp_path / "x", "--preset", tmp_path / "p.yaml", "--model", "small")
    assert isinstance(result.exception, InputError)
    assert "tuned for model 'nano'" in str(result.exception)


def described(folder, name, edge):
    """Write a part of a sample as an OME-TIFF that says the edge of its pixels in micrometres."""
    pixels = read_image(SAMPLES / "fluorescence_2_img.png").pixels[:96, :96]
    size = {} if edge is None else {"PhysicalSizeX": edge, "PhysicalSizeY": edge}
    tifffile.imwrite(folder / f"{name}.ome.tif", pixels, metadata={"axes": "YX", **size})
    write_labels(folder / f"{name}_masks.tif", read_labels(SAMPLES / "fluorescence_2_masks.png")[:96, :96])


def test_a_diameter_in_micrometres_is_that_in_pixels(tmp_path, monkeypatch):
    for name, edge in (("said", 0.5), ("silent", None), ("other", 0.25)):
        described(tmp_path, name, edge)
    seen, settings_for = [], DINOCellPipeline.settings_for

    def recording(self, **options):
        seen.append(options.get("diameter"))
        return settings_for(self, **options)

    monkeypatch.setattr(DINOCellPipeline, "settings_for", recording)
    result = run("evaluate", "--data", tmp_path, "--diameter-um", 40, "--pixel-size", 0.5, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert seen == [160, 80, 80]  # other, said, silent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pixel-size", 0.5], "--pixel-size is for --diameter-um here"),
        (["--diameter-um", 12, "--diameter", 30], "both given"),
        (["--diameter-um", -3], "expected micrometres above 0"),
        (["--diameter-um", 12, "--pixel-size", "big"], "expected micrometres: 0.65, or 0.65,0.33"),
        (["--diameter-um", 12, "--search-thresholds"], "--diameter-um does not go with --search-thresholds"),
        (["--diameter-um", 12, "--predictions", "x"], "leave --model, --target, the diameter and the search"),
        (
            ["--diameter-um", 12],
            "a_img.png does not say its pixel size, which --diameter-um needs: give",
        ),
    ],
)
def test_sizes_that_cannot_be_used_are_refused(data, options, message):
    result = run("evaluate", "--data", data, *options)
    assert result.exit_code == 1
    assert message in f"{result.exception}{result.output}"


@pytest.mark.parametrize("layout", ["two folders", "CTC names in two folders", "Cellpose's files"])
def test_predictions_are_scored_in_every_layout(tmp_path, layout):
    found, masks = LAYOUTS[layout](tmp_path / "data")
    predicted = tmp_path / "predicted"
    predicted.mkdir()
    for item in open_dataset(found, masks):
        write_labels(prediction_path(predicted, item), item.read().labels)
    named = [] if masks is None else ["--masks", masks]
    result = run("evaluate", "--data", found, *named, "--predictions", predicted)
    assert result.exit_code == 0, result.output
    assert "1.000" in result.output


def test_one_folder_of_masks_goes_with_one_dataset(data):
    result = run("evaluate", "--data", data, data, "--masks", data)
    assert isinstance(result.exception, InputError)
    assert "--masks" in str(result.exception)


@pytest.mark.parametrize("name", ["a_seg.npy", "a_img_seg.npy"])
def test_cellposes_own_file_is_no_prediction(data, tmp_path, name):
    predicted = tmp_path / "predicted"
    predicted.mkdir()
    write_cellpose_file(predicted / name, np.ones((4, 4), np.int32))
    result = run("evaluate", "--data", data, "--predictions", predicted)
    assert result.exit_code == 1
    assert f"{name} is Cellpose's own file" in str(result.exception)


@pytest.mark.parametrize("command", ["evaluate", "tune", "finetune", "compare"])
def test_every_command_refuses_cellposes_own_file_before_it_loads_a_model(tmp_path, monkeypatch, command):
    folder = tmp_path / "data"
    write_file(folder / "w.tif", np.zeros((8, 8), np.uint8))
    write_cellpose_file(folder / "w_seg.npy", np.ones((8, 8), np.int32))
    monkeypatch.setattr(DINOCellPipeline, "__init__", None)  # calling it would end in a TypeError
    data = ["--data", folder] if command in ("evaluate", "compare") else [folder]
    tools = ["--tools", "dinocell"] if command == "compare" else []
    result = run(command, *data, *tools, *([] if command == "evaluate" else ["-o", tmp_path / "out.yaml"]))
    assert isinstance(result.exception, FileFormatError)
    assert "w_seg.npy is Cellpose's own file" in str(result.exception)
