"""Files that an evaluation leaves: tables, the report, and thresholds in a checkpoint."""

from pathlib import Path

from dinocell.datasets.masks import first_few
from dinocell.evaluation.predictions import prediction_path
from dinocell.evaluation.report import write_report
from dinocell.evaluation.run import EvaluationRun, label_folder
from dinocell.evaluation.scoring import CHOSEN_ON, HASH_DIGITS
from dinocell.evaluation.tables import image_rows, summary_rows
from dinocell.io.presence import check_still_there
from dinocell.io.saving import atomic_path
from dinocell.models.checkpoint import read_config, write_config
from dinocell.models.finding import CONFIG_FILE
from dinocell.reports.tables import write_table


def write_thresholds(run: EvaluationRun, checkpoint: Path) -> None:
    """Write the best thresholds of a target into a checkpoint, with hashes of the images they were chosen on.

    Those of another target, and what they were chosen on, stay.

    Parameters
    ----------
    run : EvaluationRun
        After a search, and after scoring.
    checkpoint : Path
        Its configuration is replaced in one step.

    Raises
    ------
    OutputError
        If the checkpoint cannot be written.
    """
    config, target = read_config(checkpoint), run.target
    hashes = {
        name: sorted(result.labels_sha256[:HASH_DIGITS] for result in results)
        for name, results in run.results.items()
    }
    before = config.training.get(CHOSEN_ON)
    chosen_on = (before if isinstance(before, dict) else {}) | {target: hashes}
    changed = config.with_settings(target, thresholds=run.points[0].thresholds).model_copy(
        update={"training": config.training | {CHOSEN_ON: chosen_on}}
    )
    with atomic_path(checkpoint / CONFIG_FILE) as temporary:
        write_config(temporary, changed)


def write_evaluation(run: EvaluationRun, output: Path, scored: Path | str) -> None:
    """Write ``images.csv``, ``summary.csv`` and ``report.html``.

    Parameters
    ----------
    run : EvaluationRun
    output : Path
        The folder that `EvaluationRun.score_model` was given.
    scored : Path or str
        The folder of predictions, or the name of the model.

    Raises
    ------
    OutputError
        If a file cannot be written, or label images that were written are gone.
    MissingExtraError
        If matplotlib is not installed.
    """
    if not isinstance(scored, Path):
        _check_labels(run, output)
    write_table(output / "images.csv", image_rows(run.results))
    write_table(output / "summary.csv", summary_rows(run.results))
    label_notes = [note for results in run.results.values() for result in results for note in result.notes]
    write_report(
        output / "report.html",
        str(scored),
        run.results,
        run.points,
        run.datasets,
        scored if isinstance(scored, Path) else output / "labels",
        [*run.notes, *first_few(label_notes), *run.failure_groups.lines(what="images")],
    )


def _check_labels(run: EvaluationRun, output: Path) -> None:
    """Raise an error if a label image that was written has vanished since."""
    scored = {name: {result.name for result in results} for name, results in run.results.items()}
    files = [
        prediction_path(label_folder(output, name), item)
        for name, items in run.datasets.items()
        for item in items
        if item.name in scored[name]
    ]
    check_still_there(files)
