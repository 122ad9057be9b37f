"""Artefacts that hang on the shipped weights, and which weights each was made with.

Pages hold blocks that `ship.py` writes, and sections that were measured by hand with some weights::

    <!-- nano 0123456789ab: scores -->        <!-- nano 0123456789ab: measured -->
    | … |                                     | … |
    <!-- end -->                              <!-- end -->

A measured section whose weights are no longer those that ship says so in its first line, which `mark_stale`
adds. Pictures have the hash in their text ``dinocell``, the notebook in its metadata, constants beside them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from dinocell.io.hashes import hash_content
from dinocell.models.clicks import CLICK_FILE
from dinocell.models.graph import WEIGHTS_KEY, open_session

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "src" / "dinocell" / "models" / "shipped" / "nano"
CARD = SHIPPED / "README.md"
CONFIDENCE = ROOT / "src" / "dinocell" / "measure" / "confidence.py"
TARGETS = ROOT / "src" / "dinocell" / "inference" / "targets.py"
CONSTANTS = (CONFIDENCE, TARGETS)
"""Modules with constants that were fitted to the weights, and with their hash."""

NOTEBOOK = ROOT / "docs" / "Tutorial.ipynb"
GOLDENS = ROOT / "page" / "test" / "golden"
"""Files that `ship_page.py` writes: results of Python that the browser is held to."""

DRAWN = tuple(
    ROOT / "docs" / "images" / f"{name}.png"
    for name in (
        "result",
        *(f"effect_{option}" for option in ("cells_max", "cell_fill", "merge", "diameter")),
        *(f"failure_{name}" for name in ("squamous", "dim", "small")),
    )
)
"""Pictures that `ship_pictures.py` draws."""

PICTURES = (*DRAWN, ROOT / "docs" / "images" / "calibration.png")
DIGITS = 12
"""Of the SHA-256 of the weights, as artefacts record it."""

THRESHOLDS = "thresholds_chosen_with"
"""Key of the training record: the weights that the thresholds were chosen with, where ``ship.py`` chose."""

MEASURED = "measured"
EARLIER = "*Measured with an earlier `nano`.*"
"""First line of a measured section that is older than the weights."""

_BLOCK = re.compile(
    r"<!-- nano (?P<weights>[0-9a-f]+|none): (?P<name>[\w-]+) -->\n(?P<text>.*?)<!-- end -->", re.DOTALL
)
_FITTED_WITH = re.compile(r'^FITTED_WITH = "([0-9a-f]*)"$', re.MULTILINE)


def shipped_weights() -> str:
    """Compute the hash of the weights that ship, shortened as artefacts record it."""
    return hash_content(SHIPPED / "model.safetensors")[:DIGITS]


def pages() -> list[Path]:
    """List the pages that may hold blocks."""
    return [ROOT / "README.md", ROOT / "NOTICE.md", *sorted((ROOT / "docs").glob("*.md")), CARD]


def recorded() -> dict[str, str]:
    """Return the weights that each artefact was made with; sections that say they are older are left out."""
    found = {
        f"{page.relative_to(ROOT)}: {block['name']}": block["weights"]
        for page in pages()
        for block in _BLOCK.finditer(page.read_text(encoding="utf-8"))
        if not (block["name"] == MEASURED and EARLIER in block["text"])
    }
    found |= {str(picture.relative_to(ROOT)): _picture_weights(picture) for picture in PICTURES}
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["metadata"].get("dinocell", {})
    config = json.loads((SHIPPED / "config.json").read_text(encoding="utf-8"))["training"]
    for module in CONSTANTS:
        constants = _FITTED_WITH.search(module.read_text(encoding="utf-8"))
        found[str(module.relative_to(ROOT))] = constants[1] if constants else "none"
    return found | {
        str(NOTEBOOK.relative_to(ROOT)): notebook.get("weights", "none"),
        "config.json": config.get("weights", "none"),
        "page/test/golden": _golden_weights(),
        **_clicks_weights(),
        **({"config.json: thresholds": config[THRESHOLDS]} if THRESHOLDS in config else {}),
    }


def _clicks_weights() -> dict[str, str]:
    """Return the weights that the decoder of clicks was trained on, where there is one."""
    path = SHIPPED / CLICK_FILE
    if not path.is_file():
        return {}
    metadata = open_session(path).get_modelmeta().custom_metadata_map
    return {str(path.relative_to(ROOT)): metadata.get(WEIGHTS_KEY, "none")[:DIGITS]}


def _golden_weights() -> str:
    path = GOLDENS / "samples.json"
    return str(json.loads(path.read_text(encoding="utf-8"))["weights"]) if path.is_file() else "none"


def _picture_weights(picture: Path) -> str:
    with Image.open(picture) as image:
        return str(json.loads(getattr(image, "text", {}).get("dinocell", "{}")).get("weights", "none"))


def replace_block(text: str, name: str, lines: Iterable[str], weights: str) -> str:
    """Replace a block of a page.

    Raises
    ------
    ValueError
        If the page does not have it once.
    """
    found = [match for match in _BLOCK.finditer(text) if match["name"] == name]
    if len(found) != 1:
        raise ValueError(f"block {name!r} is there {len(found)} times, expected once: add its two comments")
    new = f"<!-- nano {weights}: {name} -->\n\n" + "\n".join(lines) + "\n\n<!-- end -->"
    return text[: found[0].start()] + new + text[found[0].end() :]


def blocks_of(page: Path) -> Iterator[tuple[str, str]]:
    """Yield name and weights of every block of a page."""
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield match["name"], match["weights"]


def mark_stale(text: str, weights: str) -> str:
    """Add to every measured section whether it is older than the weights, or remove that it was."""

    def mark(match: re.Match[str]) -> str:
        if match["name"] != MEASURED:
            return match[0]
        inner = match["text"].replace(EARLIER, "").strip("\n")
        note = "" if match["weights"] == weights else f"{EARLIER}\n\n"
        return f"<!-- nano {match['weights']}: {MEASURED} -->\n\n{note}{inner}\n\n<!-- end -->"

    return _BLOCK.sub(mark, text)


def write_constants(module: Path, weights: str, **values: float) -> None:
    """Replace constants in a module, and the weights that they were fitted with.

    Raises
    ------
    ValueError
        If the module does not assign each of them once.
    """
    text = module.read_text(encoding="utf-8")
    lines = {name.upper(): f"{value:g}" for name, value in values.items()} | {"FITTED_WITH": f'"{weights}"'}
    for name, value in lines.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{module.name} assigns {name} {count} times, expected once")
    module.write_text(text, encoding="utf-8")


def stamp_notebook(notebook: dict[str, Any], weights: str) -> None:
    """Record the weights in the metadata of a notebook."""
    notebook["metadata"]["dinocell"] = {"weights": weights}
