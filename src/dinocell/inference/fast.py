"""The fastest way to run a model on this machine: all engines measured on the sample images.

Nothing else in DINOCell measures before it chooses. A way is taken only if its labels of the samples are as
good: half precision may cost accuracy, and that is looked at rather than expected.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dinocell.errors import DINOCellError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.settings import InferenceOptions
from dinocell.io.images import read_labels
from dinocell.machine import cache_folder, processor_name, thread_count
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import score_labels
from dinocell.models.checkpoint import Checkpoint, hash_checkpoint
from dinocell.version import __version__

logger = logging.getLogger(__name__)

LOSS = 0.005
"""Average precision at an IoU of 0.5, pooled over the samples, that a faster way may cost."""

_GAIN = 1.05  # a way must be faster by so much: less is chance
_RUNS = 3
_TILES = 8

PACKAGED = Path(__file__).parents[1] / "samples"
CHECKOUT = Path(__file__).parents[3] / "samples"


@dataclass(frozen=True)
class Way:
    """One way to run a model, measured.

    Attributes
    ----------
    engine, precision : str
    seconds : float
        For eight tiles, best of three.
    ap : float
        Average precision at an IoU of 0.5 of the labels of the samples.
    """

    engine: str
    precision: str
    seconds: float
    ap: float

    def options(self) -> InferenceOptions:
        """Return the options of a pipeline that runs so; float32 is what it takes by itself."""
        if self.precision == "float32":
            return {"engine": self.engine}
        return {"engine": self.engine, "precision": self.precision}


@dataclass(frozen=True)
class FastChoice:
    """The fastest way to run a model, and all that were measured.

    Attributes
    ----------
    chosen, usual : Way
        `usual` is what is taken without measuring, in float32.
    ways : tuple of Way
    """

    chosen: Way
    usual: Way
    ways: tuple[Way, ...]

    def __str__(self) -> str:
        if self.chosen == self.usual:
            return f"{self.chosen.engine} {self.chosen.precision}: nothing here is faster and as good"
        return (
            f"{self.chosen.engine} {self.chosen.precision}, "
            f"{self.usual.seconds / self.chosen.seconds:.1f} times as fast as {self.usual.engine} "
            f"{self.usual.precision}; AP@0.5 on the samples {self.chosen.ap:.3f}, was {self.usual.ap:.3f}"
        )


def find_fastest(name: str | Path, *, device: str = "auto") -> FastChoice:
    """Measure every engine and precision that is installed, and choose; seconds, once for a machine.

    Parameters
    ----------
    name : str or Path
        A trained model, or a checkpoint folder.
    device : str
        As of `dinocell.inference.settings.InferenceSettings`.

    Returns
    -------
    FastChoice
        Kept in the cache of the user, for this processor and these versions.

    Raises
    ------
    DINOCellError
        If the model cannot be run at all.
    """
    checkpoint = Checkpoint.find(name)
    kept = cache_folder() / f"fast-{_digest(checkpoint, device)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return _choose([Way(**way) for way in json.loads(kept.read_text(encoding="utf-8"))])
    usual = DINOCellPipeline(checkpoint, device=device, precision="float32").predictor.engine.name
    ways = []
    for engine, precision in _candidates(checkpoint, usual):
        try:
            ways.append(_measure(checkpoint, engine, precision, device))
        except DINOCellError as error:
            if not ways:  # the usual one, which comes first
                raise
            logger.info("%s %s cannot be taken: %s", engine, precision, error)
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([asdict(way) for way in ways]), encoding="utf-8")
    return _choose(ways)


def _choose(ways: Sequence[Way]) -> FastChoice:
    """Choose the fastest way that is as good as the usual one, which comes first."""
    usual = ways[0]
    good = [way for way in ways if way.ap >= usual.ap - LOSS and way.seconds * _GAIN < usual.seconds]
    return FastChoice(min(good, key=lambda way: way.seconds, default=usual), usual, tuple(ways))


def _candidates(checkpoint: Checkpoint, usual: str) -> Iterator[tuple[str, str]]:
    """Yield the usual engine in float32, then what is installed beside it."""
    yield usual, "float32"
    if usual != "onnx" and checkpoint.graph is not None:
        yield "onnx", "float32"
    if importlib.util.find_spec("openvino") is not None and checkpoint.graph is not None:
        yield from (("openvino", "float32"), ("openvino", "bfloat16"))
    if importlib.util.find_spec("torch") is not None:
        if usual != "torch":
            yield "torch", "float32"
        yield "torch", "bfloat16"


def _measure(checkpoint: Checkpoint, engine: str, precision: str, device: str) -> Way:
    pipeline = DINOCellPipeline(checkpoint, device=device, engine=engine, precision=precision)
    scores = []
    for image in sorted(samples_folder().glob("*_img.png")):
        truth = read_labels(image.with_name(image.name.replace("_img", "_masks")))
        scores.append(score_labels(truth, pipeline.run(image).labels))
    side = pipeline.settings.tile_size
    tiles = np.random.default_rng(0).integers(0, 256, (_TILES, side, side), np.uint8)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        pipeline.predictor.engine.forward(tiles)
        times.append(time.perf_counter() - start)
    return Way(engine, precision, round(min(times), 4), round(pool(scores).ap[0.5], 4))


def samples_folder() -> Path:
    """Return the folder of the annotated sample images: of an installed package, or of a checkout."""
    return PACKAGED if PACKAGED.is_dir() else CHECKOUT


def _digest(checkpoint: Checkpoint, device: str) -> str:
    """Hash the model, the machine, and what is installed on it."""
    versions = [
        f"{name} {importlib.metadata.version(name)}"
        for name in ("onnxruntime", "openvino", "torch")
        if importlib.util.find_spec(name) is not None
    ]
    model = "" if checkpoint.folder is None else hash_checkpoint(checkpoint.folder)
    parts = [__version__, model, processor_name(), str(thread_count()), device, *versions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
