"""Additions to the pages in docs/: files of the repository, and the help of every command."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

PAGES = {
    "src/dinocell/models/shipped/nano/README.md": "cards/nano.md",
    "samples/README.md": "cards/samples.md",
    "packages/dinocell-dinov2-small/README.md": "cards/dinov2-small.md",
}
"""Pages that lie beside what they describe, and their places in the site."""

FOLDERS = ("configs", "examples")
"""Folders whose files the pages link to; the site has copies."""


EXAMPLES = {
    "--host": "127.0.0.1",
    "--port": "8765",
    "--name": "cells.example.org",
    "--folder": "images",
    "--keep": "30",
    "--max-upload": "16",
    "--max-disk": "200",
    "--annotates": "nuclei",
    "--backbone": "pretrained",
    "--batch-size": "4",
    "--block": "4096",
    "--cell-fill": "0.05",
    "--cells-max": "0.3",
    "--channel": "DAPI",
    "--config": "configs/training_config.yaml",
    "--crop-size": "256",
    "--data": "val/dsb2018_nuclei",
    "--device": "cuda",
    "--diameter": "40",
    "--diameter-um": "12",
    "--diameters": "20 60",
    "--engine": "onnx",
    "--folds": "3",
    "--format": "tif,csv,rois",
    "--from-corrected": "results",
    "--halo": "512",
    "--image": "slide.tif",
    "--images": "images",
    "--largest": "8192",
    "--learn": "decoder",
    "--learning-rate": "0.0001",
    "--log-file": "dinocell.log",
    "--masks": "masks",
    "--merge": "0.4",
    "--min-size": "50",
    "--model": "my_model",
    "--number": "200",
    "--output": "results",
    "--overlap": "64",
    "--pixel-size": "0.65",
    "--precision": "bfloat16",
    "--predictions": "labels_of_another_tool",
    "--preset": "preset.yaml",
    "--python": "cellpose=envs/cellpose/bin/python",
    "--recipe": "phase",
    "--scene": "A1",
    "--scheduler": "tcp://node:8786",
    "--seed": "1",
    "--set": "optimiser.learning_rate=0.0003",
    "--size": "256",
    "--source": "facebook/dinov3-vits16-pretrain-lvd1689m",
    "--steps": "200",
    "--target": "nuclei",
    "--threads": "2",
    "--tile-size": "512",
    "--time": "0:10",
    "--timeout": "60",
    "--to": "web",
    "--tool": "my_tool=my_tool.py",
    "--tool-model": "stardist=2D_versatile_fluo",
    "--tools": "dinocell,stardist",
    "--train": "datasets/phase",
    "--validation": "datasets/phase_val",
    "--variants": "16",
    "--workers": "4",
    "--z": "max",
}
"""A value for every option that takes one, for the examples of the page of the command line."""

OWN_EXAMPLES = {
    ("dinocell import", "--size"): "1024x1024",
    ("dinocell segment-large", "--format"): "parquet,geojson",
    ("dinocell segment-large", "--output"): "labels.zarr",
    ("dinocell segment-large", "--time"): "3",
    ("dinocell train", "--output"): "my_training",
    ("dinocell finetune", "--output"): "my_model",
    ("dinocell pretrain", "--output"): "my_pretraining",
    ("dinocell evaluate", "--output"): "report",
    ("dinocell compare", "--output"): "comparison",
    ("dinocell tune", "--output"): "preset.yaml",
    ("dinocell synthesize", "--output"): "datasets/drawn",
}
"""Values of single commands that differ."""


def on_files(files: Files, config: Any) -> Files:
    """Add the files that are not in docs/."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).iterdir()):
            if path.is_file():
                files.append(File.generated(config, f"{folder}/{path.name}", abs_src_path=str(path)))
    files.append(File.generated(config, "command_line.md", content="\n".join(command_line())))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace links to files of the repository, which lie elsewhere in the site."""
    place = page.file.src_uri
    source = next((path for path, moved in PAGES.items() if moved == place), f"docs/{place}")

    def moved(match: re.Match[str]) -> str:
        target, anchor = match["target"], match["anchor"] or ""
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        there = PAGES.get(there, there.removeprefix("docs/"))
        return f"]({posixpath.relpath(there, posixpath.dirname(place) or '.')}{anchor})"

    return re.sub(r"\]\((?!https?:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)", moved, markdown)


SHIM = "https://unpkg.com/iframe-worker/shim"
"""Script that the theme asks a server for, so that its search works on pages that are opened from disk."""


COPY = "javascripts/iframe-worker.js"


def on_post_template(output: str, **_: Any) -> str:
    """Let the search's script be our copy on the page of what is not found."""
    return output.replace(SHIM, COPY)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Let the search's script be our copy, and replace the notebook's links to the pages' sources."""
    output = output.replace(SHIM, posixpath.relpath(COPY, posixpath.dirname(page.file.dest_uri) or "."))
    if not page.file.src_uri.endswith(".ipynb"):
        return output
    return re.sub(r'href="([\w/]+)\.md"', r'href="\1.html"', output)


def command_line() -> Iterator[str]:
    """Write a page of what every command takes."""
    from typer.main import get_command

    from dinocell.cli import app
    from dinocell.cli.commands import COMMANDS, load_command

    yield "# Command line\n\nWhat `dinocell COMMAND --help` prints, with an example of every option.\n"
    yield from options(get_command(app), "dinocell [OPTIONS] COMMAND")
    for name in COMMANDS:
        yield from commands(load_command(name), f"dinocell {name}")


def commands(command: Any, name: str) -> Iterator[str]:
    """Write a section for a command, or for each of a group."""
    if hasattr(command, "commands"):
        for part, inner in command.commands.items():
            yield from commands(inner, f"{name} {part}")
        return
    yield from options(command, name)


def options(command: Any, name: str) -> Iterator[str]:
    """Write a section: what the command does, and its options."""
    yield f"## {name}\n\n{command.help or ''}\n\n| | | default | example |\n|---|---|---|---|"
    for parameter in command.params:
        if not parameter.hidden:
            text, default = split_default(parameter)
            yield f"| {title_of(parameter)} | {text} | {default} | {example_of(parameter, name)} |".replace(
                "  ", " "
            )
    yield ""


def title_of(parameter: Any) -> str:
    """Return what a user types: the names of an option, or the placeholder of an argument."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def split_default(parameter: Any) -> tuple[str, str]:
    """Return the help of an option without its default, and the default."""
    text = (parameter.help or "").replace("|", "\\|").replace("\n", " ")
    text, _, told = text.partition(" Default: ")
    if told:
        return text, told.rstrip(".")
    value = parameter.default
    hidden = value is None or isinstance(value, bool) or value in ("", ()) or callable(value)
    if parameter.param_type_name == "argument" or hidden:
        is_flag = parameter.param_type_name != "argument" and parameter.is_flag
        return text, "needed" if parameter.required else "off" if is_flag else "–"
    return text, f"`{value}`"


def example_of(parameter: Any, command: str) -> str:
    """Return an option of a command as it is typed."""
    if parameter.param_type_name == "argument":
        return ""
    name = parameter.opts[0]
    if parameter.is_flag:
        return f"`{name}`"
    return f"`{name} {OWN_EXAMPLES.get((command, name), EXAMPLES[name])}`"
