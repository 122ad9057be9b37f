"""One target for all images of a call."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from dinocell.batch.agreement import MOST_PLANES, agree_on_scale, agree_on_target
from dinocell.batch.log import BatchLog, describe_start, recorded_target
from dinocell.batch.outcomes import PlaneOutcome
from dinocell.batch.run import segment_files
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.inference.autoscale import INSIDE
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.saving import write_image
from dinocell.io.selection import Selection
from dinocell.labels import TARGETS
from dinocell.models.configuration import TargetSettings
from dinocell.postprocess.distance import labels_to_distance
from tests.fakes.disks import disks
from tests.inference.test_targets import TwoMaps, config, image


class BySide(TwoMaps):
    """Has the clearer map of nuclei for images that are brighter at their left, of cells for others."""

    share = 0.05

    def forward(self, x):
        self.clear = int(x[..., :32].mean() > x[..., 32:64].mean())
        return super().forward(x)


@pytest.fixture
def pipeline():
    return DINOCellPipeline(BySide(config()), device="cpu", clahe=False)


def pixels(left, seed=0):
    """Draw noise that is bright at one side."""
    gray = np.random.default_rng(seed).integers(0, 60, (64, 64)).astype(np.uint8)
    gray[:, slice(0, 32) if left else slice(32, 64)] += 190
    return gray


def settings_of(pipeline, folder, **more):
    return BatchSettings(
        output=folder / "out", formats=(), model="two", model_sha256="abc", trained=True,
        preprocessing=pipeline.predictor.preprocessing, inference=pipeline.settings, **more,
    )  # fmt: skip


def sources(folder, kinds):
    """Write images, those for nuclei bright at their left, and an unreadable file."""
    files = []
    for number, left in enumerate(kinds):
        path = folder / f"{number}.png"
        write_image(path, pixels(left, number))
        files.append(SourceFile(path, path.with_suffix("").relative_to(folder)))
    damaged = folder / "damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n")
    return [*files, SourceFile(damaged, damaged.with_suffix("").relative_to(folder))]


def log_call(settings):
    """Log a call in which one image was done."""
    with BatchLog(settings.output) as log:
        log.write("started", describe_start(settings))
        log.write("done", {})


@pytest.mark.parametrize(
    ("kinds", "target"), [([True, False] + [True] * 4, "nuclei"), ([False] * 3 + [True], "cells")]
)
def test_most_evidence_decides_for_all(tmp_path, pipeline, kinds, target):
    files, settings = sources(tmp_path, kinds), settings_of(pipeline, tmp_path)
    assert agree_on_target(files, settings, pipeline) == target


def test_without_an_image_that_can_be_read_it_is_the_first(tmp_path, pipeline):
    assert agree_on_target(sources(tmp_path, []), settings_of(pipeline, tmp_path), pipeline) == "cells"


def test_a_movie_is_sampled_over_its_frames(tmp_path, pipeline):
    frames = np.stack([pixels(number >= MOST_PLANES, number) for number in range(5 * MOST_PLANES)])
    tifffile.imwrite(tmp_path / "movie.tif", frames, imagej=True, metadata={"axes": "TYX"})
    settings = settings_of(pipeline, tmp_path, selection=Selection(all_planes=True))
    movie = [SourceFile(tmp_path / "movie.tif", tmp_path.relative_to(tmp_path))]
    assert agree_on_target(movie, settings, pipeline) == "nuclei"
    assert pipeline.model.tiles == MOST_PLANES


def test_a_repeated_call_keeps_the_choice(tmp_path, pipeline):
    files, settings = sources(tmp_path, [True]), settings_of(pipeline, tmp_path)
    fixed = settings.inference.model_copy(update={"target": "nuclei"})
    settings.output.mkdir()
    log_call(replace(settings, inference=fixed))  # by --target
    assert recorded_target(settings) is None
    log_call(replace(settings, inference=fixed, same_target=True))
    more = sources(tmp_path, [False] * 5)
    assert agree_on_target(more, settings, pipeline) == "nuclei"
    assert agree_on_target(more, replace(settings, model_sha256="other"), pipeline) == "cells"
    assert agree_on_target(files, replace(settings, output=tmp_path / "other"), pipeline) == "cells"


@pytest.mark.parametrize("line", ['{"same_target": true}', "same_target", '["same_target"]', "\udcff"])
def test_a_damaged_log_has_no_choice(tmp_path, pipeline, line):
    settings = settings_of(pipeline, tmp_path)
    settings.output.mkdir()
    (settings.output / "segment.jsonl").write_bytes(line.encode(errors="surrogateescape") + b"\n")
    assert recorded_target(settings) is None


def outcome_of(source, settings, pipeline):
    events = segment_files([source], settings, pipeline)
    (outcome,) = (event for event in events if isinstance(event, PlaneOutcome))
    return outcome


def test_the_choice_for_an_image_is_recorded_and_told(tmp_path, pipeline):
    write_image(tmp_path / "a.png", image())
    settings = replace(settings_of(pipeline, tmp_path), formats=("tif",))
    source = SourceFile(tmp_path / "a.png", (tmp_path / "a").relative_to(tmp_path))
    outcome = outcome_of(source, settings, pipeline)
    record = json.loads((settings.output / "a_provenance.json").read_text())
    found = record["result"]["target"]
    assert found in TARGETS
    assert record["provenance"]["target"] == "auto"
    assert f"target {found}" in outcome.message
    assert outcome.details["target"] == found
    with tifffile.TiffFile(settings.output / "a_labels.tif") as file:
        assert f'"target_found": "{found}"' in file.ome_metadata.replace("&quot;", '"')
    assert outcome_of(source, settings, pipeline).status == "skipped"


class Sized(TwoMaps):
    """Takes gray values for its only map."""

    clear = 0

    def forward(self, x):
        return super().forward(x)[:, :1]


@pytest.fixture
def sized():
    """Return a pipeline whose model is best at cells of 8 to 20 pixels."""
    best = TargetSettings(diameter_range=(8, 20))
    return DINOCellPipeline(Sized(config(targets={"cells": best})), device="cpu", clahe=False)


def write_disks(folder, diameters):
    files = []
    for number, diameter in enumerate(diameters):
        path = folder / f"disks{number}.png"
        write_image(path, (255 * labels_to_distance(disks(diameter, 16))).astype(np.uint8))
        files.append(SourceFile(path, path.with_suffix("").relative_to(folder)))
    return files


def test_one_scale_suits_most_cells_and_a_repeated_call_keeps_it(tmp_path, sized):
    files, settings = write_disks(tmp_path, [40, 40, 40, 12]), settings_of(sized, tmp_path)
    scale = agree_on_scale(files, settings, sized)
    assert 40 * scale == pytest.approx(INSIDE * 20, rel=0.15)
    fixed = settings.inference.model_copy(update={"fixed_scale": scale})
    settings.output.mkdir()
    log_call(replace(settings, inference=fixed, same_scale=True))
    few = files[3:]
    assert agree_on_scale(few, settings, sized) == scale
    assert agree_on_scale(few, replace(settings, model_sha256="other"), sized) == 1
    assert agree_on_scale([], replace(settings, output=tmp_path / "other"), sized) == 1


def test_a_fixed_scale_is_used_and_recorded(tmp_path, sized):
    (source,) = write_disks(tmp_path, [12])
    fixed = sized.settings.model_copy(update={"fixed_scale": 0.5})
    settings = replace(settings_of(sized, tmp_path), inference=fixed, same_scale=True)
    outcome = outcome_of(source, settings, sized)
    assert outcome.details["scale"] == 0.5
    record = json.loads((settings.output / "disks0_provenance.json").read_text())
    assert record["provenance"]["fixed_scale"] == 0.5
    assert outcome_of(source, settings, sized).status == "skipped"
    other = replace(settings, inference=sized.settings, same_scale=False)
    assert outcome_of(source, other, sized).details["scale"] == 1


def test_cells_that_were_shrunk_bring_no_hint(tmp_path, sized):
    (source,) = write_disks(tmp_path, [60])
    message = outcome_of(source, settings_of(sized, tmp_path), sized).message
    assert "as the cells are large" in message
    assert "try --diameter" not in message
