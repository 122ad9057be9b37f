"""The page as a folder of files that runs the network in the browser, and sends nothing anywhere.

Any web server can publish it: there is nothing but files. What Python fits to the weights, and would be
written twice otherwise, travels in the ``config.json`` of the folder.
"""

import json
import lzma
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dinocell.errors import CheckpointError, OutputError
from dinocell.inference import targets
from dinocell.measure import confidence
from dinocell.models.checkpoint import GRAPH_FILE, WEIGHTS_FILE, Checkpoint, read_config, weights_file
from dinocell.models.finding import CONFIG_FILE
from dinocell.models.graph import check_weights
from dinocell.models.variants import VARIANTS
from dinocell.version import __version__

PAGE = Path(__file__).parent / "page"
"""Folder of the page as it was built: see ``make web``."""

README_FILE = "README.txt"
INDEX_FILE = "index.html"
_SUMS = "sums.json"  # by which the build knows what is packed already

LARGEST_WEIGHTS = 10**9
"""Bytes of the largest weights: a browser holds them twice while it opens them, in 4 GB at most."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",
        "connect-src 'self' blob:",
        "img-src 'self' blob: data:",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""Content security policy of the folder: nothing from elsewhere, and nothing to elsewhere."""

_SERVER = '<meta name="dinocell-backend" content="server">'
_BROWSER = (
    f'<meta name="dinocell-backend" content="browser">\n'
    f'    <meta http-equiv="Content-Security-Policy" content="{POLICY}">'
)
_FIRST_LINE = "DINOCell in the browser: "
_README = """\
{first_line}{variant}, written by DINOCell {version}.
Publish this folder with any web server, or look at it here: python -m http.server --bind 127.0.0.1
The headers "Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp" let the
network run on several cores; without them it uses one. Opened by double click it does not work.
Images are read, segmented and corrected in the browser: they never leave the computer that opens the page.
"""


def write_static_site(model: str | Path, folder: Path, *, overwrite: bool = False, page: Path = PAGE) -> Path:
    """Write a folder that segments in the browser with a model; needs no PyTorch.

    Parameters
    ----------
    model : str or Path
        Name of a trained model, or a checkpoint folder with a ``model.onnx``.
    folder : Path
        A new or empty folder.
    overwrite : bool
        Whether a folder that this wrote before is replaced.
    page : Path
        Folder of the page as it was built.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnknownModelError, UntrainedModelError
        If there is no such model.
    CheckpointError
        If it has no graph, or more weights than a browser can hold.
    OutputError
        If the folder holds something, or cannot be written.
    """
    folder = Path(folder)
    _check_folder(folder, overwrite=overwrite)
    checkpoint = _check_model(Checkpoint.find(model))
    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(page, temporary, ignore=shutil.ignore_patterns(_SUMS))
        _unpack(temporary)
        _change_index(temporary / INDEX_FILE)
        _copy_model(checkpoint, temporary / "model")
        readme = _README.format(
            first_line=_FIRST_LINE, variant=read_config(checkpoint).variant, version=__version__
        )
        (temporary / README_FILE).write_text(readme, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write folder {folder}: {error.strerror or error}. Choose a folder you may write to"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def describe_model(folder: Path) -> dict[str, Any]:
    """Return what the page needs to know of a checkpoint, as JSON values."""
    config = read_config(folder)
    title = VARIANTS[config.variant].title if config.variant in VARIANTS else ""
    return {
        "variant": config.variant,
        "description": title,
        "dinocell": __version__,
        "tile_size": config.tile_size,
        "overlap": config.overlap,
        "stride": config.backbone.stride,
        "preprocessing": asdict(config.preprocessing),
        "targets": {name: each.model_dump(mode="json") for name, each in config.targets.items()},
        "target_choice": {"bright": targets.BRIGHT, "wider": targets.WIDER},
        "confidence": {
            "intercept": confidence.INTERCEPT,
            "agreement": confidence.AGREEMENT_WEIGHT,
            "spill": confidence.SPILL_WEIGHT,
            "saddle": confidence.SADDLE_WEIGHT,
            "low_mean": confidence.LOW_MEAN,
        },
    }


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise OutputError for a folder that holds something else than what may be replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, expected a folder: choose another -o")
    if not any(folder.iterdir()):
        return
    if not _is_ours(folder):
        raise OutputError(
            f"{folder} holds files that `dinocell export` did not write, expected a new or empty folder: "
            "choose another -o"
        )
    if not overwrite:
        raise OutputError(f"{folder} exists: choose another -o, or replace it with --overwrite")


def _is_ours(folder: Path) -> bool:
    try:
        return (folder / README_FILE).read_text(encoding="utf-8").startswith(_FIRST_LINE)
    except (OSError, UnicodeDecodeError):
        return False


def _check_model(checkpoint: Checkpoint) -> Path:
    """Return the folder of a checkpoint that a browser can run; raise CheckpointError for others."""
    folder = checkpoint.folder
    if folder is None or checkpoint.graph is None:
        raise CheckpointError(
            f"{folder} has no {GRAPH_FILE}, expected the network as ONNX beside its weights: save the model "
            "again with the export extra installed"
        )
    size = weights_file(folder).stat().st_size
    if size > LARGEST_WEIGHTS:
        raise CheckpointError(
            f"{folder} has {size / 1e9:.1f} GB of weights, expected at most {LARGEST_WEIGHTS / 1e9:.0f} GB, "
            "which a browser can hold: choose a smaller model"
        )
    check_weights(folder)
    return folder


def _unpack(site: Path) -> None:
    """Unpack what lies compressed in the package."""
    for packed in site.rglob("*.xz"):
        with lzma.open(packed) as source, packed.with_suffix("").open("wb") as target:
            shutil.copyfileobj(source, target)
        packed.unlink()


def _change_index(index: Path) -> None:
    """Write into the page that the browser segments, and forbid it all that is elsewhere."""
    text, count = re.subn(re.escape(_SERVER), _BROWSER, index.read_text(encoding="utf-8"))
    if count != 1:
        raise OutputError(f"{index} does not name its backend once: build the page again with `make web`")
    index.write_text(text, encoding="utf-8")


def _copy_model(folder: Path, target: Path) -> None:
    target.mkdir()
    for name in (GRAPH_FILE, WEIGHTS_FILE):
        shutil.copyfile(folder / name, target / name)
    text = json.dumps(describe_model(folder), indent=1, ensure_ascii=False)
    (target / CONFIG_FILE).write_text(f"{text}\n", encoding="utf-8")
