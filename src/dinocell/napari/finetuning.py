"""Fine-tuning in a worker thread: the training room needs PyTorch, so it is opened when it is used."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dinocell.extras import require_extra
from dinocell.labels import Target

if TYPE_CHECKING:
    from dinocell.training.finetuning.corrections import Learned


def finetune_folder(
    report: Callable[[object], None],
    folder: Path,
    output: Path,
    model: str = "nano",
    *,
    steps: int = 100,
    target: Target | None = None,
    check: bool = True,
) -> "Learned":
    """Adapt a model to a folder that *Correct* saved; see `dinocell.training.finetuning.corrections`.

    Raises
    ------
    MissingExtraError
        If the extra ``train`` is not installed.
    DINOCellError
        If the images cannot be learned from, or the output holds a model.
    """
    require_extra("torch", extra="train", purpose="fine-tuning")
    from dinocell.training.finetuning.corrections import FinetuneOrder, finetune_saved

    return finetune_saved(FinetuneOrder(folder, output, model, steps, target, check), report)
