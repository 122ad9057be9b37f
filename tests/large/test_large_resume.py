"""Runs on large images go on after whatever stopped them, and tell what others made before."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dinocell.errors import FileFormatError, OutputError
from dinocell.large.grid import BlockGrid
from dinocell.large.plan import LargeResult, plan_hash
from dinocell.large.stage_done import StageDone
from dinocell.postprocess.thresholds import Thresholds
from tests.fakes.large_images import (
    ECHO,
    check,
    check_table,
    in_memory,
    read_parts,
    stored,
    true_map,
    write_cells,
)
from tests.fakes.large_networks import Echo, events, finish
from tests.fakes.zarr import write_ome_zarr

zarr = pytest.importorskip("zarr")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def image_file(tmp_path):
    """An image whose size is known."""
    return write_cells(tmp_path / "in" / "cells.zarr")


@pytest.fixture
def network(tmp_path):
    """A network whose calls are counted."""
    folder = tmp_path / "calls"
    folder.mkdir()
    return Echo(str(folder))


# Runs that are stopped


ALL = {"formats": ("parquet", "geojson")}
BLOCKS = 6


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Write an image, segment it, and return the folder of both."""
    folder = tmp_path_factory.mktemp("made")
    finish(write_cells(folder / "in" / "cells.zarr"), folder / "a.zarr", ECHO, **ALL)
    return folder


