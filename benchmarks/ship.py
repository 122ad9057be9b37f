"""Shipping of the weights of a training: into the package, with all that hangs on them built anew.

python benchmarks/ship.py RUN [--steps STEP …] [--again] [--against OLD.json]        (or: make ship MODEL=RUN)

RUN is the folder of a training, or a checkpoint. A step is skipped where what it writes records the weights
that ship, so a call that was stopped goes on where it was; ``--again`` repeats the steps. Predictions and
scores are kept in ``ship/HASH``, by weights and thresholds. At the end, and in the tests, every artefact is
compared with the weights. Held-back images are those that ``hold_back.py`` links into ``datasets/held_back``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch

import calibration
import generalisation
import hold_back
import ship_card
import ship_clicks
import ship_page
import ship_pages
import ship_pictures
import ship_targets
from dinocell import DINOCell, DINOCellPipeline
from dinocell.datasets.folder import find_pairs
from dinocell.errors import DINOCellError
from dinocell.models.checkpoint import read_config, write_config
from dinocell.models.export.checkpoint_graph import write_graph
from dinocell.models.finding import CONFIG_FILE
from dinocell.results.overlay import write_overlay
from generalisation_tables import score_table
from ship_engines import TOLERANCE, compare_engines, find_images
from ship_pages import CARD, NOTEBOOK, ROOT, SHIPPED, THRESHOLDS
from ship_scores import WORKERS, Shipping
from ship_thresholds import choose_thresholds

DOCS = ROOT / "docs"


# ---------------------------------------------------------------- the steps


def install(shipping: Shipping) -> None:
    """Copy the weights as float16, unless they are there already; the model card stays."""
    source = shipping.run / "best_model" if (shipping.run / "best_model").is_dir() else shipping.run
    model = DINOCell.from_pretrained(source)
    norms = {getattr(part, "norm", "folded") for part in (model.config.backbone, model.config.decoder)}
    if norms & {"batch"} or not model.config.trained:
        raise SystemExit(f"{source} is not a best_model: its norms are {', '.join(sorted(norms))}")
    with tempfile.TemporaryDirectory() as temporary:
        model.save_pretrained(Path(temporary) / "nano", dtype=torch.float16)
        new = Path(temporary) / "nano"
        if ship_pages.hash_content(new / "model.safetensors")[: ship_pages.DIGITS] == shipping.weights:
            print("  the weights are there already: their thresholds stay")
        else:
            for name in (CONFIG_FILE, "model.safetensors"):  # weights last, by which a repeat knows
                shutil.copyfile(new / name, SHIPPED / f".{name}.tmp")
                (SHIPPED / f".{name}.tmp").rename(SHIPPED / name)
    print(f"  {write_graph(SHIPPED).name} fits them")
    record("weights", shipping.weights)


def engines(shipping: Shipping) -> None:
    """Compare the maps and the labels of the graph with those of the network in PyTorch."""
    samples = sorted((ROOT / "samples").glob("*_img.png"))
    kinds = [folder for folder in shipping.folders if folder.parent.name in ("val", "zeroshot")]
    for name, images in (("samples", samples), ("val and zeroshot", list(find_images(kinds)))):
        largest, others = compare_engines(SHIPPED, images)
        print(f"  {name}: {len(images)} images, maps differ by up to {largest:.1e}, labels of {len(others)}")
        if largest > TOLERANCE or (others and name == "samples"):
            raise SystemExit(f"the graph does not compute what the network does: {others[:3]}")


def clicks(shipping: Shipping) -> None:
    """Train the decoder of clicks, and let it ship if it is worth its bytes."""
    work = ROOT / "ship" / f"{shipping.weights}-clicks"
    for line in ship_clicks.train(SHIPPED, shipping.data, work):
        print(f"  {line}", flush=True)
    kinds = [folder for folder in shipping.folders if folder.parent.name in ("val", "zeroshot")]
    print(f"  {ship_clicks.ship(work / 'clicks', SHIPPED, kinds)}")


def thresholds(shipping: Shipping) -> None:
    """Choose the thresholds of every target on val and zeroshot."""
    choose_thresholds(SHIPPED, shipping.data, WORKERS)
    record(THRESHOLDS, shipping.weights)


def record(key: str, weights: str) -> None:
    """Record weights in the configuration that ships."""
    config = read_config(SHIPPED)
    changed = config.model_copy(update={"training": config.training | {key: weights}})
    write_config(SHIPPED / CONFIG_FILE, changed)


def targets(shipping: Shipping) -> None:
    """Fit the choice between targets on annotated images of train, val and zeroshot, and say how it does."""
    fitted = shipping.held_back.with_name("fit")
    folders = [folder for folder in shipping.folders if folder.parent != shipping.held_back]
    folders += sorted(fitted.iterdir()) if fitted.is_dir() else []
    evidences = ship_targets.weigh_folders(SHIPPED, folders, WORKERS)
    bright, wider = ship_targets.fit(evidences)
    ship_targets.set_constants(bright, wider)
    shipping.edit(DOCS / "segmenting.md", {"targets": ship_targets.choice_lines(evidences)})
    ship_pages.write_constants(ship_pages.TARGETS, shipping.weights, bright=bright, wider=wider)


def scores(shipping: Shipping) -> None:
    """Predict all annotated images, and write the tables of scores."""
    table = {key: rows for key, rows in shipping.sets.items() if not key.startswith(shipping.held_back.name)}
    result = {"model": "nano", "weights": shipping.weights, "table": table}
    against = json.loads(shipping.against.read_text(encoding="utf-8")) if shipping.against else None
    (shipping.work / "generalisation.json").write_text(json.dumps(result), encoding="utf-8")
    validation = list(ship_card.score_lines(shipping.part("val"), "validation set"))
    shipping.edit(
        CARD,
        {
            "scores": validation,
            "held-back": ship_card.score_lines(shipping.part(shipping.held_back.name), "held back"),
            "generalisation": score_table(result, against),
            "thresholds": ship_card.threshold_lines(shipping.config.targets),
        },
    )
    shipping.edit(DOCS / "models.md", {"scores": validation})
    shipping.edit(ROOT / "README.md", {"scores": ship_card.readme_lines(shipping.part("val"))})


def confidence(shipping: Shipping) -> None:
    """Fit the constants of the confidence on held-back images, and measure what it is worth."""
    val = [folder for folder in shipping.folders if folder.parent.name == "val"]
    held_back = [folder for folder in shipping.folders if folder.parent == shipping.held_back]
    kinds = [folder for folder in shipping.folders if folder.parent != shipping.held_back]
    learned = set(shipping.config.training.get("train", {}))
    _ = shipping.sets  # predicts what is not there
    predict = partial(
        calibration.predict_pair, DINOCellPipeline(str(SHIPPED), device="cpu"), shipping.work / "maps"
    )
    fitted = calibration.fit(
        calibration.concatenate(
            calibration.measure_pair(p, predict) for f in held_back for p in find_pairs(f)
        )
    )
    # The same constants that the module will have decide what is measured from here on.
    rounded = {name: round(value, 2) for name, value in fitted.items()}
    calibration.set_constants(rounded)
    means = calibration.measure_means(kinds, predict)
    limit = calibration.choose_limit(means[0], learned)
    datasets = calibration.measure_datasets([folder for folder in val if folder.name in learned], predict)
    calibration.draw(datasets, DOCS / "images" / "calibration.png", {"weights": shipping.weights})
    shipping.edit(
        DOCS / "trust.md",
        {
            "confidence": calibration.score_lines(datasets),
            "bins": calibration.bin_lines(datasets),
            "means": calibration.mean_lines(means),
            "limits": calibration.limit_lines(means, learned),
        },
    )
    ship_pages.write_constants(ship_pages.CONFIDENCE, shipping.weights, **rounded, low_mean=limit)


def pictures(shipping: Shipping) -> None:
    """Draw the pictures of the first page, and of the page of fixes."""
    pipeline = DINOCellPipeline(str(SHIPPED), device="cpu")
    samples = ROOT / "samples"
    drawn = {"result": ship_pictures.first_page(pipeline, samples)}
    for option in ship_pictures.EFFECTS:
        drawn[f"effect_{option}"] = ship_pictures.effect(pipeline, samples, option)
    for name in ship_pictures.FAILURES:
        drawn[f"failure_{name}"] = ship_pictures.failure(pipeline, shipping.data, name)
    for name, picture in drawn.items():
        write_overlay(DOCS / "images" / f"{name}.png", picture, provenance={"weights": shipping.weights})


def card(shipping: Shipping) -> None:
    """Write where the weights come from, into the model card and the notices."""
    training = shipping.config.training
    fitted = shipping.held_back.with_name("fit")
    counts = ship_card.set_counts(sorted(fitted.iterdir())) if fitted.is_dir() else {}
    rows = list(ship_card.data_lines(training, counts))
    shipping.edit(CARD, {"data": rows, "recipe": ship_card.recipe_lines(training)})
    shipping.edit(ROOT / "NOTICE.md", {"data": ship_card.notice_lines(training)})


def notebook(shipping: Shipping) -> None:
    """Run the tutorial, and store it with its pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "samples").symlink_to(ROOT / "samples")
        convert = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", str(NOTEBOOK)]
        environment = os.environ | {"JUPYTER_PLATFORM_DIRS": "1", "MPLBACKEND": ""}
        subprocess.run(  # noqa: S603 (our own notebook)
            [*convert, "--output-dir", temporary, "--output", "done"],
            check=True,
            cwd=temporary,
            env=environment,
        )
        done = json.loads((Path(temporary) / "done.ipynb").read_text(encoding="utf-8"))
    for cell in done["cells"]:
        cell.get("metadata", {}).pop("execution", None)  # times, which differ every time
        if cell["cell_type"] == "code":
            cell["outputs"] = [each for each in cell["outputs"] if each.get("name") != "stderr"]
    ship_pages.stamp_notebook(done, shipping.weights)
    NOTEBOOK.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def page(_: Shipping) -> None:
    """Write the golden files that the page in the browser is held to."""
    ship_page.write_goldens()


