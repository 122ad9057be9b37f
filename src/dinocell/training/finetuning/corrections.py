"""Fine-tuning on saved corrections: a part is held back, and compared before and after."""

import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dinocell.editing.corrected import CORRECTED, IMAGES, find_saved
from dinocell.extras import require_extra
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.labels import Target
from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.finetuning.held_back import Comparison, HeldBack, compare, hold_back
from dinocell.training.finetuning.loop import finetune_steps
from dinocell.training.finetuning.result import CropsDone, FinetuneResult, FinetuneStep


@dataclass(frozen=True)
class FinetuneOrder:
    """Order to learn from a folder that *Correct* saved.

    Attributes
    ----------
    folder : Path
        With ``images`` and ``corrected``.
    output : Path
        Folder of the new model; must not hold one.
    model : str
        Model that is adapted.
    steps : int
        Optimiser steps.
    target : {"cells", "nuclei"} or None
        What the labels are of; None: what *Segment* outlined, else whole cells.
    check : bool
        Whether a part is held back, to look at before and after.
    """

    folder: Path
    output: Path
    model: str = "nano"
    steps: int = 100
    target: Target | None = None
    check: bool = True


@dataclass(frozen=True)
class Phase:
    """Progress: what is done now, how far it is, and the loss while it learns."""

    title: str
    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class Learned:
    """Outcome of a fine-tuning.

    Attributes
    ----------
    model : Path
        The checkpoint folder.
    images : int
    target : {"cells", "nuclei"}
    seconds : float
    comparison : Comparison or None
        None where nothing was held back.
    """

    model: Path
    images: int
    target: Target
    seconds: float
    comparison: Comparison | None


def finetune_saved(order: FinetuneOrder, report: Callable[[object], None]) -> Learned:
    """Adapt a model to saved corrections.

    Parameters
    ----------
    order : FinetuneOrder
    report : callable
        Called with a `Phase` again and again; what it raises ends the work.

    Raises
    ------
    MissingExtraError
        If the extra ``train`` is not installed.
    DINOCellError
        If the images cannot be learned from, or the output holds a model.
    """
    require_extra("accelerate", extra="train", purpose="fine-tuning")
    items = find_saved(order.folder)
    with tempfile.TemporaryDirectory(prefix="dinocell-") as scratch:
        corrected, held = order.folder / CORRECTED, None
        if order.check:
            held = hold_back(items, corrected, Path(scratch))
            corrected = corrected if held is None else Path(scratch)
        return _learn(order, corrected, held, report)


def _learn(
    order: FinetuneOrder, corrected: Path, held: HeldBack | None, report: Callable[[object], None]
) -> Learned:
    config = FinetuneConfig(
        images=order.folder / IMAGES,
        corrected=corrected,
        output=order.output,
        model=order.model,
        steps=order.steps,
        annotates=order.target,
        cross_validation=False,
    )
    report(Phase("Reading the images", 0, 0))
    with closing(finetune_steps(config)) as events:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, CropsDone):
                report(Phase("Drawing crops", event.done, event.total))
            elif isinstance(event, FinetuneStep):
                report(Phase("Learning", event.step, event.total, event.loss))
            elif isinstance(event, FinetuneResult):
                result = event
    report(Phase("Comparing before and after", 0, 0))
    pipelines = [DINOCellPipeline(name) for name in (order.model, str(result.model))] if held else []
    comparison = None if held is None else compare(held, pipelines[0], pipelines[1], result.target)
    return Learned(result.model, len(result.images), result.target, result.seconds, comparison)