@pytest.fixture
def made(made_once, tmp_path):
    """Copy of that, as if it had been made here: the image, and its labels with what is beside them."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    described = tmp_path / "a.zarr" / "zarr.json"
    described.write_text(described.read_text().replace(str(made_once), str(tmp_path)))
    said = json.loads(described.read_text())["attributes"]["dinocell"]
    name = plan_hash({"map": said["map"], "labels": said["labels"]})
    for marker in tmp_path.glob("a_*/_made.json"):
        marker.write_text(json.dumps({"plan": name}))
    return tmp_path / "in" / "cells.zarr", tmp_path / "a.zarr"


def stop_after(running, stage, count):
    """Run until so many blocks of a stage are done, and stop there."""
    for event in running:
        if event.stage == stage and event.done >= count:
            running.close()
            return
    raise AssertionError(stage)


ARRAYS = {"map": ("map", 128), "flood": ("cells", 64), "growth": ("grown", 64), "numbers": ("labels/0", 64)}
"""Stages that write pixels: where, and in blocks of which side."""

STAGES = ["statistics/1", "map", "components", "flood", "growth", "numbers", "described"]


def test_a_run_goes_on_wherever_it_was_stopped(tmp_path, image_file, network):
    output, work = tmp_path / "a.zarr", tmp_path / "a.zarr.work"
    before = {}
    for stage in STAGES:
        count = 1 if stage == "map" else 2
        stop_after(events(image_file, output, network, **ALL), stage, count)
        assert not output.exists()
        after = records(work)
        assert before.items() <= after.items(), stage  # nothing was done twice
        assert len([name for name in after if name.startswith(f"{stage}/")]) == count
        leave_halves(work, stage)
        before = after
    for event in events(image_file, output, network, **ALL):
        if isinstance(event, LargeResult):
            result = event
        elif event.stage == "described" and event.done == event.total:
            assert before.items() <= records(work).items()
    assert len(network.calls()) == 2  # of 1 × 2 blocks of the map
    distance, whole = in_memory(true_map())
    check(result, whole)
    check_table(read_parts(result.beside[0]), stored(output), true_map(), distance, 0.5)
    assert not work.exists()


@pytest.mark.parametrize("formats", [(), ("parquet",)])
@pytest.mark.parametrize("stage", ["statistics/1", "map", "flood", "numbers", "described"])
def test_a_run_whose_work_was_removed_does_not_end_well(tmp_path, image_file, stage, formats):
    if stage == "described" and not formats:
        return
    output, work = tmp_path / "a.zarr", tmp_path / "a.zarr.work"
    steps = events(image_file, output, ECHO, formats=formats, keep_map=True)
    assert next(step for step in steps if step.stage == stage and step.done == step.total)
    work.rename(tmp_path / "moved")
    with pytest.raises((OutputError, FileFormatError), match=r"cannot be written|damaged or gone"):
        list(steps)
    assert not output.exists()
    assert not list(tmp_path.glob("a_*"))


def records(work):
    """Return for every record of a block what changes when it is written again."""
    return {
        file.relative_to(folder).as_posix(): (file.stat().st_ino, file.stat().st_mtime_ns)
        for folder in work.glob("*/records")
        for file in folder.rglob("*.npz")
        if file.parent.name != "offsets"  # of no block
    }


def leave_halves(work, stage):
    """Leave what a process leaves that is killed in a block: pixels without a record, and half a record."""
    (folder,) = work.glob(f"*/records/{stage}")
    (folder / ".000001-000002.npz.tmp-1").write_bytes(b"PK\3\4 half of a record")
    if stage in ARRAYS:
        name, side = ARRAYS[stage]
        (path,) = work.glob(f"*/{name}")
        array = zarr.open_array(path, mode="r+")
        for block in BlockGrid(array.shape, side):
            task = f"{block.index:012d}" if stage == "flood" else block.name
            if not (folder / f"{task}.npz").exists():
                assert not array[block.window].any()
                array[block.window] = 1


@pytest.mark.slow
def test_a_process_that_was_killed_in_a_block_loses_nothing(tmp_path, image_file, network):
    killed = replace(network, last_call=2)
    script = (
        "from pathlib import Path; from tests.fakes.large_networks import Echo, finish\n"
        f"finish(Path({str(image_file)!r}), Path({str(tmp_path / 'a.zarr')!r}), {killed!r})"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert len(network.calls()) == 2
    result = finish(image_file, tmp_path / "a.zarr", network)
    check(result, in_memory(true_map())[1])
    assert len(network.calls()) == 2 + 1  # only the block that it was in was done again


@pytest.mark.slow
@pytest.mark.parametrize("target", ["a_polygons.geojson", "a.zarr"])
def test_results_that_were_moved_before_it_was_stopped_are_made_again(tmp_path, made, target):
    """Check that earlier results are moved away, labels first, before new ones come, labels last."""
    work = tmp_path / "a.zarr.work"
    steps = events(*made, ECHO, overwrite=True, min_size=30, **ALL)
    while (step := next(steps)) != StageDone("described", BLOCKS, BLOCKS):
        assert not isinstance(step, LargeResult)
    (work / "old" / target / "in the way").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"a.zarr cannot be written .*the same command goes on"):
        next(steps)
    assert (tmp_path / "a.zarr").exists() == (target == "a.zarr")
    result = finish(*made, ECHO, overwrite=True, min_size=30, **ALL)
    distance, whole = in_memory(true_map(), min_size=30)
    check(result, whole, least=30)
    check_table(read_parts(result.beside[0]), stored(result.labels), true_map(), distance, 0.5)
    assert len(list(result.beside[1].glob("part-*"))) == BLOCKS
    assert not work.exists()


def test_tables_in_place_without_labels_are_not_the_end(tmp_path, made):
    shutil.rmtree(tmp_path / "a_polygons.geojson")
    steps = events(*made, ECHO, overwrite=True, min_size=30, **ALL)
    while next(steps) != StageDone("described", BLOCKS, BLOCKS):
        pass
    (tmp_path / "a_polygons.geojson").symlink_to("nowhere")  # where no folder can be put
    with pytest.raises(OutputError, match=r"a.zarr cannot be written"):
        next(steps)
    assert (tmp_path / "a_cells.parquet").exists()
    (tmp_path / "a_polygons.geojson").unlink()
    result = finish(*made, ECHO, overwrite=True, min_size=30, **ALL)
    distance, whole = in_memory(true_map(), min_size=30)
    check(result, whole, least=30)
    check_table(read_parts(result.beside[0]), stored(result.labels), true_map(), distance, 0.5)


def test_a_removal_that_was_killed_half_way_is_not_gone_on_with(tmp_path, image_file, monkeypatch):
    output, remove = tmp_path / "a.zarr", shutil.rmtree

    def remove_some(path, **options):
        for part in ("cells", "grown"):
            remove(Path(path, part))
        raise KeyboardInterrupt

    stop_after(events(image_file, output, ECHO, min_size=30), "growth", BLOCKS)
    with monkeypatch.context() as broken:
        broken.setattr(shutil, "rmtree", remove_some)
        with pytest.raises(KeyboardInterrupt):
            finish(image_file, output, ECHO)
    check(finish(image_file, output, ECHO, min_size=30), in_memory(true_map(), min_size=30)[1], least=30)


def test_what_an_interrupted_removal_left_is_not_gone_on_with(tmp_path, image_file):
    output, work = tmp_path / "a.zarr", tmp_path / "a.zarr.work"
    stop_after(events(image_file, output, ECHO, min_size=200), "numbers", BLOCKS)
    for name in ("map", "labels"):
        (folder,) = work.glob(f"{name}-*")
        folder.rename(folder.with_name(f"gone-{folder.name}"))
    shutil.rmtree(next(work.glob("gone-map-*")) / "map" / "c" / "0")
    check(finish(image_file, output, ECHO, min_size=200), in_memory(true_map(), min_size=200)[1], least=1)
    assert not work.exists()


def test_what_a_worker_of_an_earlier_run_still_writes_is_not_taken(tmp_path, image_file, network):
    output, work = tmp_path / "a.zarr", tmp_path / "a.zarr.work"
    stop_after(events(image_file, output, network, scale=0.5), "map", 1)
    (earlier,) = work.glob("map-*")
    steps = events(image_file, output, network, overwrite=True)
    next(steps)
    (earlier / "records" / "map").mkdir(parents=True)  # the worker's record, after its pixels
    np.savez(earlier / "records" / "map" / "000000-000000.npz")
    *_, result = steps
    check(result, in_memory(true_map())[1])


def test_only_one_run_at_a_time_has_the_work_folder(tmp_path, image_file):
    steps = events(image_file, tmp_path / "a.zarr", ECHO)
    next(steps)
    with pytest.raises(OutputError, match="held by another run"):
        finish(image_file, tmp_path / "a.zarr", ECHO)
    *_, result = steps
    check(result, in_memory(true_map())[1])


@pytest.mark.parametrize("what", ["*/map/c/0/0", "*/records/components/000000-000001.npz", "*/map/zarr.json"])
def test_work_that_is_damaged_is_told_with_the_way_out(tmp_path, image_file, what):
    output, work = tmp_path / "a.zarr", tmp_path / "a.zarr.work"
    stop_after(events(image_file, output, ECHO), "components", BLOCKS)
    (file,) = work.glob(what)
    file.write_bytes(b"{no work")
    with pytest.raises(
        FileFormatError, match=r"is damaged or gone .*: remove .*a\.zarr\.work and start again"
    ):
        finish(image_file, output, ECHO)
    shutil.rmtree(work)
    check(finish(image_file, output, ECHO), in_memory(true_map())[1])


def test_a_chunk_that_is_damaged_is_told_and_can_be_mended(tmp_path, image_file):
    chunk = image_file / "0" / "c" / "1" / "1"
    content = chunk.read_bytes()
    chunk.write_bytes(b"no chunk")
    with pytest.raises(FileFormatError, match=r"cells.zarr is a damaged"):
        finish(image_file, tmp_path / "a.zarr", ECHO)
    chunk.write_bytes(content)
    check(finish(image_file, tmp_path / "a.zarr", ECHO), in_memory(true_map())[1])


# Runs that follow on others


LOWER = Thresholds(cells_max_threshold=0.4, cell_fill_threshold=0.2, merge=0.9)


def test_other_thresholds_on_a_kept_map_need_no_network(tmp_path, image_file, network):
    output = tmp_path / "a.zarr"
    finish(image_file, output, network, keep_map=True)
    calls = network.calls()
    with pytest.raises(OutputError, match=r"a.zarr exists and was made in another way.*--overwrite"):
        finish(image_file, output, network, thresholds=LOWER)
    result = finish(image_file, output, network, thresholds=LOWER, overwrite=True, min_size=5)
    check(result, in_memory(true_map(), thresholds=LOWER, min_size=5)[1])
    assert network.calls() == calls
    assert not (tmp_path / "a.zarr.work").exists()  # as it was not asked for again


def test_other_thresholds_after_a_stop_keep_the_map(tmp_path, image_file, network):
    output = tmp_path / "a.zarr"
    stop_after(events(image_file, output, network), "growth", 3)
    check(finish(image_file, output, network, thresholds=LOWER), in_memory(true_map(), thresholds=LOWER)[1])
    assert len(network.calls()) == 2


DIFFERS = {"network": "network", "scale": "scale", "image": "image", "time of the image": "state"}


@pytest.mark.parametrize("what", DIFFERS)
def test_work_on_another_map_is_only_given_up_when_told(tmp_path, image_file, what):
    output, other = tmp_path / "a.zarr", {"image": image_file, "network": ECHO}
    stop_after(events(image_file, output, ECHO), "map", 1)
    if what == "image":
        other["image"] = write_ome_zarr(tmp_path / "b.zarr", true_map(seed=1), "yx")
    elif what == "time of the image":
        os.utime(image_file / "zarr.json", ns=(0, 10**9 * int(time.time() + 100)))
    else:
        other |= {"network": replace(ECHO, name="another")} if what == "network" else {"scale": 0.5}
    image, network = other.pop("image"), other.pop("network")
    before = snapshot(tmp_path / "a.zarr.work")
    with pytest.raises(
        OutputError, match=rf"a.zarr.work holds work that differs in .*{DIFFERS[what]}.*--overwrite"
    ):
        finish(image, output, network, **other)
    assert snapshot(tmp_path / "a.zarr.work") == before
    if what == "image":
        result = finish(image, output, network, overwrite=True, **other)
        check(result, in_memory(true_map(seed=1))[1])


def snapshot(folder):
    """Return the content and the time of every file."""
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_what_is_done_is_left_as_it_is(tmp_path, made):
    before = snapshot(tmp_path)
    (result,) = events(*made, ECHO, **ALL)
    assert result.skipped
    check(result, in_memory(true_map())[1])
    assert [path.name for path in result.beside] == ["a_cells.parquet", "a_polygons.geojson"]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("what", ["image", "formats"])
def test_what_was_made_otherwise_is_not_taken_for_done(tmp_path, made, what):
    image, output = made
    options = dict(ALL)
    if what == "image":
        shutil.rmtree(image)
        size = {"y": 0.5, "x": 0.5}
        write_ome_zarr(image, true_map(seed=2), "yx", version="0.5", scale=size)
    elif what == "formats":
        options["formats"] = ("parquet", "geoparquet")
    with pytest.raises(OutputError, match="exists and was made in another way"):
        finish(image, output, ECHO, **options)
    if what == "image":
        result = finish(image, output, ECHO, overwrite=True, **options)
        check(result, in_memory(true_map(seed=2))[1])
        assert [len(list(folder.glob("part-*"))) for folder in result.beside] == [BLOCKS, BLOCKS]


def test_a_table_that_is_gone_is_made_again(tmp_path, made):
    shutil.rmtree(tmp_path / "a_cells.parquet")
    result = finish(*made, ECHO, **ALL)
    assert not result.skipped
    distance, whole = in_memory(true_map())
    check(result, whole)
    check_table(read_parts(result.beside[0]), stored(result.labels), true_map(), distance, 0.5)


def test_an_output_that_cannot_be_written_is_told(tmp_path, image_file):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        finish(image_file, tmp_path / "file" / "a.zarr", ECHO)


@pytest.mark.parametrize("stage", ["map", "numbers"])
def test_what_was_made_while_a_chunk_changed_is_not_published(tmp_path, image_file, stage):
    output = tmp_path / "a.zarr"
    chunk = next(path for path in image_file.rglob("*") if path.is_file() and "." not in path.name)
    running = events(image_file, output, ECHO)
    for event in running:
        if event.stage == stage and event.done:
            break
    os.utime(chunk, (1, 1))
    with pytest.raises(FileFormatError, match=r"changed while it was read.*begin anew with --overwrite"):
        list(running)
    assert not output.exists()
    with pytest.raises(OutputError, match="differs in state"):
        finish(image_file, output, ECHO)
    check(finish(image_file, output, ECHO, overwrite=True), in_memory(true_map())[1])


def test_a_changed_chunk_makes_what_was_done_another_image(tmp_path, made):
    image, output = made
    os.utime(next(path for path in image.rglob("*") if path.is_file() and "." not in path.name), (1, 1))
    with pytest.raises(OutputError, match="was made in another way"):
        finish(image, output, ECHO, **ALL)
