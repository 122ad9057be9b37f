import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.cli.interrupts import exit_code, explain_stop, stopped_in_order
from dinocell.errors import WorkerError
from dinocell.io.saving import write_image
from dinocell.workers.pool import OrderedPool

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_stops_in_order_and_the_second_at_once(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with stopped_in_order() as caught:
        assert caught == []
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert caught == [number]
        assert [signal.getsignal(each) for each in SIGNALS] == [signal.SIG_DFL] * 2
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_signal_that_is_to_be_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stopped_in_order() as caught:
            signal.raise_signal(signal.SIGTERM)
        assert caught == []
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-v", "segment", "x"], "the same command goes on where it stopped"),
        (["segment-large", "x"], "the same command goes on where it stopped"),
        (["process", "folder", "x"], "the same command goes on where it stopped"),
        (["train"], "the same command with --resume goes on"),
        (["evaluate", "--data", "x"], "the same command starts anew"),
        ([], "the same command starts anew"),
    ],
)
def test_how_to_go_on_is_said(arguments, says):
    assert explain_stop(signal.SIGTERM, arguments).startswith("stopped by SIGTERM: ")
    assert explain_stop(signal.SIGINT, arguments).startswith("stopped by Ctrl-C: ")
    assert says in explain_stop(signal.SIGTERM, arguments)
    assert (exit_code(signal.SIGTERM), exit_code(signal.SIGINT)) == (143, 130)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_batch_that_is_stopped_leaves_nothing_half_written_and_goes_on(number, tmp_path):
    images = tmp_path / "in"
    images.mkdir()
    for n in range(30):
        write_image(images / f"{n:02}.png", np.full((64, 64), n, np.uint8))
    command = [sys.executable, "-u", "-m", "dinocell", "segment", str(images), "-o", str(tmp_path / "out")]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options)
    process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert said.splitlines()[-1].startswith("stopped by ")
    assert "Traceback" not in said
    assert not list((tmp_path / "out").glob(".*"))
    records = {path.name.partition("_")[0] for path in (tmp_path / "out").glob("*_provenance.json")}
    assert 0 < len(records) < 30
    assert {path.name.partition("_")[0] for path in (tmp_path / "out").glob("*_labels.tif")} == records
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert again.stdout.count(".png: skipped, done") == len(records)


def end_itself(number):
    os.kill(os.getpid(), number)


def test_a_process_that_is_ended_is_not_said_to_lack_memory():
    with OrderedPool(1) as pool, pytest.raises(WorkerError, match="ended by SIGTERM"):
        list(pool.map(end_itself, [signal.SIGTERM]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_log_that_nobody_reads_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "log")
    result = CliRunner().invoke(app, ["--log-file", str(tmp_path / "log"), "models"])
    assert result.exit_code == 1
    assert "cannot write log file" in result.output


def test_the_name_of_a_log_is_no_command():
    said = explain_stop(signal.SIGTERM, ["--log-file", "l.txt", "segment", "in", "-o", "out"])
    assert "the same command goes on where it stopped" in said
