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


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Replace the links of the notebook to the pages' sources by links to the pages."""
    if not page.file.src_uri.endswith(".ipynb"):
        return output
    return re.sub(r'href="([\w/]+)\.md"', r'href="\1.html"', output)


def command_line() -> Iterator[str]:
    """Write a page of what every command takes."""
    from dinocell.cli.commands import COMMANDS, load_command

    yield "# Command line\n\nWhat `dinocell COMMAND --help` prints.\n"
    for name in COMMANDS:
        yield from commands(load_command(name), f"dinocell {name}")


def commands(command: Any, name: str) -> Iterator[str]:
    """Write a section for a command, or for each of a group; a command is as Typer makes it."""
    if hasattr(command, "commands"):
        for part, inner in command.commands.items():
            yield from commands(inner, f"{name} {part}")
        return
    yield f"## {name}\n\n{command.help or ''}\n\n| | |\n|---|---|"
    for parameter in command.params:
        if not parameter.hidden:
            help_text = (parameter.help or "").replace("|", "\\|").replace("\n", " ")
            yield f"| {title_of(parameter)} | {help_text}{default_of(parameter)} |"
    yield ""


def title_of(parameter: Any) -> str:
    """Return what a user types: the names of an option, or the placeholder of an argument."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def default_of(parameter: Any) -> str:
    """Return the default of an option, where it has one that can be shown."""
    hidden = parameter.default in (None, False, True, "", ()) or callable(parameter.default)
    return "" if hidden or parameter.param_type_name == "argument" else f" Default: `{parameter.default}`."
