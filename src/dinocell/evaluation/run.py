"""One evaluation of several datasets: thresholds searched, images scored, images that failed.

A shell iterates over the methods of `EvaluationRun` and shows their events; `dinocell.evaluation.output`
writes the files at the end.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dinocell.datasets.items import Item
from dinocell.errors import (
    DINOCellError,
    FailureGroups,
    FileFormatError,
    InputError,
    Kind,
    MissingExtraError,
    OutputError,
    kind_of,
)
from dinocell.evaluation.scoring import (
    CHOSEN_ON,
    HASH_DIGITS,
    LEARNED_FROM,
    ImageResult,
    evaluate_item,
    evaluate_prediction,
    predict_item,
)
from dinocell.evaluation.search import GridPoint, search_thresholds
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.settings import RunOptions
from dinocell.io.pixel_size import PhysicalDiameter
from dinocell.io.saving import create_folder
from dinocell.labels import DEFAULT_TARGET, Target

ResultOfItem = TypeVar("ResultOfItem")

_SEEN_BEFORE = {
    CHOSEN_ON: (
        "model's thresholds were chosen on",
        "this is validation, not a test, and the scores are too good",
    ),
    LEARNED_FROM: ("model learned from", "this is neither test nor validation"),
}


@dataclass(frozen=True)
class EvaluationProgress:
    """Progress of an evaluation by one image, which was scored, or predicted for a search.

    Attributes
    ----------
    dataset : str
    done, total : int
        Images of the dataset.
    notes : tuple of str
        Remarks on its label images.
    failure : str
        Why the image is left out; empty where it is not, or where that was said before.
    kind : Kind or None
        Of a failure: what it has in common with others.
    name : str
        Of the image, behind that of its dataset where there are several.
    """

    dataset: str
    done: int
    total: int
    notes: tuple[str, ...] = ()
    failure: str = ""
    kind: Kind | None = None
    name: str = ""


class EvaluationRun:
    """Evaluation of a model or of label images on some datasets.

    Parameters
    ----------
    datasets : mapping of str to sequence of Item
        By names that are fit for folders.
    annotates : mapping of str to str, optional
        Target that the labels of each dataset are of; cells otherwise.

    Attributes
    ----------
    results : dict of str to list of ImageResult
        The images that could be scored, by dataset.
    points : list of GridPoint
        All thresholds that a search tried, the best first.
    failures : dict of str to None
        Lines on the images that could not be scored, each once although a search meets them twice.
    failure_groups : FailureGroups
        The same, by kind.
    notes : list of str
        Why these scores are not a test, where the model has seen the images before.
    """

    def __init__(
        self, datasets: Mapping[str, Sequence[Item]], annotates: Mapping[str, Target] | None = None
    ) -> None:
        self.datasets = datasets
        self.annotates = {name: (annotates or {}).get(name, DEFAULT_TARGET) for name in datasets}
        self.results: dict[str, list[ImageResult]] = {}
        self.points: list[GridPoint] = []
        self.failures: dict[str, None] = {}
        self.failure_groups = FailureGroups()
        self.notes: list[str] = []

    @property
    def target(self) -> Target:
        """The one target that all datasets annotate, for which thresholds are searched.

        Raises
        ------
        InputError
            If they annotate several.
        """
        names = {target: name for name, target in self.annotates.items()}
        if len(names) > 1:
            found = " and ".join(f"{name} annotates {target}" for target, name in names.items())
            raise InputError(f"{found}, expected one target to search thresholds for: search one at a time")
        return next(iter(names))

    def score_predictions(self, folder: Path) -> Iterator[EvaluationProgress]:
        """Score label images that any program made.

        Parameters
        ----------
        folder : Path
            Holds them, or a folder of them for each dataset, which is called like it.

        Raises
        ------
        InputError
            If there are several datasets and one has no such folder.
        FileFormatError
            If no image of a dataset could be scored.
        """
        for name, items in self.datasets.items():
            own = folder / name
            if len(self.datasets) > 1 and not own.is_dir():
                raise InputError(f"no folder {own}: with several --data, each has its predictions in one")
            where = own if own.is_dir() else folder
            yield from self._score(name, items, functools.partial(evaluate_prediction, folder=where))

    def score_model(
        self,
        pipeline: DINOCellPipeline,
        output: Path | None = None,
        diameter_um: PhysicalDiameter | None = None,
    ) -> Iterator[EvaluationProgress]:
        """Segment and score all images, after a search with its target and the best thresholds.

        Parameters
        ----------
        pipeline : DINOCellPipeline
        output : Path, optional
            The predicted label images are written into the folder ``labels`` of this one.
        diameter_um : PhysicalDiameter, optional
            Typical diameter of cells, in place of the pipeline's in pixels.

        Raises
        ------
        OutputError
            If a label image cannot be written.
        FileFormatError
            If no image of a dataset could be scored.
        """
        options: RunOptions = {}
        if self.points:
            options = {"target": self.target, "thresholds": self.points[0].thresholds}
        folders = {name: None if output is None else label_folder(output, name) for name in self.datasets}
        for folder in filter(None, folders.values()):  # all at first: one created later may hide a loss
            create_folder(folder)
        for name, items in self.datasets.items():
            score = functools.partial(
                evaluate_item, pipeline, output=folders[name], diameter_um=diameter_um, **options
            )
            yield from self._score(name, items, score)
        if not self.points:
            self.notes += _notes_on_seen_images(pipeline.config.training, self.results)
        self.notes += _notes_on_targets(self.results, self.annotates)

    def search(
        self, pipeline: DINOCellPipeline, workers: int | None = None
    ) -> Iterator[EvaluationProgress | GridPoint]:
        """Predict every distance map once, and search the thresholds that score best on them.

        Parameters
        ----------
        pipeline : DINOCellPipeline
        workers : int, optional
            Processes that run watersheds; as many as there are cores by default, 0 works in this one.

        Raises
        ------
        InputError
            If the datasets annotate several targets, or the model has no map of theirs.
        FileFormatError
            If no image of a dataset could be predicted.
        """
        target = self.target
        start = pipeline.settings_for(target=target).thresholds_of[target]
        predict = functools.partial(predict_item, pipeline, target=target)
        maps = []
        for name, items in self.datasets.items():
            predicted = []
            for done, result in self._each(name, items, predict):
                predicted += [] if result is None else [result]
                yield done
            maps.append(predicted)
        workers = os.cpu_count() or 1 if workers is None else workers
        for point in search_thresholds(maps, start=start, workers=workers):
            self.points.append(point)
            yield point
        self.points.sort(key=lambda point: point.objective, reverse=True)
        self.notes.append(f"the thresholds were searched for {target}, and {target} are outlined with them")

    def _score(
        self, name: str, items: Sequence[Item], score: Callable[[Item], ImageResult]
    ) -> Iterator[EvaluationProgress]:
        self.results[name] = []
        for done, result in self._each(name, items, score):
            if result is None:
                yield done
            else:
                self.results[name].append(result)
                yield replace(done, notes=result.notes)

    def _each(
        self, name: str, items: Sequence[Item], function: Callable[[Item], ResultOfItem]
    ) -> Iterator[tuple[EvaluationProgress, ResultOfItem | None]]:
        """Apply a function to every item; those where it fails are named and have no result."""
        any_done = False
        for number, item in enumerate(items, 1):
            result, failure, kind = None, "", None
            subject = f"{name}/{item.name}" if len(self.datasets) > 1 else item.name
            try:
                result = function(item)
                any_done = True
            except (MissingExtraError, OutputError):  # all others would fail as well
                raise
            except DINOCellError as error:
                line = f"{name}, {item.name}: {error}"
                kind = kind_of(error, line, *map(str, item.files), f"{name}, {item.name}", item.name)
                failure = "" if line in self.failures else line
                self.failures[line] = None
                self.failure_groups.add(subject, line, kind)
            yield EvaluationProgress(name, number, len(items), (), failure, kind, subject), result
        if not any_done:
            raise FileFormatError(f"{name}: no image could be scored; the first: {next(iter(self.failures))}")


def label_folder(output: Path, dataset: str) -> Path:
    """Return the folder for the label images of a dataset."""
    return output / "labels" / dataset


def _notes_on_seen_images(
    record: Mapping[str, object], scored: Mapping[str, Sequence[ImageResult]]
) -> Iterator[str]:
    """Yield a line for every dataset with images that the model was fitted to, by its training record."""
    for key, (what, consequence) in _SEEN_BEFORE.items():
        known = _hashes(record.get(key))
        for name, results in scored.items():
            count = sum(result.labels_sha256[:HASH_DIGITS] in known for result in results)
            if count:
                yield f"the {what} {count} of the {len(results)} images of {name}: {consequence}"


def _hashes(record: object) -> set[object]:
    """Collect the hashes in a record, at any depth; a checkpoint may say anything about its training."""
    if isinstance(record, dict):
        record = [*record.values()]
    if isinstance(record, list):
        return {digest for part in record for digest in _hashes(part)}
    return {record}


def _notes_on_targets(
    scored: Mapping[str, Sequence[ImageResult]], annotates: Mapping[str, Target]
) -> Iterator[str]:
    """Yield a line for every dataset with images of which another target was outlined than it annotates."""
    for name, results in scored.items():
        others = [result.target for result in results if result.target not in (None, annotates[name])]
        if others:
            yield (
                f"{name} annotates {annotates[name]}, but {others[0]} were outlined in {len(others)} of its "
                f"{len(results)} images (see --target and --annotates)"
            )
