import csv
import importlib.util
import os
import runpy
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import typer
from scipy import ndimage
from typer.testing import CliRunner

from dinocell.cli.compare import TABLE_FILE, command
from dinocell.datasets.items import AnnotatedImage
from dinocell.errors import FileFormatError, FileMissingError, InputError, OutputError
from dinocell.evaluation.baselines import script_tool
from dinocell.evaluation.baselines.script_tool import BASELINES, ScriptTool
from dinocell.evaluation.comparison import OwnTool, ToolProgress, ToolResult, compare
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.saving import write_image, write_labels
from dinocell.metrics.scores import evaluate
from dinocell.preprocess.preprocessing import Preprocessing
from tests.cases import disk

# What every stub below begins with: it is written by hand, to hold our end to the protocol alone.
HEAD = """
import json, os, sys, time, pathlib
import numpy as np
job = pathlib.Path(sys.argv[1])
names = json.loads((job / "job.json").read_text())["names"]
options = json.loads((job / "job.json").read_text())["options"]
"""

THRESHOLD = """
from scipy import ndimage
seconds = {}
for number, name in enumerate(names):
    image = np.load(job / f"{name}.npy", allow_pickle=False)
    np.save(job / f"{name}_labels.npy", ndimage.label(image > 100)[0].astype(np.int32))
    seconds[name] = number + 0.5
    print("done", name, flush=True)
(job / "result.json").write_text(json.dumps({
    "package": "stub", "version": "1.2", "model": str(options["model"]), "device": options["device"],
    "load_seconds": 0.25, "seconds": seconds}))
"""


