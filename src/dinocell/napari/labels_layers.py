"""Labels layers of what was segmented: their place, their features, and the plane that is shown."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.napari.sessions import PlaneFound, Session, remember_session
from dinocell.napari.sources import Index
from napari.layers import Labels

_NAME = "{} labels"


def shown_index(viewer: Any, layer: Any) -> Index:
    """Return the plane of a layer that the viewer shows, by its numbers before Y and X."""
    colour = bool(getattr(layer, "rgb", False))
    data = layer.data[0] if layer.multiscale else layer.data
    counts = data.shape[: -3 if colour else -2]
    position = layer.world_to_data(viewer.dims.point)
    return tuple(
        int(np.clip(round(float(at)), 0, count - 1)) for at, count in zip(position, counts, strict=False)
    )


def add_labels(viewer: Any, source: Any, session: Session) -> Any:
    """Add an empty labels layer over all planes of an image layer, in the image's place."""
    image = session.image
    layer = Labels(
        np.zeros((*image.counts, *image.plane_shape), np.int32),
        name=_NAME.format(source.name),
        metadata=dict(source.metadata),
        **place_of(source),
    )
    viewer.add_layer(layer)
    remember_session(layer, session)
    layer.events.labels_update.connect(lambda _: _note_edit(viewer, layer, session))
    return layer


def place_of(source: Any) -> dict[str, Any]:
    """Return the arguments that put a labels layer where an image layer lies."""
    return {
        "scale": source.scale,
        "translate": source.translate,
        "rotate": source.rotate,
        "shear": source.shear,
        "affine": source.affine,
        "units": source.units,
        "axis_labels": source.axis_labels,
    }


def _note_edit(viewer: Any, layer: Any, session: Session) -> None:
    session.edited.add(shown_index(viewer, layer))


def show_plane(layer: Any, found: PlaneFound) -> None:
    """Show the cells of a plane in a labels layer."""
    layer.data[found.index] = found.labels
    layer.refresh()


def show_features(layer: Any, table: Mapping[str, NDArray[Any]]) -> None:
    """Let a labels layer have the columns of a table as features, found by label."""
    layer.features = {"index" if name == "label" else name: values for name, values in table.items()}


def centre_on(viewer: Any, layer: Any, position: tuple[float, ...]) -> None:
    """Bring a position of a layer, in its pixels, into the middle of the view."""
    camera = getattr(viewer, "scene", viewer).camera  # of the viewer itself before napari 0.9
    camera.center = tuple(layer.data_to_world(position)[-2:])


def show_index(viewer: Any, layer: Any, index: Index) -> None:
    """Move the sliders to a plane of a layer."""
    position = layer.data_to_world((*index, 0, 0))
    first = viewer.dims.ndim - layer.ndim
    for axis in range(len(index)):
        viewer.dims.set_point(first + axis, position[axis])