def stale(shipping: Shipping) -> None:
    """Mark every section that was measured by hand with other weights."""
    for page in ship_pages.pages():
        before = page.read_text(encoding="utf-8")
        if (after := ship_pages.mark_stale(before, shipping.weights)) != before:
            page.write_text(after, encoding="utf-8")


STEPS: dict[str, tuple[Callable[[Shipping], None], tuple[str, ...]]] = {
    "install": (install, ()),
    "engines": (engines, ()),
    "clicks": (clicks, ("src/dinocell/models/shipped/nano/clicks.onnx",)),
    "thresholds": (thresholds, ("config.json: thresholds",)),
    "targets": (targets, ("src/dinocell/inference/targets.py", "docs/segmenting.md: targets")),
    "scores": (scores, ("README.md: scores", "docs/models.md: scores", "CARD: scores", "CARD: thresholds")),
    "confidence": (confidence, ("src/dinocell/measure/confidence.py", "docs/images/calibration.png")),
    "pictures": (pictures, tuple(f"docs/images/{path.name}" for path in ship_pages.DRAWN)),
    "card": (card, ("CARD: data", "CARD: recipe", "NOTICE.md: data")),
    "page": (page, ("page/test/golden",)),
    "notebook": (notebook, ("docs/Tutorial.ipynb",)),
    "stale": (stale, ()),
}
"""Steps in their order, and some of what each writes: it is skipped where that records the weights."""