@dataclass(frozen=True)
class InMemory:
    """An annotated image that lies in no file."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray
    preprocessing: Preprocessing | None = None
    files: tuple[Path, ...] = field(default=())
    split_components: bool | None = None

    def read(self):
        return AnnotatedImage(self.pixels, self.labels, preprocessing=self.preprocessing)


def cells(shift=0):
    labels = np.zeros((96, 120), np.int32)
    for number, centre in enumerate([(24, 26), (30, 90), (70, 55)], start=1):
        labels[disk(labels.shape, (centre[0], centre[1] + shift), 12)] = number
    return labels


@pytest.fixture
def items():
    """Images that are slightly off their labels."""
    return [
        InMemory(name, (40 + 130 * (cells(shift) > 0)).astype(np.uint8), cells())
        for name, shift in (("a/b", 0), ("..", 3), ("c", 6))
    ]


@pytest.fixture
def stub(tmp_path):
    def make(body, **options):
        file = tmp_path / "stub.py"
        file.write_text(HEAD + textwrap.dedent(body))
        return ScriptTool("stub", file, **options)

    return make


def result_of(items, tool):
    *progress, result = compare(items, [tool])
    assert all(isinstance(step, ToolProgress) for step in progress)
    assert isinstance(result, ToolResult)
    return result


@pytest.mark.parametrize("split", [None, True, False])
def test_labels_of_a_tool_are_scored_as_they_are_and_a_mask_is_named(items, stub, split):
    """Check that `split_components` is for the annotation: it neither mends nor refuses what a tool gives."""
    items = [replace(item, split_components=split) for item in items]
    mask = THRESHOLD.replace("ndimage.label(image > 100)[0].astype", "(image > 100).astype")
    result = result_of(items, stub(mask))
    assert [image.scores for image in result.images] == [
        evaluate(item.labels, (item.pixels > 100).astype(np.int32)) for item in items
    ]
    assert not any(image.failure for image in result.images)
    assert result.notes[0] == "labels of a/b by stub: 1 id in 3 pieces, taken as one cell"


def test_scores_are_those_of_evaluate(items, stub):
    pipeline = DINOCellPipeline("nano", device="cpu")
    steps = list(
        compare(items, [OwnTool("dinocell", lambda: pipeline), stub(THRESHOLD, device="cpu", model="m")])
    )
    own, other = (step for step in steps if isinstance(step, ToolResult))
    assert [(s.tool, s.done, s.total) for s in steps if isinstance(s, ToolProgress)] == [
        (tool, done, 3) for tool in ("dinocell", "stub") for done in (1, 2, 3)
    ]
    for result in (own, other):
        assert [image.name for image in result.images] == ["a/b", "..", "c"]
        assert not result.reason
        assert not any(image.failure for image in result.images)
    assert [i.scores for i in own.images] == [
        evaluate(i.labels, pipeline.run(i.pixels).labels) for i in items
    ]
    assert [i.scores for i in other.images] == [
        evaluate(i.labels, ndimage.label(i.pixels > 100)[0]) for i in items
    ]
    assert 1 > other.images[1].scores.seg > other.images[2].scores.seg > 0
    assert (own.model, own.device) == ("nano", "cpu")
    assert own.load_seconds >= 0
    assert all(image.seconds > 0 for image in own.images)
    assert (other.version, other.model, other.device, other.load_seconds) == ("1.2", "m", "cpu", 0.25)
    assert [image.seconds for image in other.images] == [0.5, 1.5, 2.5]


def test_what_is_left_after_a_crash_counts_as_missed(items, stub):
    body = """
    print("done", names[0])
    from scipy import ndimage
    np.save(job / f"{names[0]}_labels.npy", ndimage.label(np.load(job / f"{names[0]}.npy") > 100)[0])
    raise RuntimeError("\\x1b[31mthe network\\n fell over")
    """
    result = result_of(items, stub(body))
    assert "exit code 1: fell over" in result.reason
    assert [bool(image.failure) for image in result.images] == [False, True, True]
    assert result.images[0].scores.counts.predicted_cells == 3
    for image in result.images[1:]:
        assert image.failure == result.reason
        assert image.scores == evaluate(cells(), np.zeros_like(cells()))
        assert (image.scores.seg, image.scores.counts.missed) == (0, 3)
        assert np.isnan(image.seconds)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("np.zeros((5, 5), np.int32)", "shape (5, 5), expected that of the image, (96, 120)"),
        ("np.zeros((96, 120, 1), np.int32)", "shape (96, 120, 1)"),
        ("np.zeros((96, 120), np.float32)", "float32"),
        ("np.full((96, 120), -1)", "ids from -1"),
        ("np.full((96, 120), 2**40)", "1099511627776"),
        ("np.array([{}])", "Python objects"),
        ("b'no array'", "pickled"),
        ("b''", "labels cannot be used"),
        ("b'\\x93NUMPY\\x01\\x00v\\x00'", "labels cannot be used"),
    ],
)
def test_labels_that_are_none_are_refused_with_the_reason(items, stub, labels, message):
    body = f"""
    wrong = {labels}
    for name in names[:2]:
        np.save(job / f"{{name}}_labels.npy", np.ones((96, 120), np.uint8))
    if isinstance(wrong, bytes):
        (job / f"{{names[0]}}_labels.npy").write_bytes(wrong)
    else:
        np.save(job / f"{{names[0]}}_labels.npy", wrong, allow_pickle=True)
    """
    result = result_of(items, stub(body))
    assert message in result.images[0].failure
    assert result.images[0].scores.counts.missed == 3
    assert [image.failure for image in result.images[1:]] == ["", "it wrote no labels"]


def test_a_header_that_claims_a_huge_array_reads_none_of_it(tmp_path):
    with (tmp_path / "x_labels.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<i4", "fortran_order": False, "shape": (10**7, 10**7)}
        )
    with pytest.raises(FileFormatError, match="labels cannot be used"):
        script_tool.read_tool_labels(tmp_path, "x", (96, 120))


def test_a_tool_that_fails_on_every_image_was_not_run(items, stub):
    body = """
    report = {"failed": {name: "out of memory" for name in names}, "device": "cuda"}
    (job / "result.json").write_text(json.dumps(report))
    """
    result = result_of(items, stub(body))
    assert result.images == ()
    assert result.reason == "it failed on every image, first a/b: out of memory"
    assert "wrote no labels" in result_of(items, stub("pass")).reason


def test_garbage_is_harmless_and_named(items, stub):
    body = """
    sys.stdout.buffer.write(b"\\xff\\xfe" * 100000 + b"\\ndone\\ndone nobody\\ndone done done\\n")
    for name in names:
        np.save(job / f"{name}_labels.npy", np.ones((96, 120), np.int64))
        print(f"done {name}\\ndone {name}")
    (job / "result.json").write_text('{"load_seconds": -1, "seconds": {"\\\\u001b[0m": 1}}')
    """
    steps = list(compare(items, [stub(body)]))
    result = steps.pop()
    assert [step.done for step in steps] == [1, 2, 3]
    assert "result.json is not as expected (load_seconds" in result.reason
    assert result.images[0].scores == evaluate(cells(), np.ones_like(cells()))
    assert all(np.isnan(image.seconds) for image in result.images)
    for content in (b"", b"\xff\xfe", b"[]", b'{"second": 1}', b'{"seconds": {"a": Infinity}}'):
        broken = f"(job / 'result.json').write_bytes({content!r})"
        assert "result.json is not as expected" in result_of(items, stub(broken)).reason


def test_a_tool_that_hangs_is_stopped(items, stub):
    result = result_of(items, stub("print('done nobody', flush=True); time.sleep(3600)", timeout=0.5))
    assert result.images == ()
    assert result.reason == "it was stopped: no image was done within 0.5 s (--timeout)"


def wait_until(happened):
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(process):
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_closing_ends_the_tool_and_what_it_started_and_leaves_no_file(items, stub, tmp_path):
    body = """
    import subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    pathlib.Path(options["model"]).write_text(f"{os.getpid()} {child.pid} {job}")
    print("done", names[0], flush=True)
    time.sleep(3600)
    """
    steps = compare(items, [stub(body, model=str(tmp_path / "pids"))])
    assert next(steps) == ToolProgress("stub", 1, 3)
    *processes, job = (tmp_path / "pids").read_text().split()
    assert all(map(running, processes))
    steps.close()
    wait_until(lambda: not any(map(running, processes)))
    assert not Path(job).exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_a_tool_ends_when_dinocell_is_killed(folders, fakes, tmp_path, monkeypatch):
    fakes("cellpose")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody is left to remove the images
    hang = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    (tmp_path / "packages/cellpose/models.py").write_text(hang)
    command = "from tests.evaluation.test_compare import app; app()"
    options = ["--data", folders[0], "-o", tmp_path, "--tools", "cellpose"]
    parent = subprocess.Popen([sys.executable, "-c", command, *map(str, options)])
    wait_until(lambda: parent.poll() is not None or (tmp_path / "pid").exists())
    wait_until(lambda: (tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    wait_until(lambda: not running((tmp_path / "pid").read_text()))


def test_a_tool_sees_no_labels_and_none_of_the_names(items, stub, tmp_path):
    body = """
    files = sorted(p.name for p in job.iterdir())
    pathlib.Path(options["model"]).write_text(json.dumps([files, names]))
    """
    seen = tmp_path / "seen"
    seen.touch()
    result_of(items, stub(body, model=str(seen)))
    names = '["00000", "00001", "00002"]'
    assert seen.read_text() == (
        f'[["00000.npy", "00001.npy", "00002.npy", "job.json", "stderr.txt"], {names}]'
    )


def test_a_program_that_is_killed_or_cannot_start_says_so(items, stub, tmp_path):
    killed = result_of(items, stub("os.kill(os.getpid(), 9)"))
    assert killed.reason == "it was killed by SIGKILL, perhaps for lack of memory"
    program = tmp_path / "python"
    program.write_bytes(b"\x7fELF no program")
    program.chmod(0o755)
    assert "cannot be started" in result_of(items, stub("pass", python=str(program))).reason


@pytest.mark.parametrize(
    ("tool", "module", "package"),
    [
        ("cellpose", "cellpose", "cellpose"),
        ("stardist", "tensorflow", "stardist tensorflow"),
        ("samcell", "samcell", "samcell"),
    ],
)
def test_a_missing_package_is_named_with_what_to_do(items, tool, module, package):
    if importlib.util.find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    result = result_of(items, ScriptTool(tool, BASELINES[tool]))
    assert result.images == ()
    assert f"package '{module}' is not installed for {sys.executable}" in result.reason
    assert f"pip install {package}`, then add --python {tool}=" in result.reason


def test_an_environment_without_numpy_is_named(items, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    folder = "Scripts" if sys.platform == "win32" else "bin"
    python = str(tmp_path / "env" / folder / "python")
    result = result_of(items, ScriptTool("cellpose", BASELINES["cellpose"], python=python))
    assert f"package 'numpy' is not installed for {python}" in result.reason


# Packages with the names and calls of the real ones, to run the scripts that come with DINOCell.
FAKES = {
    "cellpose": (
        "4.2",
        {
            "cellpose/__init__.py": "",
            "cellpose/models.py": """
                import urllib.error
                from scipy import ndimage
                class CellposeModel:
                    def __init__(self, gpu=False, pretrained_model="cpsam_v2"):
                        if pretrained_model == "away":
                            raise urllib.error.URLError("offline")
                        name = pretrained_model if pretrained_model == "cpdino" else "cpsam_v2"
                        self.pretrained_model = "/home/.cellpose/" + name
                        self.device = "cuda:0" if gpu else "cpu"
                        print("done 00000", end="")
                    def eval(self, x, channel_axis=None):
                        assert (channel_axis is None) == (x.ndim == 2), "channels"
                        gray = x if x.ndim == 2 else x[:, :, 0]
                        return ndimage.label((gray > gray.max() / 2).squeeze())[0].astype("uint16"), [], []
            """,
        },
    ),
    "stardist": (
        "0.9",
        {
            "tensorflow/__init__.py": """
                class config:
                    hidden = False
                    @classmethod
                    def set_visible_devices(cls, devices, kind):
                        cls.hidden = True
                    @classmethod
                    def get_visible_devices(cls, kind):
                        return [] if cls.hidden else [0]
            """,
            "csbdeep/__init__.py": "",
            "csbdeep/utils.py": """
                def normalize(x, pmin, pmax, axis):
                    assert (pmin, pmax, axis) == (1, 99.8, (0, 1))
                    return x
            """,
            "stardist/__init__.py": "",
            "stardist/models.py": """
                from scipy import ndimage
                class StarDist2D:
                    def __init__(self, config, name, basedir):
                        self.config = type("Config", (), {"n_channel_in": 3 if name.endswith("he") else 1})
                    @classmethod
                    def from_pretrained(cls, name):
                        if name == "away":
                            raise Exception("URL fetch failure")
                        return cls(None, name, ".") if name.startswith("2D_versatile") else None
                    def predict_instances(self, x):
                        assert x.ndim == (3 if self.config.n_channel_in == 3 else 2)
                        gray = x.reshape(*x.shape[:2], -1)[:, :, 0]
                        return ndimage.label(gray > gray.max() / 2)[0].astype("int32"), {}
            """,
        },
    ),
    "samcell": (
        "1.2.0",
        {
            "samcell/__init__.py": """
                import logging, numpy
                from scipy import ndimage
                class FinetunedSAM:
                    def __init__(self, name):
                        assert name == "facebook/sam-vit-base"
                    def load_weights(self, path, map_location):
                        open(path).close()
                class SAMCellPipeline:
                    def __init__(self, model, device):
                        pass
                    def run(self, image):
                        assert image.ndim == 2 and image.dtype == "uint8"
                        if image.max() == image.min():
                            logging.getLogger("samcell.pipeline").error("Error in run: flat image")
                            return numpy.zeros(image.shape, "int32")
                        return ndimage.label(image > 100)[0].astype("int32")
            """,
            "torch/__init__.py": "class cuda:\n    is_available = staticmethod(lambda: True)",
        },
    ),
}


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    def install(tool, version=None):
        folder = tmp_path / "packages"
        for name, text in FAKES[tool][1].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(textwrap.dedent(text))
        version = version or FAKES[tool][0]
        info = folder / f"{tool}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {tool}\nVersion: {version}\n")
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return install


def shapes():
    """List the same cells as gray, 16-bit, RGB, RGBA and one pixel wide."""
    gray = (40 + 130 * (cells() > 0)).astype(np.uint8)
    images = [
        gray,
        gray.astype(np.uint16) * 200,
        np.dstack([gray] * 3),
        np.dstack([gray] * 4),
        gray[:, 55:56],
    ]
    return [InMemory(f"{n}", image, cells()[:, : image.shape[1]]) for n, image in enumerate(images)]


@pytest.mark.parametrize(
    ("tool", "device", "model", "expected"),
    [
        ("cellpose", "auto", None, ("4.2", "cpsam_v2", "cuda:0")),
        ("cellpose", "cpu", "cpdino", ("4.2", "cpdino", "cpu")),
        ("stardist", "auto", None, ("0.9", "2D_versatile_fluo", "gpu")),
        ("stardist", "cpu", "2D_versatile_he", ("0.9", "2D_versatile_he", "cpu")),
        ("stardist", "cpu", "folder", ("0.9", "folder", "cpu")),
        ("samcell", "auto", "generalist.pt", ("1.2.0", "generalist", "cuda")),
        ("samcell", "cpu", "generalist.pt", ("1.2.0", "generalist", "cpu")),
    ],
)
def test_each_script_runs_its_tool_on_every_kind_of_image(
    fakes, tmp_path, monkeypatch, tool, device, model, expected
):
    fakes(tool)
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("generalist.pt").touch()
    result = result_of(shapes(), ScriptTool(tool, BASELINES[tool], device=device, model=model))
    assert not result.reason
    assert (result.version, result.model, result.device) == expected
    assert result.load_seconds >= 0
    failures = [image.failure for image in result.images]
    assert not any(failures), failures
    for image in result.images[:4]:
        assert image.scores.counts.predicted_cells == 3
        assert image.scores.counts.union_pixels == (cells() > 0).sum()
        assert image.seconds >= 0


@pytest.mark.parametrize(
    ("tool", "model", "message"),
    [
        ("cellpose", "away", "offline"),
        ("cellpose", "typo", "no model 'typo', it would take 'cpsam_v2' instead"),
        ("stardist", "away", "URL fetch failure"),
        ("stardist", "typo", "no pretrained model 'typo'"),
        ("samcell", None, "no weights are given: download https://"),
        ("samcell", "none.pt", "No such file"),
    ],
)
def test_weights_that_are_not_there_are_named_with_what_to_do(items, fakes, tool, model, message):
    fakes(tool)
    result = result_of(items, ScriptTool(tool, BASELINES[tool], model=model))
    assert result.images == ()
    assert message in result.reason
    assert f"--tool-model {tool}=" in result.reason or "check none.pt" in result.reason


def test_an_old_cellpose_and_a_broken_package_are_refused(items, fakes, tmp_path):
    fakes("cellpose", version="3.1")
    assert (
        "cellpose 3.1 is installed, expected 4 or newer"
        in result_of(items, ScriptTool("cellpose", BASELINES["cellpose"])).reason
    )
    (tmp_path / "packages/cellpose/models.py").write_text("raise OSError('libcudart.so: not found')")
    reason = result_of(items, ScriptTool("cellpose", BASELINES["cellpose"])).reason
    assert "cellpose.models cannot be imported by" in reason
    assert "OSError: libcudart.so: not found" in reason


def test_an_error_that_samcell_swallows_is_a_failure(items, fakes, tmp_path):
    fakes("samcell")
    (tmp_path / "w.pt").touch()
    flat = InMemory("flat", np.full((96, 120), 9, np.uint8), cells())
    channels = InMemory("channels", np.zeros((96, 120, 5), np.uint8), cells())
    tool = ScriptTool("samcell", BASELINES["samcell"], model=str(tmp_path / "w.pt"))
    result = result_of([items[0], flat, channels], tool)
    assert [image.failure for image in result.images] == [
        "",
        "RuntimeError: Error in run: flat image",
        "ValueError: the image has 5 channels, expected gray, RGB or RGBA",
    ]


def test_what_cannot_be_compared_is_refused(items, stub, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="items is empty"):
        next(compare([], []))
    with pytest.raises(InputError, match="tools is empty"):
        next(compare(items, []))
    processed = InMemory("p", items[0].pixels, items[0].labels, Preprocessing())
    for tool in (OwnTool("dinocell", lambda: DINOCellPipeline("nano", device="cpu")), stub("pass")):
        with pytest.raises(InputError, match="p holds preprocessed pixels"):
            list(compare([processed], [tool]))
    with pytest.raises(FileMissingError, match="no script"):
        ScriptTool("x", tmp_path / "none.py")
    with pytest.raises(FileMissingError, match="cannot be executed"):
        stub("pass", python=str(tmp_path / "none"))
    with pytest.raises(InputError, match="timeout is 0"):
        stub("pass", timeout=0)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OutputError, match=r"No space left on device.*TMPDIR"):
        list(compare(items, [stub("pass")]))


def test_an_image_that_dinocell_refuses_counts_as_missed(items):
    channels = InMemory("channels", np.zeros((96, 120, 5), np.uint8), cells())
    own = OwnTool("dinocell", lambda: DINOCellPipeline("nano", device="cpu"))
    result = result_of([items[0], channels], own)
    assert "5 channels" in result.images[1].failure
    assert (result.images[0].failure, result.images[1].scores.counts.missed) == ("", 3)
    assert result_of([channels], own).images == ()


app = typer.Typer()
app.command()(command)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folders(tmp_path):
    for folder, names in (("one", ("a", "b")), ("two", ("c",))):
        (tmp_path / folder).mkdir()
        for name in names:
            write_image(tmp_path / folder / f"{name}_img.png", (40 + 130 * (cells() > 0)).astype(np.uint8))
            write_labels(tmp_path / folder / f"{name}_masks.tif", cells())
    return tmp_path / "one", tmp_path / "two"


def read_table(folder):
    with (folder / TABLE_FILE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_writes_a_row_a_tool_and_dataset(folders, stub, tmp_path):
    one, two = folders
    tool = stub(THRESHOLD)
    empty = tmp_path / "python"
    empty.write_text("#!/bin/sh\necho error: package x is missing >&2\nexit 3\n")
    empty.chmod(0o755)
    result = run(
        "--data", one, "--data", two, "-o", tmp_path / "out", "--device", "cpu",
        "--tools", "dinocell,cellpose", "--tool", f"[mine]={tool.script}", "--python", f"cellpose={empty}",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "no threshold was tuned here" in result.output
    assert "not run: package x is missing" in result.output
    rows = read_table(tmp_path / "out")
    assert [(row["dataset"], row["tool"], row["images"]) for row in rows] == [
        (str(one), "dinocell", "2"), (str(two), "dinocell", "1"),
        (str(one), "cellpose", "0"), (str(two), "cellpose", "0"),
        (str(one), "[mine]", "2"), (str(two), "[mine]", "1"),
    ]  # fmt: skip
    mine = rows[4:]
    for row in mine:
        scores = [row[name] for name in ("seg", "det", "op_csb", "ap50", "ap75", "f1", "pq", "mma")]
        assert scores == ["1"] * 8
        assert (row["note"], row["failed"], row["load_seconds"], row["device"]) == ("", "0", "0.25", "cpu")
    assert [(row["cells"], row["seconds_median"], row["seconds_total"]) for row in mine] == [
        ("6", "1", "2"), ("3", "2.5", "2.5"),
    ]  # fmt: skip
    assert rows[2]["note"] == "not run: package x is missing"
    assert {rows[2][name] for name in ("seg", "cells", "seconds_median", "load_seconds")} == {""}
    assert float(rows[0]["seg"]) > 0


def test_failed_images_are_noted_and_fail_the_command(folders, stub, tmp_path):
    body = "np.save(job / f'{names[0]}_labels.npy', np.ones((96, 120), np.int32)); sys.exit('no more')"
    arguments = ("--data", folders[0], "-o", tmp_path, "--tools", "")
    result = run(*arguments, "--tool", f"mine={stub(body).script}")
    assert result.exit_code == 1
    row = read_table(tmp_path)[0]
    note = "1 of 2 images failed and count as missed, first b: it ended with exit code 1: no more"
    assert (row["note"], row["failed"], row["cells"]) == (note, "1", "6")
    result = run(*arguments, "--tool", f"mine={stub('pass').script}")  # no tool ran at all
    assert result.exit_code == 1
    assert "not run: it failed on every image" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tools", "dinocell,micro-sam"], "--tools is 'dinocell,micro-sam', expected each once of"),
        (["--tools", "stardist,stardist"], "each once"),
        (["--python", "cellpose"], "--python is 'cellpose', expected NAME="),
        (
            ["--python", "stardist=x", "--tools", "cellpose"],
            "--python names 'stardist', expected one of cellpose",
        ),
        (["--tool-model", "dinocell=x"], "--tool-model names 'dinocell'"),
        (["--python", "cellpose=/none/python"], "/none/python cannot be executed"),
        (["--tool", "mine=/none.py"], "no script /none.py"),
        (["--tool", "samcell=x.py"], "has the name of a tool that DINOCell knows"),
        (["--timeout", "0"], "timeout is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_any_work(folders, tmp_path, options, message):
    result = run("--data", folders[0], "-o", tmp_path / "out", *options)
    assert isinstance(result.exception, InputError | FileMissingError)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_made_is_refused(folders, tmp_path):
    (tmp_path / "file").touch()
    result = run("--data", folders[0], "-o", tmp_path / "file" / "out")
    assert isinstance(result.exception, OutputError)


@pytest.mark.slow
def test_the_example_says_what_is_missing(folders, monkeypatch, capsys, fakes, tmp_path):
    fakes("samcell")
    example = Path(__file__).parents[2] / "examples" / "compare_with_samcell.py"
    monkeypatch.setattr(sys, "argv", [str(example), "--data", str(folders[1])])
    runpy.run_path(str(example), run_name="__main__")
    ours, theirs = capsys.readouterr().out.splitlines()
    assert ours.startswith("DINOCell ")
    assert "OP_CSB" in ours
    assert "samcell was not run: no weights are given" in theirs
    (tmp_path / "w.pt").touch()
    sys.argv += ["--samcell-weights", str(tmp_path / "w.pt"), "--samcell-python", os.fspath(sys.executable)]
    runpy.run_path(str(example), run_name="__main__")
    assert "samcell 1.2.0 (w, cuda): SEG 1.000" in capsys.readouterr().out
