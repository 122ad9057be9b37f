"""Training of the decoder of clicks on the features of the weights that ship, if it is worth its bytes."""

import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import clicks
from dinocell import DINOCellPipeline
from dinocell.models.clicks import CLICK_FILE
from dinocell.synthesis import SynthesisSettings, synthesize
from dinocell.training.clicks import ClickConfig, train_clicks

RECIPES = ("fluorescence_cells", "membrane", "confluent_phase", "brightfield")
"""Drawn images beside real ones, which have few large cells."""
DRAWN = 80
STEPS = 1400
LEAST_GAIN = 0.2
"""Of missed cells that reach an IoU of 0.5 after one click, over plain flooding: below it nothing ships."""
MOST_BYTES = 3 * 2**20


def draw_images(folder: Path) -> list[Path]:
    """Draw images of every recipe."""
    for recipe in RECIPES:
        settings = SynthesisSettings(recipe=recipe, size=320, diameters=(14, 100))
        deque(synthesize(settings, DRAWN, folder / recipe), maxlen=0)
    return [folder / recipe for recipe in RECIPES]


def train(checkpoint: Path, data: Path, work: Path) -> Iterator[str]:
    """Train a decoder of clicks, or go on where a training was stopped; yield a line now and then."""
    real = sorted(folder for folder in (data / "train").iterdir() if folder.is_dir())
    folders = (*real, *draw_images(work / "drawn"))
    config = ClickConfig(data=folders, model=checkpoint, output=work / "clicks", steps=STEPS)
    for step in train_clicks(config):
        if step.step % 100 == 0:
            yield f"step {step.step} of {step.steps}: loss {step.loss:.3f}, mean IoU {step.overlap:.2f}"


def ship(trained: Path, checkpoint: Path, folders: Iterable[Path]) -> str:
    """Measure on val and zeroshot, and copy the decoder into the checkpoint if it is worth it."""
    pipeline = DINOCellPipeline(str(trained), device="cpu")
    gains = []
    for folder in folders:
        tallies = clicks.measure(folder, pipeline, ("flood", "decoder"), clicks.MOST)
        flood, decoder = (np.array(tallies[way, False].ious) for way in ("flood", "decoder"))
        if len(flood) >= clicks.LEAST_CELLS:
            gains.append((decoder[:, 0] >= 0.5).mean() - (flood[:, 0] >= 0.5).mean())
    gain, size = float(np.mean(gains)), (trained / CLICK_FILE).stat().st_size
    verdict = f"{gain:+.2f} of missed cells after one click, the mean of {len(gains)} sets, in {size} bytes"
    if gain < LEAST_GAIN or size > MOST_BYTES:
        (checkpoint / CLICK_FILE).unlink(missing_ok=True)
        return f"{verdict}: it does not ship"
    shutil.copyfile(trained / CLICK_FILE, checkpoint / CLICK_FILE)
    return f"{verdict}: it ships"
