"""The job *fine-tune*: a model learns from results that a person corrected."""

import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError

from dinocell.editing.corrected import save_corrected
from dinocell.errors import InputError
from dinocell.extras import require_extra
from dinocell.labels import Target
from dinocell.settings import Section, explain_problem
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.records import ResultRecord
from dinocell.web.correcting.open_result import OpenResult
from dinocell.web.failures import BusyError
from dinocell.web.jobs.job_kind import JobKind, JobRequest, Order, Report, Reported
from dinocell.web.messages import JobName, Learned
from dinocell.web.models import DEFAULT, NAME, find_model, known_models, model_folder
from dinocell.web.settings import Limits

_SAVED, _LEARNED = "saved", "learned"


class FinetuneSettings(Section):
    """Settings of a fine-tuning, named as those of ``dinocell finetune``."""

    name: str = Field(default="mine", description="Name of the new model")
    model: str = Field(default=DEFAULT, description="Model that is adapted")
    steps: int = Field(default=100, ge=1, le=10000, description="Optimiser steps")
    annotates: Target | None = Field(
        default=None, description="Target that learns; null: as it was segmented"
    )


class FinetuneRequest(JobRequest):
    """Request to adapt a model to corrected results."""

    kind: Literal["fine-tune"]
    results: list[str] = Field(min_length=1, max_length=1000)


class FinetuneJob(JobKind):
    """Adaptation of a model; a part of the cells is held back, and compared before and after."""

    name: ClassVar[JobName] = "fine-tune"
    request: ClassVar[type[JobRequest]] = FinetuneRequest

    def prepare(
        self, request: FinetuneRequest, archive: Archive, limits: Limits
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check the settings, and that there is something to learn from."""
        for package in ("torch", "accelerate"):
            require_extra(package, extra="train", purpose="fine-tuning")
        try:
            chosen = FinetuneSettings.model_validate(request.settings)
        except ValidationError as error:
            raise InputError(explain_problem(error, FinetuneSettings)) from error
        if not NAME.fullmatch(chosen.name):
            raise InputError(
                f"name is {chosen.name!r:.60}, expected small letters, digits, - and _, 40 at most, such as "
                "my-cells"
            )
        if chosen.name in {each.name for each in known_models(archive)}:
            raise BusyError(f"there is a model {chosen.name!r} already, expected a new name: choose another")
        records = [archive.result(each) for each in dict.fromkeys(request.results)]
        for record in records:
            _check_corrected(record, archive)
        model = find_model(archive, chosen.model)
        details = {"results": [each.id for each in records], "archive": str(archive.folder), "base": model}
        return chosen.model_dump(mode="json"), details

    def run(self, order: Order, report: Report) -> dict[str, Any]:
        """Write what was corrected, and learn from it."""
        from dinocell.training.finetuning.corrections import FinetuneOrder, Phase, finetune_saved

        settings = order.settings
        shutil.rmtree(order.work, ignore_errors=True)
        _save(order)

        def show(event: object) -> None:
            if isinstance(event, Phase):
                report(Reported(event.title, event.done, event.total, event.loss))

        learned = finetune_saved(
            FinetuneOrder(
                order.work / _SAVED, order.work / _LEARNED, order.details["base"], settings["steps"],
                settings["annotates"],
            ),
            show,
        )  # fmt: skip
        found = learned.comparison
        return {
            "folder": str(learned.model),
            "images": learned.images,
            "before": None if found is None else found.before,
            "after": None if found is None else found.after,
        }

    def keep(self, order: Order, outcome: dict[str, Any], archive: Archive) -> dict[str, Any]:
        """Move the model to its place."""
        name = order.settings["name"]
        shutil.move(outcome.pop("folder"), model_folder(archive, name))
        shutil.rmtree(order.work, ignore_errors=True)
        return {"learned": Learned(model=name, **outcome)}


def _check_corrected(record: ResultRecord, archive: Archive) -> None:
    name = archive.image(record.image).name
    if record.kind == "large":
        raise InputError(f"{name} is too large to be learned from, expected smaller images: leave it out")
    if not (record.checked or record.all_checked):
        raise InputError(
            f"no cell of {name} was checked yet, expected one at least: look at cells with N, correct some, "
            "or say that all of it is right"
        )


def _save(order: Order) -> None:
    """Write images and labels as fine-tuning reads them."""
    archive = Archive(Path(order.details["archive"]))
    try:
        for number, result in enumerate(order.details["results"]):
            record = archive.result(result)
            opened = OpenResult(archive, record)
            save_corrected(
                order.work / _SAVED,
                f"{number:03d}_{Path(opened.image.name).stem}",
                opened.read_input().pixels,
                opened.review(),
                pixel_size_yx_um=record.pixel_size_um,
                provenance=record.provenance,
                source=opened.image.name,
                target=record.target,
            )
    finally:
        archive.close()
