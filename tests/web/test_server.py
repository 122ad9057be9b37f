"""A real server: what it finds equals what the command line finds, and edits do what they say."""

import csv
import io
import signal
import zipfile

import numpy as np
import pytest
import tifffile

import dinocell
from dinocell.editing import read_journal
from dinocell.io.provenance import read_provenance
from dinocell.web.reading.conversion import TILE
from tests.web.servers import SAMPLES, running
from tests.web.test_tiles import decoded

pytestmark = pytest.mark.slow


def labels_of(client, result):
    return tifffile.imread(io.BytesIO(client.download(result, "tif")))


def shown_labels(client, result):
    """Return the labels as a page puts them together from tiles of the finest level."""
    levels = client.get(f"/images/{result['image']}")["levels"]
    rows = []
    for y in range(-(-result["height"] // TILE)):
        tiles = [
            client.http.get(f"/results/{result['id']}/labels/{levels - 1}/{x}/{y}.png").content
            for x in range(-(-result["width"] // TILE))
        ]
        rows.append(np.hstack([decoded(tile).astype(int) @ (65536, 256, 1) for tile in tiles]))
    return np.vstack(rows)


@pytest.fixture
def result(client):
    return client.segment(SAMPLES[0])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_labels_table_and_count_are_those_of_the_command_line(client, tmp_path, sample):
    found = client.segment(sample)
    expected = dinocell.segment(sample)
    assert found["count"] == expected.count
    np.testing.assert_array_equal(labels_of(client, found), expected.labels)
    np.testing.assert_array_equal(shown_labels(client, found), expected.labels)
    (table,) = expected.save(tmp_path, formats=["csv"])
    assert client.download(found, "csv") == table.read_bytes()


def test_every_format_is_fetched_and_read_back(client, result):
    for each in result["formats"]:
        content = client.download(result, each["name"])
        assert content, each
    assert len(list(csv.DictReader(io.StringIO(client.download(result, "csv").decode())))) == result["count"]
    assert zipfile.ZipFile(io.BytesIO(client.download(result, "rois"))).testzip() is None


def test_sliders_flood_again_and_give_what_a_new_run_gives(client, tmp_path):
    path = next(each for each in SAMPLES if each.stem == "phase_1_img")  # of which a speck is removed
    result = client.segment(path)
    assert "1 object under 394 px removed" in result["warnings"]
    changed = client.post(f"/results/{result['id']}/thresholds", {"cells_max_threshold": 0.8, "merge": 0.9})
    expected = dinocell.segment(path, cells_max=0.8, merge=0.9, target=result["target"])
    assert changed["count"] == expected.count != result["count"]
    assert changed["version"] > result["version"]
    np.testing.assert_array_equal(labels_of(client, changed), expected.labels)
    assert not any("removed" in words for words in changed["warnings"])
    (tmp_path / "labels.tif").write_bytes(client.download(changed, "tif"))
    recorded = expected.parameters.recorded()
    made = read_provenance(tmp_path / "labels.tif")
    assert [made[key] for key in ("thresholds", "removed", "min_size_found")] == [
        recorded[key] for key in ("thresholds", "removed", "min_size_found")
    ]
    back = client.post(f"/results/{result['id']}/thresholds", changed["own_thresholds"])
    assert (back["count"], back["warnings"]) == (result["count"], result["warnings"])


def test_edits_are_those_of_the_editor_and_replay_on_the_command_line(client, result, tmp_path):
    before = labels_of(client, result)
    editor = dinocell.LabelEditor(before)
    cells = client.get(f"/results/{result['id']}/cells")["columns"]
    first, second = cells["id"][:2]
    assert client.post(f"/results/{result['id']}/edits", {"edit": "merge", "ids": [first, second]})["ids"]
    editor.merge([first, second])
    third = cells["id"][2]
    outcome = client.post(f"/results/{result['id']}/edits", {"edit": "delete", "ids": [third]})
    editor.delete([third])
    rows, columns = np.nonzero(before == third)
    assert outcome["box"] == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    painted = client.post(
        f"/results/{result['id']}/edits", {"edit": "paint", "id": None, "mask": [[0, 0, 9]]}
    )
    mask = np.zeros(before.shape, bool)
    mask[0, :9] = True
    assert tuple(painted["ids"]) == editor.paint(mask).ids
    np.testing.assert_array_equal(shown_labels(client, painted["result"]), editor.labels)
    np.testing.assert_array_equal(labels_of(client, painted["result"]), editor.exported())

    (tmp_path / "a_labels.tif").write_bytes(client.download(result, "tif"))
    edits = read_provenance(tmp_path / "a_labels.tif")["edits"]
    assert {name: edits[name] for name in ("merge", "delete", "paint")} == {
        "merge": 1,
        "delete": 1,
        "paint": 1,
    }
    undone = client.post(f"/results/{result['id']}/undo")
    assert undone["result"]["can_redo"]
    assert undone["result"]["edits"] == 2
    assert undone["ids"] == []  # the cell that was painted is gone again
    again = client.post(f"/results/{result['id']}/redo")
    np.testing.assert_array_equal(shown_labels(client, again["result"]), editor.labels)
    (tmp_path / "edits.jsonl").write_bytes(client.download(result, "edits"))
    replayed = dinocell.LabelEditor(before)
    replayed.replay(read_journal(tmp_path / "edits.jsonl"))
    np.testing.assert_array_equal(replayed.labels, editor.labels)


def test_a_new_cell_gets_the_next_id_and_no_other(client, result):
    asked = {"edit": "paint", "id": 2**31 - 1, "mask": [[0, 0, 1]]}
    refused = client.http.post(f"/results/{result['id']}/edits", json=asked)
    assert refused.status_code == 400
    assert f"or {result['count'] + 1} for a new one" in refused.json()["message"]
    made = client.post(f"/results/{result['id']}/edits", {**asked, "id": result["count"] + 1})
    assert made["ids"] == [result["count"] + 1]


def test_edits_are_not_lost_by_a_slider(client, result):
    client.post(f"/results/{result['id']}/edits", {"edit": "paint", "id": 0, "mask": [[5, 5, 5]]})
    refused = client.http.post(f"/results/{result['id']}/thresholds", json={"merge": 0.2})
    assert refused.status_code == 409
    assert "1 edit would be lost" in refused.json()["message"]
    assert client.post(f"/results/{result['id']}/thresholds", {"merge": 0.2, "discard": True})["edits"] == 0


def test_an_outline_encloses_the_pixels_of_its_cell(client, result):
    cells = client.get(f"/results/{result['id']}/cells")["columns"]
    outline = client.get(f"/results/{result['id']}/cells/{cells['id'][0]}")
    area = sum(shoelace(ring) for part in outline["parts"] for ring in part)
    assert abs(area) == cells["area"][0]
    gone = client.http.get(f"/results/{result['id']}/cells/999999")
    assert gone.status_code == 404


def shoelace(ring):
    y, x = np.array(ring).T
    return (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_block_by_block_finds_the_cells_that_memory_finds(client):
    pytest.importorskip("zarr")
    whole = client.segment(SAMPLES[0])
    job = client.run("segment-large", image=whole["image"])
    blocks = client.get(f"/results/{job['result']}")
    assert blocks["count"] == whole["count"]
    assert not blocks["editable"]
    one, other = shown_labels(client, whole), shown_labels(client, blocks)
    np.testing.assert_array_equal(one > 0, other > 0)
    pairs = np.unique(np.stack([one[one > 0], other[one > 0]]), axis=1)
    assert pairs.shape[1] == whole["count"]  # the same cells, numbered otherwise
    refused = client.http.post(f"/results/{blocks['id']}/undo")
    assert refused.status_code == 409
    assert zipfile.ZipFile(io.BytesIO(client.download(blocks, "zarr"))).testzip() is None
    assert len(client.get(f"/results/{blocks['id']}/cells")["columns"]["id"]) == whole["count"]


def test_a_scheduler_gets_the_blocks_of_a_large_image(tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    with cluster, running(tmp_path, "--scheduler", cluster.scheduler_address) as (_, client):
        image = client.upload(SAMPLES[0])
        here = client.run("segment", image=image["id"])
        there = client.run("segment-large", image=image["id"])
        counts = [client.get(f"/results/{job['result']}")["count"] for job in (here, there)]
        assert counts[0] == counts[1] > 0


def test_labels_of_another_tool_are_measured(client, tmp_path):
    masks = SAMPLES[0].with_name(SAMPLES[0].name.replace("_img", "_masks"))
    image, labels = client.upload(SAMPLES[0]), client.upload(masks)
    job = client.run("measure", image=image["id"], labels=labels["id"])
    found = client.get(f"/results/{job['result']}")
    true = dinocell.read_labels(masks)
    assert found["count"] == np.unique(true[true > 0]).size
    expected = dinocell.measure_cells(true, dinocell.read_image(SAMPLES[0]).pixels)
    assert client.get(f"/results/{found['id']}/cells")["columns"]["area"] == expected["area"].tolist()
    assert not found["adjustable"]
    refused = client.http.post(
        "/jobs", json={"kind": "measure", "image": client.upload(SAMPLES[2])["id"], "labels": labels["id"]}
    )
    assert "choose the labels of that image" in refused.json()["message"]


def test_planes_of_a_file_are_images_of_their_own_until_the_last_one_goes(client, tmp_path):
    path = tmp_path / "stack.ome.tif"
    stack = np.arange(2 * 3)[:, None, None] * np.ones((60, 70), int)
    tifffile.imwrite(path, stack.reshape(2, 3, 60, 70).astype(np.uint8), ome=True, metadata={"axes": "TZYX"})
    first = client.upload(path)
    other = client.post(f"/images/{first['id']}/planes", {"time": 1, "z": 2})
    assert (first["place"]["z"], other["place"]) == (1, {"scene": 0, "time": 1, "z": 2})
    assert other["channels"][0]["least"] == 5
    job = client.run("segment", image=other["id"])
    answer = client.http.get(f"/results/{job['result']}.csv")
    assert 'filename="stack_t0001_z002_cells.csv"' in answer.headers["content-disposition"]
    assert client.http.delete(f"/images/{first['id']}").status_code == 204
    third = client.post(f"/images/{other['id']}/planes", {"z": 0})
    assert third["place"] == {"scene": 0, "time": 1, "z": 0}
    for image in (other, third):
        assert client.http.delete(f"/images/{image['id']}").status_code == 204
    left = {each.name for each in (client.data / "images").iterdir()}
    assert not left & {first["id"], other["id"], third["id"]}


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(client, tmp_path):
    path = tmp_path / "wide.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (3000, 3000), np.uint8))
    image = client.upload(path)
    running_job, waiting_job = (client.start("segment", image=image["id"]) for _ in range(2))
    client.wait(running_job, until=["running"])
    for job in (waiting_job, running_job):
        assert client.http.delete(f"/jobs/{job['id']}").status_code == 202
    for job in (waiting_job, running_job):
        assert client.wait(job)["state"] == "cancelled"
    over = client.http.delete(f"/jobs/{running_job['id']}")
    assert over.status_code == 409
    assert client.segment(SAMPLES[0])["count"] > 0  # the worker goes on
    again = client.post(f"/jobs/{waiting_job['id']}/continue")
    assert again["state"] == "queued"
    client.wait(again, until=["running"])
    client.http.delete(f"/jobs/{again['id']}")
    assert client.wait(again, until=["cancelled"])
    assert client.http.delete(f"/images/{image['id']}").status_code == 204
    assert client.http.get(f"/images/{image['id']}").status_code == 404


def test_after_a_kill_edits_are_there_and_the_job_is_continued(tmp_path):
    path = tmp_path / "wide.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (3000, 3000), np.uint8))
    with running(tmp_path / "data") as (process, client):
        result = client.segment(SAMPLES[0])
        edited = client.post(
            f"/results/{result['id']}/edits", {"edit": "paint", "id": 0, "mask": [[9, 0, 99]]}
        )
        before = shown_labels(client, edited["result"])
        image = client.upload(path)
        job, later = (client.start("segment", image=image["id"]) for _ in range(2))
        client.wait(job, until=["running"])
        process.send_signal(signal.SIGKILL)
        process.wait()
    with running(tmp_path / "data") as (_, client):
        assert client.get(f"/jobs/{job['id']}")["state"] == "interrupted"
        assert client.get(f"/jobs/{later['id']}")["state"] in ("queued", "running")
        kept = client.get(f"/results/{result['id']}")
        assert (kept["edits"], kept["version"]) == (1, edited["result"]["version"])
        np.testing.assert_array_equal(shown_labels(client, kept), before)
        assert client.post(f"/results/{result['id']}/undo")["result"]["edits"] == 0
        client.http.delete(f"/jobs/{later['id']}")
        assert client.post(f"/jobs/{job['id']}/continue")["state"] == "queued"
        assert client.wait(job, until=["running"])


def test_an_edit_that_a_kill_cut_off_from_its_record_is_found_again(tmp_path):
    with running(tmp_path) as (process, client):
        result = client.segment(SAMPLES[0])
        process.send_signal(signal.SIGKILL)
        process.wait()
    folder = tmp_path / "results" / result["id"]
    editor = dinocell.LabelEditor(np.load(folder / "labels.npy"), journal=folder / "edits.jsonl")
    editor.delete([1])  # what the server writes first
    with running(tmp_path) as (_, client):
        assert client.get(f"/results/{result['id']}/cells")["columns"]["id"][0] == 2
        found = client.get(f"/results/{result['id']}")
        assert (found["edits"], found["count"]) == (1, result["count"] - 1)
        assert found["version"] > result["version"]


def test_events_go_on_where_they_stopped(client):
    job = client.run("segment", image=client.upload(SAMPLES[0])["id"])
    numbers = []
    with client.http.stream("GET", "/jobs/events", headers={"Last-Event-ID": "0"}) as stream:
        for line in stream.iter_lines():
            if line.startswith("id:"):
                numbers.append(int(line[3:]))
            if job["id"] in line:
                break
    assert numbers == sorted(set(numbers))
    other = client.start("segment", image=job["image"])
    with client.http.stream("GET", "/jobs/events", headers={"Last-Event-ID": str(numbers[-1])}) as stream:
        first = next(line for line in stream.iter_lines() if line.startswith("data:"))
    assert other["id"] in first
    client.wait(other)


def test_a_quiet_stream_is_kept_open_by_pings(client):
    with client.http.stream("GET", "/jobs/events") as stream:
        lines = (line for line in stream.iter_lines() if line)
        assert next(lines) == ": hello"
        assert next(lines) == ": ping"


def test_a_model_is_adapted_to_what_was_corrected(client):
    pytest.importorskip("accelerate")
    result = client.segment(SAMPLES[0])
    refused = client.http.post("/jobs", json={"kind": "fine-tune", "results": [result["id"]]})
    assert "no cell of" in refused.json()["message"]
    client.post(f"/results/{result['id']}/checked", {"cells": [], "all": True})
    job = client.run("fine-tune", results=[result["id"]], settings={"name": "mine", "steps": 3})
    assert [point["step"] for point in job["curve"]][-1] == 3
    assert job["learned"]["model"] == "mine"
    assert 0 <= job["learned"]["before"] <= 1
    assert [each["name"] for each in client.get("/models")["models"] if each["own"]] == ["mine"]
    assert client.segment(SAMPLES[0], model="mine")["model"] == "mine"
    taken = client.http.post(
        "/jobs", json={"kind": "fine-tune", "results": [result["id"]], "settings": {"name": "mine"}}
    )
    assert taken.status_code == 409


def test_a_second_server_on_the_same_folder_says_so_in_one_line(tmp_path):
    with (
        running(tmp_path),
        pytest.raises(AssertionError, match="is served by another process"),
        running(tmp_path),
    ):
        pass
