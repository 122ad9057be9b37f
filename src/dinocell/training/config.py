"""What a training run is: read from YAML, checked, and stored beside its results."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dinocell.augment import Augmentation
from dinocell.errors import ConfigError
from dinocell.preprocessing import Preprocessing
from dinocell.settings import read_yaml

Share = Annotated[float, Field(ge=0, lt=1)]


class Dataset(BaseModel):
    """A folder of annotated images.

    Attributes
    ----------
    path : Path
        Holds ``NAME_img.*`` and ``NAME_masks.*``; or a store that `dinocell process` made.
    weight : float
        Share of the samples drawn from it, relative to the other datasets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    weight: float = Field(default=1.0, gt=0)


class TrainConfig(BaseModel):
    """Settings of a training run; the defaults are the method paper's.

    Attributes
    ----------
    model : str
        Variant to train.
    backbone_weights : str, optional
        Published weights that the backbone begins with: ``pretrained``, a Hugging Face id, a folder or a
        file; random weights otherwise.
    start_from : Path, optional
        Checkpoint folder whose weights the whole model begins with.
    train, validation : tuple of Dataset
        Validation data is fixed and never augmented.
    output : Path
        Run folder: ``last/``, ``best_model/``, ``metrics.csv``, ``config.yaml``.
    seed : int
        The samples drawn depend on it and on nothing else.
    epochs, steps_per_epoch : int
        The losses are logged and checkpoints written once an epoch.
    batch_size : int
        Crops a step.
    crop_size : int
        Side of a training crop in pixels; a multiple of the model's stride.
    learning_rate, weight_decay, betas
        Of AdamW.
    warmup_steps : int
        Steps of linear warm-up; a cosine decay to zero follows.
    clip_grad_norm : float
        Largest norm of the gradient.
    ema_decay : float
        Decay of the moving average of the weights; 0 keeps the plain weights.
    loss : {"mse", "bce"}
        Between sigmoid output and distance map; both have the same optimum.
    patience : int
        Epochs without a better validation loss before the run ends.
    freeze_backbone : bool, optional
        Whether only the decoder learns; by default, where the backbone began with published weights.
    unfreeze_last : int
        Blocks of a frozen ViT, or stages of another frozen backbone, that learn all the same: the last ones.
    precision : {"float32", "bfloat16"}
        bfloat16 pays on GPUs and on CPUs with AVX512-BF16 or AMX only.
    workers : int
        Processes that prepare samples.
    diameter_range : (float, float), optional
        What the checkpoint says of the typical cell diameters, in pixels, that it is best at.
    preprocessing : Preprocessing
    augmentation : Augmentation
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "small"
    backbone_weights: str | None = None
    start_from: Path | None = None
    train: tuple[Dataset, ...] = Field(min_length=1)
    validation: tuple[Dataset, ...] = Field(min_length=1)
    output: Path = Path("checkpoints/run")
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=100, ge=1)
    steps_per_epoch: int = Field(default=250, ge=1)
    batch_size: int = Field(default=8, ge=1)
    crop_size: int = Field(default=256, ge=32, multiple_of=16)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    warmup_steps: int = Field(default=250, ge=0)
    clip_grad_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    loss: Literal["mse", "bce"] = "mse"
    patience: int = Field(default=7, ge=1)
    freeze_backbone: bool | None = None
    unfreeze_last: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = Field(default=1, ge=0)
    diameter_range: tuple[float, float] | None = None
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> Self:
        if self.start_from is not None and self.backbone_weights is not None:
            raise ValueError("start_from brings a backbone along: leave backbone_weights out, or start_from")
        if self.freeze_backbone and self.start_from is None and self.backbone_weights is None:
            raise ValueError(
                "freeze_backbone would freeze random weights: give backbone_weights or start_from"
            )
        return self

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    @classmethod
    def from_yaml(cls, path: Path, **overrides: Any) -> Self:
        """Read a YAML file.

        Parameters
        ----------
        path : Path
        **overrides
            Values that replace those of the file.

        Raises
        ------
        FileMissingError
            If there is no such file.
        ConfigError
            If it is not YAML, has an unknown key, or a value out of bounds.
        """
        values = read_yaml(path, remedy="Give a YAML file")
        try:
            return cls.model_validate(values | overrides)
        except ValidationError as error:
            raise ConfigError(f"{path}: {_explain(error, cls)}") from error

    def to_yaml(self, path: Path) -> None:
        """Write the settings so that `from_yaml` reads them back."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        path.write_text(text, encoding="utf-8")


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One line for the first problem, with the nearest known key where one is unknown."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if not where:  # settings that do not fit each other
        return first["msg"].removeprefix("Value error, ")
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg']}, not {first['input']!r}"
    known = [*model.model_fields, *Augmentation.model_fields, *Dataset.model_fields]
    near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown key {where!r}{hint}"
