"""Tables of the results that generalisation.py writes, in Markdown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from resampling import Count, Estimate, Sets, average_precision, difference, estimate, set_precision

SMALL = 5
"""Number of images below which a set has no veto."""

NUCLEI = ("_nuclei", "_histology")
"""Endings of the sets that annotate nuclei; the others annotate whole cells."""

Result = Mapping[str, Any]


def target_of(name: str) -> str:
    """Return what a set annotates, by its name."""
    return "nuclei" if name.endswith(NUCLEI) else "cells"


def counts_of(result: Result, column: str) -> dict[str, dict[str, Count]]:
    """Return the counts of a column of the table, by set and image; sets that lack it are left out."""
    sets = {
        name: {image: as_count(row[column]) for image, row in rows.items() if column in row}
        for name, rows in result["table"].items()
    }
    return {name: counts for name, counts in sets.items() if counts}


def as_count(counts: Any) -> Count:
    """Return (matched, true, predicted) at an IoU of 0.5 of counts as they are stored."""
    if isinstance(counts, list):
        return counts
    return [counts["true_positives"][0], counts["true_cells"], counts["predicted_cells"]]


def score_table(result: Result, against: Result | None) -> Iterator[str]:
    """Yield the lines of the table of AP@0.5, the means, and the sets that veto."""
    default, given, bound = (counts_of(result, column) for column in ("default", "given", "upper_bound"))
    other = counts_of(against, "default") if against else {}
    heads = ["set", "images", "cells", "AP@0.5", "target given", "target found", "upper bound"]
    yield "| " + " | ".join([*heads, *(["difference"] if against else [])]) + " |"
    yield "|---" * (len(heads) + bool(against)) + "|"
    for name, counts in default.items():
        cells = sum(count[1] for count in counts.values())
        row = [
            f"{name}{' †' if len(counts) < SMALL else ''}",
            f"{len(counts)}",
            f"{cells:,.0f}",
            f"{estimate({name: counts})}",
            f"{set_precision(given[name]):.3f}" if name in given else "–",
            choices(result["table"][name], name),
            f"{set_precision(bound[name]):.3f}",
        ]
        yield (
            "| "
            + " | ".join([*row, *([signed(difference({name: counts}, other))] if against else [])])
            + " |"
        )
    for part in ("val", "zeroshot"):
        row = [f"**mean of {part}**", "", "", f"**{estimate(weighty(default, part))}**"]
        row += [plain(estimate(weighty(given, part)).value), ""]
        row += [plain(estimate(weighty(bound, part)).value)]
        paired = [signed(difference(weighty(default, part), other))] if against else []
        yield "| " + " | ".join([*row, *paired]) + " |"
    if against:
        yield f"\nWorse than {against['model']}: {', '.join(worse(default, other)) or 'no set'}."


def weighty(sets: Sets, part: str) -> Sets:
    """Keep the sets of a part that have enough images to be in its mean."""
    return {
        name: counts for name, counts in sets.items() if name.startswith(f"{part}/") and len(counts) >= SMALL
    }


def worse(ours: Sets, theirs: Sets) -> list[str]:
    """List the sets with enough images in which all of the interval of the difference lies below 0."""
    return [
        name
        for name, counts in ours.items()
        if len(counts) >= SMALL and difference({name: counts}, theirs).high < 0
    ]


def plain(number: float) -> str:
    """Format a score that may be undefined."""
    return "–" if np.isnan(number) else f"{number:.3f}"


def signed(number: Estimate) -> str:
    """Format a difference."""
    if np.isnan(number.value):
        return "–"
    interval = "" if np.isnan(number.low) else f" [{number.low:+.3f}, {number.high:+.3f}]"
    return f"{number.value:+.3f}{interval}"


def choices(rows: Mapping[str, Any], name: str) -> str:
    """Count the images of which the model itself chose the target that the set annotates."""
    chosen = [row["chosen"] for row in rows.values() if "chosen" in row]
    return f"{chosen.count(target_of(name))} of {len(chosen)}" if chosen else "–"


def robustness_table(result: Result, against: Result | None) -> Iterator[str]:
    """Yield the lines of the table of changes: a row a set, a column a change; then their means.

    A border has the share of cells that stayed, the other changes the difference of AP@0.5 to the image as it
    was. In parentheses stands the same of the other model. Small sets are not in the means.
    """
    ours = {name: changes_of(rows) for name, rows in result["robustness"].items()}
    theirs = {name: changes_of(rows) for name, rows in (against or {}).get("robustness", {}).items()}
    columns = list(dict.fromkeys(change for row in ours.values() for change in row))
    columns.sort(key=order)
    yield "| set | px | images | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 3) + "|"
    for name, row in ours.items():
        rows = result["robustness"][name]
        cells = [pair_of(row.get(change), theirs.get(name, {}).get(change), change) for change in columns]
        images = f"{len(rows['images'])} of {rows['images_of_set']}"
        small = " †" if rows["images_of_set"] < SMALL else ""
        yield f"| {name}{small} | {rows['diameter']:.0f} | {images} | " + " | ".join(cells) + " |"
    heavy, heavy_theirs = (
        [row for name, row in rows.items() if result["robustness"][name]["images_of_set"] >= SMALL]
        for rows in (ours, {name: row for name, row in theirs.items() if name in ours})
    )
    for title, summarise in (("mean", np.nanmean), ("worst", np.nanmin)):
        cells = [
            pair_of(
                summarised(heavy, [change], summarise),
                summarised(heavy_theirs, [change], summarise) if theirs else None,
                change,
            )
            for change in columns
        ]
        yield f"| **{title}** | | | " + " | ".join(cells) + " |"
    borders = [change for change in columns if change.endswith("border")]
    if heavy and borders:
        mean, lowest = (summarised(heavy, borders, summarise) for summarise in (np.nanmean, np.nanmin))
        yield f"\nAll borders: mean {mean:.2f}, worst {lowest:.2f}."


def summarised(
    rows: Sequence[Mapping[str, float]], changes: Sequence[str], summarise: Callable[[list[float]], Any]
) -> float:
    """Summarise the numbers of some changes over sets; NaN where there are none."""
    values = [row[change] for row in rows for change in changes if change in row]
    return float(summarise(values)) if not np.isnan(values).all() else np.nan


def order(change: str) -> tuple[bool, float]:
    """Return by what the columns are sorted: sizes last, small ones first."""
    is_size = change.endswith("×")
    return is_size, float(change.removesuffix("×")) if is_size else 0.0


def changes_of(rows: Mapping[str, Any]) -> dict[str, float]:
    """Compute the number that the table holds of every change of a set."""
    images = rows["images"].values()
    changes = dict.fromkeys(change for image in images for change in image)
    return {
        change: change_of(change, [image[change] for image in images if change in image])
        for change in changes
    }


def change_of(change: str, pairs: list[list[Count]]) -> float:
    """Compute the share of cells that bore a border, or the difference of AP@0.5 that another change made."""
    before, after = average_precision(np.sum(pairs, axis=0))
    return float(after if change.endswith("border") else after - before)


def pair_of(ours: float | None, theirs: float | None, change: str) -> str:
    """Format a number of the table, and in parentheses that of the other model."""
    form = "{:.2f}" if change.endswith("border") else "{:+.2f}"
    texts = [form.format(number) for number in (ours, theirs) if number is not None and not np.isnan(number)]
    if not texts or ours is None or np.isnan(ours):
        return "–"
    return texts[0] if len(texts) == 1 else f"{texts[0]} ({texts[1]})"
