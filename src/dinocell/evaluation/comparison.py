"""Comparison of DINOCell with other tools: the same images, the same metrics, wall times.

Another tool runs as a script in the Python of its own environment. It gets the images, but no true labels.
Every tool loads its model once, and loading is timed apart from the images. Imports, reading, writing and
scoring are not timed.
"""

import math
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinocell.datasets.items import AnnotatedImage, Item
from dinocell.datasets.masks import check_masks
from dinocell.errors import DINOCellError, FileFormatError, InputError, OutputError
from dinocell.evaluation.baselines.script_tool import (
    ScriptReport,
    ScriptTool,
    read_report,
    read_tool_labels,
    run_script,
    to_one_line,
    write_job,
)
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.metrics.scores import Scores, score_labels
from dinocell.version import __version__


@dataclass(frozen=True)
class OwnTool:
    """DINOCell itself, which runs in this process.

    Attributes
    ----------
    name : str
    load : callable
        Loads the pipeline; its time is the load time.
    """

    name: str
    load: Callable[[], DINOCellPipeline]


@dataclass(frozen=True)
class ToolProgress:
    """Progress of a tool: the number of images that it has segmented."""

    tool: str
    done: int
    total: int


@dataclass(frozen=True)
class ImageOutcome:
    """Outcome of one image.

    Attributes
    ----------
    name : str
    scores : Scores
        Where the tool failed, those of no predicted cell: all true ones are missed.
    seconds : float
        NaN where the tool failed or did not report them.
    failure : str
        Reason why the labels are missing; empty where they are not.
    notes : tuple of str
        Remarks on the label images, true or the tool's.
    """

    name: str
    scores: Scores
    seconds: float
    failure: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolResult:
    """Result of one tool.

    Attributes
    ----------
    tool : str
    images : tuple of ImageOutcome
        In the order of the items; empty where the tool did not run or failed on every image.
    reason : str
        Reason why it did not run, or what went wrong although it did; empty where nothing did.
    version, model, device : str
        As the tool reports them.
    load_seconds : float
        NaN where unknown.
    notes : tuple of str
        Remarks on the label images, true or the tool's.
    """

    tool: str
    images: tuple[ImageOutcome, ...]
    reason: str = ""
    version: str = ""
    model: str = ""
    device: str = ""
    load_seconds: float = math.nan
    notes: tuple[str, ...] = ()


Steps = Generator[ToolProgress | ToolResult, None, None]


def compare(items: Sequence[Item], tools: Sequence[OwnTool | ScriptTool]) -> Steps:
    """Run every tool over the same annotated images and score them alike.

    Closing the generator stops the tool that is running.

    Parameters
    ----------
    items : sequence of Item
        Read one at a time.
    tools : sequence of OwnTool or ScriptTool
        Run one after the other.

    Yields
    ------
    ToolProgress
        After every image.
    ToolResult
        After every tool.

    Raises
    ------
    InputError
        If items or tools are missing, or the items' pixels were preprocessed already.
    OutputError
        If the temporary folder has no room for the images.
    DINOCellError
        If an item cannot be read, or DINOCell's own model cannot be loaded.
    """
    if not items:
        raise InputError("items is empty, expected at least one annotated image")
    if not tools:
        raise InputError("tools is empty, expected at least one: name some with --tools or --tool")
    for tool in tools:
        yield from _run_own(tool, items) if isinstance(tool, OwnTool) else _run_script(tool, items)


def _run_own(tool: OwnTool, items: Sequence[Item]) -> Steps:
    start = time.perf_counter()
    pipeline = tool.load()
    load_seconds = time.perf_counter() - start
    outcomes: list[ImageOutcome] = []
    for item in items:
        annotated = _read(item)
        start = time.perf_counter()
        try:
            labels = pipeline.run(annotated.pixels).labels
        except DINOCellError as error:
            outcomes.append(_missed(item, annotated, str(error)))
        else:
            seconds = time.perf_counter() - start
            scores = score_labels(annotated.labels, labels)
            outcomes.append(ImageOutcome(item.name, scores, seconds, notes=annotated.notes))
        yield ToolProgress(tool.name, len(outcomes), len(items))
    report = ScriptReport(
        version=__version__,
        model=pipeline.config.variant,
        device=pipeline.predictor.device,
        load_seconds=load_seconds,
    )
    yield _result(tool.name, outcomes, "", report)


def _run_script(tool: ScriptTool, items: Sequence[Item]) -> Steps:
    names = [f"{number:05d}" for number in range(len(items))]  # other programs see no file names
    with tempfile.TemporaryDirectory(prefix="dinocell-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        _write_images(folder, tool, dict(zip(names, items, strict=True)))
        steps = run_script(folder, tool, names)
        done = 0
        try:
            while True:
                next(steps)
                done += 1
                yield ToolProgress(tool.name, done, len(items))
        except StopIteration as finished:
            reason: str = finished.value
        finally:
            steps.close()
        try:
            report = read_report(folder)
        except FileFormatError as error:
            report, reason = ScriptReport(), reason or str(error)
        outcomes = [
            _score(folder, name, item, report, reason, tool.name)
            for name, item in zip(names, items, strict=True)
        ]
    yield _result(tool.name, outcomes, reason, report)


def _write_images(folder: Path, tool: ScriptTool, items: dict[str, Item]) -> None:
    for name, item in items.items():
        pixels = _read(item).pixels
        try:
            np.save(folder / f"{name}.npy", pixels, allow_pickle=False)
        except OSError as error:
            raise OutputError(
                f"{folder} cannot hold the images ({error.strerror or error}), expected room for them all: "
                "free some space, or set TMPDIR to another folder"
            ) from error
    write_job(folder, tool, list(items))


def _score(folder: Path, name: str, item: Item, report: ScriptReport, reason: str, tool: str) -> ImageOutcome:
    annotated = _read(item)
    if name in report.failed:
        return _missed(item, annotated, to_one_line(report.failed[name]))
    try:
        labels = read_tool_labels(folder, name, annotated.labels.shape)
        where = f"labels of {item.name} by {tool}"
        labels, notes = check_masks(labels, where, split_components=False)  # scored as the tool means them
    except FileFormatError as error:
        return _missed(item, annotated, str(error))
    except FileNotFoundError as error:
        return _missed(item, annotated, reason or str(error))
    scores, seconds = score_labels(annotated.labels, labels), report.seconds.get(name, math.nan)
    return ImageOutcome(item.name, scores, seconds, notes=annotated.notes + notes)


def _read(item: Item) -> AnnotatedImage:
    annotated = item.read()
    if annotated.preprocessing is not None:
        raise InputError(
            f"{item.name} holds preprocessed pixels, expected an image as in its file, as every tool does: "
            "compare on the dataset that it was made from"
        )
    return annotated


def _missed(item: Item, annotated: AnnotatedImage, failure: str) -> ImageOutcome:
    nothing = np.zeros(annotated.labels.shape, np.int32)
    scores = score_labels(annotated.labels, nothing)
    return ImageOutcome(item.name, scores, math.nan, failure, annotated.notes)


def _result(tool: str, outcomes: list[ImageOutcome], reason: str, report: ScriptReport) -> ToolResult:
    notes = tuple(note for outcome in outcomes for note in outcome.notes)
    if all(outcome.failure for outcome in outcomes):
        reason = reason or f"it failed on every image, first {outcomes[0].name}: {outcomes[0].failure}"
        outcomes = []
    return ToolResult(
        tool,
        tuple(outcomes),
        reason,
        report.version,
        report.model,
        report.device,
        math.nan if report.load_seconds is None else report.load_seconds,
        notes,
    )
