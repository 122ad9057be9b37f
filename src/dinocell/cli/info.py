"""`dinocell info`: prints what image files hold, as far as DINOCell reads it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from dinocell.cli.terminal import console, errors, escape_controls
from dinocell.errors import DINOCellError, name_few
from dinocell.io.images import open_image
from dinocell.io.readers.lazy import ImageInfo


def command(
    files: Annotated[list[Path], typer.Argument(help="Image files, or OME-Zarr folders.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and scene.")] = False,
) -> None:
    """Print axes, pixel size, channels and scenes of image files; no pixel is read."""
    failed = 0
    for file in files:
        try:
            infos, parts = _read(file)
        except DINOCellError as error:
            errors.print(f"error: {escape(escape_controls(str(error)))}")
            failed += 1
            continue
        for info in infos:
            if as_json:
                typer.echo(json.dumps(_values(file, info, parts)))
        if not as_json:
            _print(file, infos, parts)
    if failed:
        raise typer.Exit(1)


def _read(file: Path) -> tuple[list[ImageInfo], tuple[Path, ...]]:
    """Read the information on all scenes of a file, and list the files that they are read from."""
    with open_image(file) as first:
        infos, parts = [first.info], first.files
    for scene in range(1, len(infos[0].scenes)):
        with open_image(file, scene=scene) as image:
            infos.append(image.info)
    return infos, parts


def _values(file: Path, info: ImageInfo, parts: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "file": str(file),
        "files": [str(part) for part in parts],
        "format": info.format,
        "scene": info.scenes[info.scene],
        "axes": dict(zip("TCZYX", info.shape, strict=True)),
        "samples": info.samples,
        "dtype": str(info.dtype),
        "pixel_size_um": info.pixel_size_um,
        "pixel_size_yx_um": info.pixel_size_yx_um,
        "z_step_um": info.z_step_um,
        "time_step_s": info.time_step_s,
        "channels": list(info.channel_names),
        "missing_planes": info.missing_planes,
    }


def _print(file: Path, infos: list[ImageInfo], parts: tuple[Path, ...]) -> None:
    many = f", {len(infos)} scenes" if len(infos) > 1 else ""
    console.print(escape(escape_controls(f"{file}: {infos[0].format}{many}")))
    if len(parts) > 1:
        named = name_few([part.name for part in parts])
        console.print(escape(escape_controls(f"  {'files':<10}{len(parts)}: {named}")))
    for number, info in enumerate(infos):
        if many:
            console.print(escape(escape_controls(f"  scene {number}  {info.scenes[number]}")))
        for title, text in _lines(info):
            console.print(escape(escape_controls(f"  {title:<10}{text}")))


def _lines(info: ImageInfo) -> list[tuple[str, str]]:
    times, channels, slices, height, width = info.shape
    count = info.missing_planes
    missing = f"; {count} of these planes {'are' if count > 1 else 'is'} not in the file" if count else ""
    colour = f", {info.samples} colour samples a pixel" if info.samples > 1 else ""
    lines = [
        ("size", f"{height} × {width} pixels (Y × X), {info.dtype}{colour}"),
        ("planes", f"{times} times, {channels} channels, {slices} z slices{missing}"),
        ("pixel", _pixel_size(info)),
    ]
    if info.z_step_um is not None:
        lines.append(("z step", f"{info.z_step_um:g} µm"))
    if info.time_step_s is not None:
        lines.append(("time step", f"{info.time_step_s:g} s"))
    if info.channel_names:
        names = (f"{at} {name or '(no name)'}" for at, name in enumerate(info.channel_names))
        lines.append(("channels", ", ".join(names)))
    return lines


def _pixel_size(info: ImageInfo) -> str:
    if info.pixel_size_yx_um is None:
        return "size not known"
    if info.pixel_size_um is not None:
        return f"{info.pixel_size_um:g} µm"
    y, x = info.pixel_size_yx_um
    return f"{y:g} × {x:g} µm (Y × X), not square"
