"""Lines of the model card and of other pages about the shipped model: its data, recipe and scores."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dinocell.datasets.folder import find_pairs
from dinocell.metrics.counts import Counts
from dinocell.metrics.scores import Scores
from generalisation_tables import SMALL, target_of

SOURCES = {
    "usiigaci_phase": (
        "[Usiigaci](https://github.com/oist/Usiigaci) Mask R-CNN training sets: T98G glioblastoma, "
        "phase contrast, whole cells",
        "MIT, © 2018 OIST",
    ),
    "dsb2018_nuclei": (
        "2018 Data Science Bowl stage 1 ([BBBC038](https://bbbc.broadinstitute.org/BBBC038)) with the "
        "corrections of lopuhin: nuclei in fluorescence, H&E and brightfield",
        "CC0",
    ),
    "bbbc039_nuclei": (
        "[BBBC039](https://bbbc.broadinstitute.org/BBBC039) v1: nuclei, Hoechst, U2OS",
        "CC0",
    ),
    "aitslab_nuclei": (
        "Aitslab-bioimaging1, Arvidsson, Kazemi Rashed and Aits 2022: nuclei, Hoechst, U2OS",
        "[CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/)",
    ),
    "tnbc_histology": (
        "TNBC, Naylor, Walter, Laé and Reyal 2018: nuclei, H&E, breast; connected parts of a binary truth",
        "[CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/)",
    ),
    "c2c12_phase": (
        "examples of laptrack: C2C12, phase contrast, whole cells",
        "BSD-3; pictures [CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/)",
    ),
    "rbc_dic": (
        "[BBBC009](https://bbbc.broadinstitute.org/BBBC009) v1: red blood cells, DIC",
        "CC0 by a second-hand review",
    ),
    "cellbindb": (
        "CellBinDB demo: one image each of DAPI, ssDNA, H&E, membrane (whole cells) and others",
        "MIT, data CC0",
    ),
}
"""Annotated sets that a model may have learned from, by how their names begin: source and licence."""

TITLES = {
    "usiigaci_phase": "Usiigaci, phase contrast, whole cells",
    "dsb2018_nuclei": "DSB 2018, nuclei (fluorescence, H&E, brightfield)",
    "bbbc039_nuclei": "BBBC039, nuclei (fluorescence)",
    "aitslab_nuclei": "Aitslab, nuclei (fluorescence)",
    "tnbc_histology": "TNBC, nuclei (H&E)",
    "c2c12_phase": "C2C12, phase contrast, whole cells",
    "rbc_dic": "BBBC009, red blood cells (DIC)",
}
"""Names of sets in tables."""

Row = Mapping[str, Mapping[str, Any]]
"""Counts of a set by image, as ``generalisation.py`` stores them."""


def source_of(name: str) -> tuple[str, str]:
    """Return source and licence of a set that was learned from; drawn images are our own."""
    for begin, found in SOURCES.items():
        if name.startswith(begin):
            return found
    return "drawn by `dinocell synthesize`", "MIT, our own"


def data_lines(training: Mapping[str, Any], counts: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Yield a row a training set: images and cells where they are at hand, share of the crops, source."""
    shares = training["train"]
    total = sum(shares.values())
    yield "| set | images / cells | share of the crops drawn | source | licence |"
    yield "|---|---|---|---|---|"
    for name, share in shares.items():
        images, cells = counts.get(name, (0, 0))
        number = f"{images:,} / {cells:,}" if images else "–"
        source, licence = source_of(name)
        yield f"| `{name}` | {number} | {100 * share / total:.3g}% | {source} | {licence} |"


