"""The first hour with DINOCell as a script: microscope files in; tables, label stacks and pictures out.

    python examples/first_hour.py FOLDER

It makes files as microscopes write them from the sample images (two channels of 16 bits, phase contrast,
H&E, a movie, a z-stack), segments them by the command line, and opens the results with tifffile, roifile and
pandas.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import roifile
import tifffile
from rich.console import Console

from dinocell import read_image

SAMPLES = Path(__file__).parents[1] / "samples"
UM = 0.65  # size of a pixel


def sample(name: str) -> Any:
    """Read a sample image."""
    return read_image(SAMPLES / f"{name}_img.png").pixels


def write_inputs(folder: Path) -> None:
    """Write files as microscopes do."""
    for name in ("wells", "phase", "tissue", "stacks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    size = {"PhysicalSizeX": UM, "PhysicalSizeY": UM}
    for well in (1, 2):
        nuclei = sample(f"fluorescence_{well}").astype(np.uint16) * 200
        haze = cv2.GaussianBlur(nuclei, (0, 0), 9)
        channels = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}} | size
        tifffile.imwrite(folder / "wells" / f"A{well}.ome.tif", np.stack([nuclei, haze]), metadata=channels)
        cv2.imwrite(str(folder / "phase" / f"{well}.png"), sample(f"phase_{well}"))
    cv2.imwrite(str(folder / "tissue" / "he.png"), sample("histology_1")[..., ::-1])
    movie = np.stack([np.roll(sample("phase_1"), 4 * time, axis=1) for time in range(4)])
    tifffile.imwrite(folder / "stacks" / "movie.tif", movie, imagej=True, metadata={"axes": "TYX"})
    focus = np.stack([cv2.GaussianBlur(sample("fluorescence_1"), (0, 0), 0.5 + z) for z in range(3)])
    axes = {"axes": "ZYX", "PhysicalSizeZ": 2.0} | size
    tifffile.imwrite(folder / "stacks" / "stack.ome.tif", focus, metadata=axes)


def segment(folder: Path, name: str, *options: str) -> Path:
    """Segment the files of a folder; return that of the results."""
    results = folder / f"{name}_results"
    command = [sys.executable, "-m", "dinocell", "segment", str(folder / name), "-o", str(results), *options]
    subprocess.run(command, check=True)  # noqa: S603 (our own command)
    return results


def main() -> None:
    """Write the files, segment them, and open the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    show = Console(highlight=False, soft_wrap=True).print
    write_inputs(folder)
    wells = segment(folder, "wells", "--channel", "DAPI", "--format", "tif,csv,overlay,rois")
    segment(folder, "phase", "--pixel-size", str(UM), "--numbers", "--legend")
    segment(folder, "tissue")
    stacks = segment(folder, "stacks", "--all-planes", "--format", "tif,csv,overlay,rois")

    for results in sorted(folder.glob("*_results")):
        show(pd.read_csv(results / "summary.csv", dtype={"image": str}).to_string(index=False))
    show(pd.read_csv(wells / "cells.csv").groupby("image")[["area_um2", "mean_intensity_GFP"]].median())
    for name in ("movie", "stack"):
        with tifffile.TiffFile(stacks / f"{name}_labels.tif") as file:
            show(name, file.series[0].axes, file.series[0].shape, file.series[0].dtype)
        rois = roifile.roiread(stacks / f"{name}_rois.zip")
        show(len(rois), "ROIs on planes", sorted({roi.position for roi in rois}))


if __name__ == "__main__":
    main()
