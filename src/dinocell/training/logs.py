"""Logs to watch while a model learns: curves and pictures, in TensorBoard and Weights & Biases.

Not by the trackers of accelerate: when a run is resumed, they keep the steps after the checkpoint.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import OutputError
from dinocell.extras import import_extra
from dinocell.io.presence import check_still_there
from dinocell.io.saving import atomic_path
from dinocell.measure.outlines import outermost_pixels
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.reports.pictures import BOTH, PREDICTED, TRUE

TENSORBOARD_FOLDER = "tensorboard"

WANDB_ID_FILE = "wandb_id.txt"
"""File of a run's id at Weights & Biases, under which a resumed run continues there."""

PANEL = "input, true map, predicted map, outlines (true blue, predicted orange, both yellow)"
"""Caption of the pictures that `panel` returns, from left to right."""

GAP = 4
"""White columns between two pictures of a panel."""


class RunLog:
    """Logs of a run: TensorBoard's in its folder, and those of Weights & Biases where that is wanted.

    Parameters
    ----------
    folder : Path
        The run folder; ``tensorboard`` is made in it.
    wandb : bool
        Whether Weights & Biases gets everything too; its own variables (``WANDB_MODE``, ``WANDB_PROJECT``, …)
        say how and where.
    config : mapping
        The run's settings, for Weights & Biases.
    resume_step : int
        Last step before a run is resumed, 0 for a new one: what was logged of later steps is forgotten.

    Raises
    ------
    MissingExtraError
        If tensorboard, or wandb where it is wanted, is not installed.
    OutputError
        If the folder cannot be written, or Weights & Biases cannot be used.
    """

    def __init__(self, folder: Path, *, wandb: bool, config: Mapping[str, Any], resume_step: int) -> None:
        import_extra("tensorboard", extra="train", purpose="the log of a training run")
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        self._wandb = _WandbRun(folder, config, resume=resume_step > 0) if wandb else None
        with self._explaining_errors():
            # Events of this step and of later ones are forgotten.
            self._writer = SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=resume_step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers by their names, such as ``loss/train``; they are on the disk at once.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        check_still_there([self._folder / TENSORBOARD_FOLDER])  # the writer's thread would end in a traceback
        with self._explaining_errors():
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()
        if self._wandb is not None:
            self._wandb.log(step, dict(values))

    def images(self, step: int, panels: Sequence[NDArray[np.uint8]]) -> None:
        """Log pictures of validation crops.

        Parameters
        ----------
        step : int
        panels : sequence of uint8 array, shape (Y, X, 3)
            As `panel` returns them; the same crop at the same place every time.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        check_still_there([self._folder / TENSORBOARD_FOLDER])  # the writer's thread would end in a traceback
        with self._explaining_errors():
            for number, picture in enumerate(panels, 1):
                self._writer.add_image(f"validation/{number}: {PANEL}", picture, step, dataformats="HWC")
            self._writer.flush()
        if self._wandb is not None:
            self._wandb.log_images(step, panels)

    def close(self, *, failed: bool = False) -> None:
        """Write what is left; Weights & Biases is told whether the run `failed`."""
        with self._explaining_errors():
            self._writer.close()
        if self._wandb is not None:
            self._wandb.finish(failed=failed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close(failed=kind is not None)

    @contextmanager
    def _explaining_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write logs to {self._folder / TENSORBOARD_FOLDER}: {error.strerror or error}. "
                "Free some space or choose another output"
            ) from error


class _WandbRun:
    """A run at Weights & Biases."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, resume: bool) -> None:
        self._package = import_extra("wandb", extra="wandb", purpose="the setting wandb")
        id_file = folder / WANDB_ID_FILE
        known = id_file.read_text(encoding="utf-8").strip() if resume and id_file.is_file() else None
        project = os.environ.get("WANDB_PROJECT", "dinocell")
        try:
            self._run = self._package.init(
                dir=str(folder),
                project=project,
                name=folder.name,
                config=dict(config),
                id=known,
                resume="allow" if known else None,
            )
        except self._package.Error as error:
            raise OutputError(
                f"Weights & Biases cannot be used ({' '.join(str(error).split())}): run `wandb login`, "
                "set WANDB_MODE=offline in the environment, or set wandb to false"
            ) from error
        with atomic_path(id_file) as temporary:
            temporary.write_text(self._run.id, encoding="utf-8")

    def log(self, step: int, values: dict[str, Any]) -> None:
        self._run.log(values, step=step)

    def log_images(self, step: int, panels: Sequence[NDArray[np.uint8]]) -> None:
        self.log(step, {"validation": [self._package.Image(picture, caption=PANEL) for picture in panels]})

    def finish(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


def panel(
    image: NDArray[np.uint8],
    true_map: NDArray[np.float32],
    predicted_map: NDArray[np.float32],
    valid: NDArray[np.bool_],
    thresholds: Thresholds | None = None,
) -> NDArray[np.uint8]:
    """Draw a crop beside its true and its predicted map, and the outlines of the cells in both.

    Parameters
    ----------
    image : uint8 array, shape (Y, X)
    true_map, predicted_map : float array, shape (Y, X)
        In [0, 1].
    valid : bool array, shape (Y, X)
        Other pixels are hatched.
    thresholds : Thresholds, optional
        Of either map.

    Returns
    -------
    uint8 array, shape (Y, 4 X + 3 `GAP`, 3)
        RGB; see `PANEL`.
    """
    gray = np.repeat(image[:, :, None], 3, axis=2)
    pictures = [gray, _coloured(true_map), _coloured(predicted_map), gray.copy()]
    is_true, is_predicted = (
        outermost_pixels(distance_to_labels(each, thresholds=thresholds))
        for each in (true_map, predicted_map)
    )
    outlines = pictures[-1]
    outlines[is_true], outlines[is_predicted] = TRUE, PREDICTED
    outlines[is_true & is_predicted] = BOTH
    gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (_hatched(picture, valid), gap)]
    return np.concatenate(row[:-1], axis=1)


def _coloured(distance: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw 0 black and 1 bright, whatever the map's own range."""
    shades = np.rint(np.clip(distance, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO)[:, :, ::-1])


def _hatched(picture: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw diagonals over the pixels that are not valid, and dim them."""
    rows, columns = np.indices(valid.shape)
    shown = np.where(valid[:, :, None], picture, picture // 2)
    shown[~valid & ((rows + columns) % 8 == 0)] = 150
    return shown