def up_to_date(artefacts: Iterable[str], weights: str) -> bool:
    """Return whether artefacts exist, and all record these weights."""
    found = ship_pages.recorded()
    names = [name.replace("CARD", str(CARD.relative_to(ROOT))) for name in artefacts]
    return bool(names) and all(found.get(name) == weights for name in names)


def outdated(weights: str) -> Iterator[str]:
    """Yield the artefacts that record other weights."""
    return (f"{name}: {other}" for name, other in ship_pages.recorded().items() if other != weights)


def main() -> None:
    """Run the steps, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--again", action="store_true", help="repeat steps whose results are there")
    parser.add_argument("--against", type=Path, help="result of generalisation.py of the model replaced")
    parser.add_argument("--data", type=Path, default=generalisation.DATA)
    parser.add_argument("--held-back", type=Path, default=ROOT / "datasets" / "held_back")
    options = parser.parse_args()
    if not options.held_back.is_dir():
        for folder in sorted((options.data / "train").iterdir()):
            hold_back.split(folder.resolve(), options.held_back.parent)
    shipping = Shipping(options.run, options.data, options.held_back, options.against)
    for name in options.steps:
        step, artefacts = STEPS[name]
        if not options.again and up_to_date(artefacts, shipping.weights):
            print(f"{name}: is there")
            continue
        print(f"{name}: {(step.__doc__ or '').splitlines()[0]}", flush=True)
        start = time.perf_counter()
        step(shipping)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    others = list(outdated(shipping.weights))
    print(
        "\n".join(
            ["Of other weights:", *others] if others else [f"All is of the weights {shipping.weights}."]
        )
    )
    sys.exit(bool(others))


if __name__ == "__main__":
    try:
        main()
    except DINOCellError as error:
        sys.exit(f"error: {error}")
