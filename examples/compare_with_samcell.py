"""DINOCell beside SAMCell on the sample images, through the same metrics.

    python examples/compare_with_samcell.py
    python examples/compare_with_samcell.py --samcell-python ENV/bin/python --samcell-weights FILE.pt

SAMCell runs in its own environment; without one, the example prints what is missing.
"""

import argparse
import statistics
import sys
from pathlib import Path

from rich.console import Console

from dinocell import DINOCellPipeline
from dinocell.datasets.folder import find_pairs
from dinocell.evaluation.baselines.script_tool import BASELINES, ScriptTool
from dinocell.evaluation.comparison import OwnTool, ToolResult, compare
from dinocell.metrics.pooling import pool

SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    """Run both tools and print a line for each."""
    parser = argparse.ArgumentParser(description="DINOCell beside SAMCell on the same images.")
    parser.add_argument("--data", type=Path, default=SAMPLES, help="folder of NAME_img.* and NAME_masks.*")
    parser.add_argument("--samcell-python", default=sys.executable, help="Python of SAMCell's environment")
    parser.add_argument("--samcell-weights", help="file of its weights")
    arguments = parser.parse_args()

    tools: list[OwnTool | ScriptTool] = [
        OwnTool("DINOCell", lambda: DINOCellPipeline("nano")),
        ScriptTool(
            "samcell", BASELINES["samcell"], python=arguments.samcell_python, model=arguments.samcell_weights
        ),
    ]
    console = Console(highlight=False, soft_wrap=True)
    for step in compare(find_pairs(arguments.data), tools):
        if isinstance(step, ToolResult):
            console.print(describe(step), markup=False)


def describe(result: ToolResult) -> str:
    """Return a line about a result."""
    if not result.images:
        return f"{result.tool} was not run: {result.reason}"
    scores = pool(image.scores for image in result.images)
    seconds = statistics.median(image.seconds for image in result.images)
    return (
        f"{result.tool} {result.version} ({result.model}, {result.device}): SEG {scores.seg:.3f}, "
        f"DET {scores.det:.3f}, OP_CSB {scores.op_csb:.3f}, AP@0.5 {scores.ap[0.5]:.3f}, "
        f"{seconds:.2f} s an image"
    )


if __name__ == "__main__":
    main()
