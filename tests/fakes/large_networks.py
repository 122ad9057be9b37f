"""Networks that need no weights, for tests of `dinocell.large`: other processes import them by name."""

import os
import signal
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dinocell.io.selection import SelectedPlane
from dinocell.labels import Target
from dinocell.large.plan import LargeResult
from dinocell.large.run import segment_large
from dinocell.large.settings import LargeSettings, LargeTarget, SourcePlane, TileModelLoader
from dinocell.large.stage_done import StageDone
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.tiling import Tile, cut_tile
from dinocell.workers.executor import Executor, HereExecutor

PATIENCE = 60  # seconds

PLACE = SelectedPlane(0, 0, None, "")
"""The only plane of a file."""

THRESHOLDS = Thresholds(cells_max_threshold=0.55, cell_fill_threshold=0.13, merge=0.5, regrow=True)


@dataclass(frozen=True)
class Echo:
    """A network that takes preprocessed pixels for a distance map in 255 steps.

    Attributes
    ----------
    folder : str, optional
        Where every call leaves a file whose suffix is its process.
    name : str
        What decides about its maps, as far as others can tell.
    held : bool
        Whether calls wait until there is a file ``released`` in the folder.
    last_call : int, optional
        The process is killed in the call of this number, counted from 1.
    """

    folder: str | None = None
    name: str = "echo"
    held: bool = False
    last_call: int | None = None

    preprocessing: ClassVar = Preprocessing(0, 100, clahe=False)
    tile_size: ClassVar = 64
    overlap: ClassVar = 8
    targets: ClassVar[tuple[Target, ...]] = ("cells",)
    sizes: ClassVar[tuple[float, float] | None] = None

    used: ClassVar = ("echo", "float32")

    def load(self) -> "Echo":
        return self

    def resumed_with(self, used: tuple[str, str]) -> "Echo":
        assert used == self.used
        return self

    def described(self) -> dict[str, Any]:
        return {"name": self.name}

    def predict_batches(
        self, gray: NDArray[np.uint8], tiles: Sequence[Tile]
    ) -> Iterator[NDArray[np.float32]]:
        if self.folder is not None:
            self._call(Path(self.folder))
        for start in range(0, len(tiles), 3):
            batch = np.stack([cut_tile(gray, tile) for tile in tiles[start : start + 3]])
            yield np.stack(list(self.maps(batch).values()), axis=1)

    def predict(
        self, gray: NDArray[np.uint8], targets: Sequence[Target]
    ) -> dict[Target, NDArray[np.float32]]:
        if self.folder is not None:
            self._call(Path(self.folder))
        return {target: self.maps(gray)[target] for target in targets}

    def predict_view(
        self, gray: NDArray[np.uint8], targets: Sequence[Target]
    ) -> dict[Target, NDArray[np.float32]]:
        return self.predict(gray, targets)

    def diameter_ranges(self, targets: Iterable[Target]) -> dict[Target, tuple[float, float] | None]:
        return dict.fromkeys(targets, self.sizes)

    def maps(self, gray: NDArray[np.uint8]) -> dict[Target, NDArray[np.float32]]:
        return {"cells": gray.astype(np.float32) / np.float32(255)}

    def _call(self, folder: Path) -> None:
        (folder / f"{uuid.uuid4().hex}.{os.getpid()}").touch()
        if len(self.calls()) == self.last_call:
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while self.held and not (folder / "released").exists():
            assert time.monotonic() < deadline, "nobody releases the calls"
            time.sleep(0.01)

    def calls(self) -> list[int]:
        """Return the process of every call so far."""
        if self.folder is None:
            return []
        return [int(file.suffix[1:]) for file in Path(self.folder).iterdir() if file.suffix]


class TwoMaps(Echo):
    """A network that takes pixels for a map of nuclei, and for a fainter one of cells."""

    targets: ClassVar[tuple[Target, ...]] = ("cells", "nuclei")

    def load(self) -> "TwoMaps":
        return self

    def maps(self, gray: NDArray[np.uint8]) -> dict[Target, NDArray[np.float32]]:
        nuclei = gray.astype(np.float32) / np.float32(255)
        return {"cells": nuclei / 2, "nuclei": nuclei}


def large_settings(
    targets: Sequence[Target] | dict[Target, LargeTarget] = ("cells",),
    *,
    target: Target | None = None,
    thresholds: Thresholds = THRESHOLDS,
    scale: float = 1.0,
    **options: Any,
) -> LargeSettings:
    """Return settings with the same thresholds and scale for all targets, or for the one that is given.

    Targets may bring theirs along, as in `LargeSettings`.
    """
    if isinstance(targets, dict):
        return LargeSettings(targets, **options)
    own = LargeTarget(thresholds, scale)
    return LargeSettings(dict.fromkeys(targets if target is None else [target], own), **options)


def events(
    image: Path,
    output: Path,
    network: TileModelLoader,
    *,
    executor: Executor | None = None,
    place: SelectedPlane = PLACE,
    channel: int | str | None = None,
    overwrite: bool = False,
    keep_map: bool = False,
    **options: Any,
) -> Iterator[StageDone | LargeResult]:
    """Segment an image in small blocks; options are those of `large_settings`."""
    settings = large_settings(**{"targets": network.load().targets, "block": 64, "formats": ()} | options)
    source = SourcePlane(image, 0, place, channel)
    return segment_large(
        source, output, network, settings, executor or HereExecutor(), overwrite=overwrite, keep_map=keep_map
    )


def finish(*arguments: Any, **options: Any) -> LargeResult:
    """Segment an image to the end; arguments as of `events`."""
    *_, result = events(*arguments, **options)
    assert isinstance(result, LargeResult)
    return result
