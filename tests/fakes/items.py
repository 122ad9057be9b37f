"""Annotated images made in memory, that can be sent to other processes; and stores of them."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.items import AnnotatedImage
from dinocell.datasets.process import ProcessSettings, StoreProgress, process
from dinocell.datasets.store import StoreInfo
from tests.cases import CASES

SMALL = ProcessSettings("fake", size=32, overlap=8)
"""Crops that cut most of `CASES`."""

WHOLE = ProcessSettings("fake", whole=True)


@dataclass(frozen=True, eq=False)
class FakeItem:
    """An item whose image shows its labels; `error` is raised when it is read, after `seconds`."""

    name: str
    labels: NDArray[Any]
    error: BaseException | None = None
    seconds: float = 0.0
    channel: int | None = None
    split_components: bool | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return Path(f"{self.name}.png"), Path(f"{self.name}_masks.png")

    def read(self) -> AnnotatedImage:
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return AnnotatedImage(
            pixels_of(self.labels), self.labels, overlapped_pixels=int(self.labels.size % 3)
        )


def pixels_of(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw brighter cells on noise, the same for the same labels."""
    noise = np.random.default_rng(labels.size).integers(0, 60, labels.shape)
    return (noise + 40 * (labels % 5)).astype(np.uint8)


def fake_items(**more: Any) -> list[FakeItem]:
    """Return `CASES`: images of many sizes."""
    return [FakeItem(name, labels, **more) for name, labels in CASES.items()]


def make_store(
    items: list[FakeItem], folder: Path, settings: ProcessSettings = SMALL, **more: Any
) -> StoreInfo:
    """Process to the end, in this process unless told otherwise."""
    *_, info = process(items, folder, settings, **{"workers": 0, **more})
    assert isinstance(info, StoreInfo)
    return info


def begin(items: list[FakeItem], folder: Path, settings: ProcessSettings = SMALL, *, images: int = 3) -> None:
    """Process some images, and stop."""
    events = process(items, folder, settings, workers=0)
    next(event for event in events if (event.stage, event.done) == ("process", images))
    events.close()


def finish(
    items: list[FakeItem], folder: Path, settings: ProcessSettings = SMALL
) -> list[StoreProgress | StoreInfo]:
    """Process to the end, and give what was told."""
    return list(process(items, folder, settings, workers=0))


def expected_contents(folder: Path) -> dict[bool, dict[str, bytes]]:
    """Return the contents of the stores of `fake_items`, crops and whole, made without a stop."""
    make_store(fake_items(), folder / "crops")
    make_store(fake_items(), folder / "whole", WHOLE)
    return {False: contents(folder / "crops"), True: contents(folder / "whole")}


def contents(folder: Path) -> dict[str, bytes]:
    """Read the bytes of every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
