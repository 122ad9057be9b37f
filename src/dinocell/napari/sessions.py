"""Sessions: all about labels made here, so that thresholds change without the network."""

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.segmentation import Parameters, Prediction, Progress, Segmentation
from dinocell.inference.settings import RunOptions
from dinocell.labels import Labels
from dinocell.machine import memory_bytes
from dinocell.napari.sources import Index, LayerImage
from dinocell.postprocess.thresholds import Thresholds

Table = Mapping[str, NDArray[Any]]

_SHARE_OF_MEMORY = 0.25
_LEAST_BYTES = 2**30
"""Bytes of maps that are always kept, whatever the memory."""


@dataclass(frozen=True, eq=False)
class PlaneFound:
    """Cells of one plane.

    Attributes
    ----------
    index : tuple of int
        The plane.
    labels : int32 array, shape (Y, X)
    prediction : Prediction or None
        The distance map; None where it is not kept.
    parameters : Parameters
    table : mapping of str to array, shape (N,)
        Measurements and confidence, a row a cell; empty until they are computed.
    """

    index: Index
    labels: Labels
    prediction: Prediction | None
    parameters: Parameters
    table: Table = field(default_factory=dict)


@dataclass(eq=False)
class Session:
    """Cells of the planes of an image, and all that made them.

    Attributes
    ----------
    image : LayerImage
    pipeline : DINOCellPipeline
    options : RunOptions
        As they were asked for.
    model : str
        Name or folder of the model.
    planes : dict of tuple to PlaneFound
        Those that were segmented.
    edited : set of tuple
        Planes that were changed by hand since.
    """

    image: LayerImage
    pipeline: DINOCellPipeline
    options: RunOptions
    model: str = "nano"
    planes: dict[Index, PlaneFound] = field(default_factory=dict)
    edited: set[Index] = field(default_factory=set)

    def keep(self, found: PlaneFound) -> None:
        """Keep the cells of a plane; its map only while all maps take a quarter of the memory at most."""
        kept = sum(
            plane.prediction.distance_map.nbytes
            for index, plane in self.planes.items()
            if plane.prediction is not None and index != found.index
        )
        own = 0 if found.prediction is None else found.prediction.distance_map.nbytes
        if kept + own > most_map_bytes():
            found = replace(found, prediction=None)
        self.planes[found.index] = found

    @property
    def adjustable(self) -> list[Index]:
        """Planes whose thresholds can be changed: their map is kept, and nobody has edited them."""
        return [
            index
            for index, plane in self.planes.items()
            if plane.prediction is not None and index not in self.edited
        ]

    def thresholds(self) -> Thresholds | None:
        """Return the thresholds of the plane that was made last; None without any."""
        planes = list(self.planes.values())
        return planes[-1].parameters.thresholds if planes else None

    def own_thresholds(self) -> Thresholds:
        """Return the thresholds that the model has for the target that was found."""
        settings = self.pipeline.settings_for(**self.options)
        target = next((plane.parameters.target for plane in self.planes.values()), settings.targets[0])
        return settings.thresholds_of[target]


_sessions: "weakref.WeakKeyDictionary[Any, Session]" = weakref.WeakKeyDictionary()


def remember_session(layer: Any, session: Session) -> None:
    """Keep what is known of a labels layer, for as long as the layer lives."""
    _sessions[layer] = session


def session_of(layer: Any) -> Session | None:
    """Return what is known of a labels layer; None where it was not made here."""
    return None if layer is None else _sessions.get(layer)


def most_map_bytes() -> int:
    """Return how many bytes of distance maps are kept."""
    total = memory_bytes()[0]
    return max(_LEAST_BYTES, int((total or 0) * _SHARE_OF_MEMORY))


def segment_planes(
    session: Session,
    indices: list[Index],
    progress: Progress = None,
    begin: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[PlaneFound]:
    """Segment planes, one after the other, as `dinocell.segment` does.

    Parameters
    ----------
    session : Session
        It is not changed.
    indices : list of tuple
    progress : callable, optional
        Called after every batch of tiles; what it raises ends the work.
    begin : callable, optional
        Called before each plane with the number of planes that are done, and of all.

    Yields
    ------
    PlaneFound
        With its table.
    """
    pipeline, settings = session.pipeline, session.pipeline.settings_for(**session.options)
    for done, index in enumerate(indices):
        begin(done, len(indices))
        source = session.image.read(index)
        prediction = pipeline.predict(source.pixels, settings, progress=progress)
        result = pipeline.finish(source.pixels, prediction, settings, source=source)
        yield PlaneFound(index, result.labels, prediction, result.parameters, result.table())


def flood_again(session: Session, found: PlaneFound, thresholds: Thresholds) -> PlaneFound:
    """Find the cells of a plane with other thresholds, from its kept map.

    Returns
    -------
    PlaneFound
        Without a table: `measure_plane` adds it.
    """
    if found.prediction is None:
        return found
    options: RunOptions = {**session.options, "thresholds": thresholds}
    settings = session.pipeline.settings_for(**options)
    # The pixels themselves decide about nothing here but the count of those that are not finite.
    result = session.pipeline.finish(np.zeros((1, 1), np.uint8), found.prediction, settings)
    parameters = replace(result.parameters, nonfinite_pixels=found.parameters.nonfinite_pixels)
    return PlaneFound(found.index, result.labels, found.prediction, parameters)


def measure_plane(session: Session, found: PlaneFound) -> PlaneFound:
    """Return the cells of a plane with their table."""
    if found.prediction is None:
        return found
    source = session.image.read(found.index)
    result = Segmentation(found.labels, found.prediction.distance_map, found.parameters, source)
    return replace(found, table=result.table())


def load_pipeline(model: str) -> DINOCellPipeline:
    """Load a model to be watched tile by tile on a CPU, where batches gain little.

    Parameters
    ----------
    model : str
        Name of a trained model, or a checkpoint folder.

    Raises
    ------
    DINOCellError
        If there is none, or it cannot be loaded.
    """
    pipeline = DINOCellPipeline(model)
    if pipeline.predictor.device == "cpu":
        pipeline.predictor.batch_size = 1
    return pipeline