def recipe_lines(training: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of the training that its record holds."""
    optimiser = training["optimiser"]
    steps = training["epochs"] * training["steps_per_epoch"]
    yield (
        f"- **Optimiser**: AdamW at {optimiser['learning_rate']:g}, seed {training['seed']}, warm-up over "
        f"{optimiser['warmup_steps']} steps"
    )
    yield (
        f"  and cosine to zero at {steps:,}, weight decay {optimiser['weight_decay']:g}, moving average of "
        f"the weights with decay {training.get('ema_decay')}."
    )
    yield (
        f"- **Crops** of {training['crop_size']} px in batches of {training['batch_size']}; precision "
        f"{training['precision']}; loss {training['loss']['kind']}."
    )
    begun = training.get("start_from")
    yield f"- **Begun** {f'from the weights `{begun}`' if begun else 'from random weights'}."
    yield (
        f"- **Budget**: {training.get('seconds', 0) / 60:.0f} minutes in this run, best after epoch "
        f"{training.get('epoch')}; torch {training.get('torch')}."
    )
    used = {name: value for name, value in training["augmentation"].items() if value not in (None, 0)}
    changes = ", ".join(f"{name} {_plain(value)}" for name, value in used.items())
    yield from textwrap.wrap(f"- **Augmentation**: {changes}.", 118, subsequent_indent="  ")


def _plain(value: Any) -> str:
    return "–".join(f"{number:g}" for number in value) if isinstance(value, list) else str(value)


def threshold_lines(targets: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row a target: its thresholds, and the diameters that it has learned."""
    yield "| target | `--cells-max` | `--cell-fill` | `--merge` | boundary grown back | diameters, px |"
    yield "|---|---|---|---|---|---|"
    for name, each in targets.items():
        t, sizes = each.thresholds, each.diameter_range
        grown = "yes" if t.regrow else "no"
        learned = "–" if sizes is None else f"{sizes[0]:g} to {sizes[1]:g}"
        yield (
            f"| {name} | {t.cells_max_threshold:g} | {t.cell_fill_threshold:g} | {t.merge:g} | {grown} | "
            f"{learned} |"
        )


def pooled(rows: Row, column: str) -> Scores:
    """Pool the images of a set."""
    first, *others = (Counts(**row[column]) for row in rows.values())
    return Scores.from_counts(sum(others, start=first))


def score_lines(sets: Mapping[str, Row], head: str) -> Iterator[str]:
    """Yield a row a set: scores with default settings, and in brackets the upper bound of AP@0.5."""
    yield f"| {head} | images / cells | SEG | DET | OP_CSB | AP@0.5 | AP@0.75 |"
    yield "|---|---|---|---|---|---|---|"
    for name, rows in sets.items():
        scores = pooled(rows, "default")
        matched, true, found = np.sum([row["upper_bound"] for row in rows.values()], axis=0)
        bound = matched / (true + found - matched)
        few = " †" if len(rows) < SMALL else ""
        yield (
            f"| {TITLES.get(name, name)}{few} | {len(rows)} / {scores.counts.true_cells} "
            f"| {scores.seg:.3f} | {scores.det:.3f} | {scores.op_csb:.3f} "
            f"| {scores.ap[0.5]:.3f} ({bound:.3f}) | {scores.ap[0.75]:.3f} |"
        )


def readme_lines(sets: Mapping[str, Row]) -> Iterator[str]:
    """Yield the sentence about the scores in the README, of sets with enough images where there are some."""
    enough = {name: rows for name, rows in sets.items() if len(rows) >= SMALL} or sets
    values = [round(pooled(rows, "default").ap[0.5], 3) for rows in enough.values()]  # as the table has them
    targets = sorted({target_of(name) for name in enough})
    yield (
        f"On validation images of the kinds that `nano` has learned ({' and '.join(targets)}), it reaches an"
    )
    yield f"AP@0.5 of {min(values):.2f} to {max(values):.2f} (1 is best)."


def notice_lines(training: Mapping[str, Any]) -> Iterator[str]:
    """Yield an entry a source of the training sets, drawn images aside."""
    names: dict[tuple[str, str], list[str]] = {}
    for name in training["train"]:
        names.setdefault(source_of(name), []).append(f"`{name}`")
    for (source, licence), sets in names.items():
        yield f"- {', '.join(sets)}: {source}. {licence}."


def set_counts(folders: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Count images and cells of annotated folders, by name."""
    counts = {}
    for folder in folders:
        pairs = find_pairs(folder)
        counts[folder.name] = (len(pairs), sum(int(pair.read().labels.max(initial=0)) for pair in pairs))
    return counts
