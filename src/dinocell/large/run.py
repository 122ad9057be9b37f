"""A large image from its file to its labels: stage by stage, and within a stage block by block."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dinocell.errors import FileFormatError
from dinocell.inference.autoscale import Sizes, choose_scales, view_zooms
from dinocell.inference.targets import choose_target
from dinocell.io.images import open_image
from dinocell.io.planes import Window
from dinocell.io.readers.ngff import (
    ON_ZARR_3,
    axis_entry,
    group_files,
    label_attributes,
    level_entry,
    scale_entry,
)
from dinocell.labels import Target
from dinocell.large import overview, stages
from dinocell.large.areas import AreaCounts, CellAreas
from dinocell.large.components import join_faces
from dinocell.large.flood import FloodPlan, plan_floods
from dinocell.large.grid import Block, BlockGrid
from dinocell.large.numbers import Numbering, Numbers, pyramid_shapes
from dinocell.large.outcome import locked_work_folder, publish
from dinocell.large.plan import LargeResult, find_finished, image_state, paths_beside, plan_job
from dinocell.large.settings import LargeJob, LargeSettings, SourcePlane, TileModelLoader
from dinocell.large.stage_done import StageDone
from dinocell.large.statistics import RangeSearch, StreamedStatistics
from dinocell.large.workspace import CHUNK, Workspace
from dinocell.postprocess.small_cells import find_min_size
from dinocell.preprocess.preprocessing import to_grayscale
from dinocell.results.formats import BLOCK_FORMATS
from dinocell.workers.executor import Executor

_ItemT = TypeVar("_ItemT")


_FOR_MAP = (
    stages.count_intensities,
    overview.measure_block,
    overview.look_over_block,
    stages.predict_block,
)
"""Stages that thresholds do not change."""


def segment_large(
    source: SourcePlane,
    output: Path,
    network: TileModelLoader,
    settings: LargeSettings,
    executor: Executor,
    *,
    overwrite: bool = False,
    keep_map: bool = False,
) -> Iterator[StageDone | LargeResult]:
    """Segment an image block by block; a generator, so that a caller can show progress and stop.

    Finished blocks stay in a folder ``OUTPUT.work``; the same call goes on there, whatever stopped it. A call
    with other thresholds keeps the distance map.

    Parameters
    ----------
    source : SourcePlane
    output : Path
        The OME-Zarr to be made; tables and polygons are put beside it.
    network : TileModelLoader
    settings : LargeSettings
    executor : Executor
        Place where blocks are computed.
    overwrite : bool
        Whether to replace existing results, and unfinished work on another image or with another model.
    keep_map : bool
        Whether the work folder with the distance map stays, for calls with other thresholds.

    Yields
    ------
    StageDone
        After every block.
    LargeResult
        Last.

    Raises
    ------
    InputError, FileFormatError
        If the image or a setting cannot be used.
    OutputError
        If there are other results, or nothing can be written.
    """
    job, plan = plan_job(source, output, network, settings)
    if not overwrite and (made := find_finished(job, output, plan)) is not None:
        yield made
        return
    with locked_work_folder(job, output, plan, overwrite=overwrite):
        run = _Run(job, executor)
        run.keep_engine()
        field = yield from run.find_field()
        statistics = yield from run.find_statistics(field)
        yield from run.find_scales(statistics, field)
        yield from run.choose_target(statistics, field)
        yield from run.predict(statistics, field)
        floods = yield from run.flood()
        every, min_size, truncated = yield from run.label(floods)
        areas = every.least(min_size)
        yield from run.build_pyramid()
        result = LargeResult(
            output,
            paths_beside(output, settings),
            run.job.target,
            run.job.scale,
            cells=areas.cells,
            removed=every.cells - areas.cells,
            min_size=min_size,
            large=floods.large,
            cut=floods.cut,
            truncated=truncated,
            nonfinite=statistics.nonfinite,
            diameter=areas.median_diameter(),
        )
        bounds = [[part.start, part.stop] for part in field]
        found = {
            "field": bounds,
            "statistics": asdict(statistics),
            "counts": result.counts,
            "median_diameter": result.diameter,
            **run.used(),
        }
        provenance = {**plan, "target": result.target, "scale": result.scale, **found}
        confidence_sum = yield from run.describe(provenance)
        if confidence_sum is not None and result.cells:
            result = replace(result, confidence=confidence_sum / result.cells)
        run.describe_labels({**provenance, "confidence": result.confidence})
        _check_unchanged(job, plan)
        publish(job, output, plan, keep_map=keep_map)
    yield result


class _Run:
    """The stages of one image."""

    def __init__(self, job: LargeJob, executor: Executor) -> None:
        self.job, self.executor = job, executor

    def used(self) -> dict[str, str]:
        """Return the engine and the precision that a part of the map was made with; empty without one."""
        workspace = self.job.map_workspace
        for name in workspace.records(stages.MAP):
            return {key: str(value) for key, value in workspace.read_record(stages.MAP, name).items()}
        return {}

    def keep_engine(self) -> None:
        """Keep the engine and the precision of what is done so far."""
        if used := self.used():
            network = self.job.network.resumed_with((used["engine"], used["precision"]))
            self.job = replace(self.job, network=network)

    def find_field(self) -> Generator[StageDone, None, Window]:
        """Find what lies within constant margins: the only part that counts from here on."""
        yield StageDone("field", 0, 1)
        field = stages.search_margins(self.job)
        yield StageDone("field", 1, 1)
        return field

    def find_statistics(self, field: Window) -> Generator[StageDone, None, StreamedStatistics]:
        """Find the range of intensities, in one pass over the field or a few."""
        preprocessing = self.job.network.load().preprocessing
        with self.job.source.opened() as plane:
            dtype = to_grayscale(plane.read(slice(0, 1), slice(0, 1))).dtype
        search = RangeSearch(dtype, low=preprocessing.low_percentile, high=preprocessing.high_percentile)
        passes = 0
        while not search.done:
            passes += 1
            stage = f"{stages.COUNTS}/{passes}"
            blocks = list(self.job.grid)
            arguments = (self.job, search.request, stage, field)
            yield from self._run(stage, stages.count_intensities, blocks, len(blocks), arguments, _name)
            for block in blocks:
                search.add(self.job.map_workspace.read_record(stage, block.name))
            search.finish_pass()
        return search.result()

    def find_scales(self, statistics: StreamedStatistics, field: Window) -> Generator[StageDone, None, None]:
        """Find the scale for every target by the size of its cells, where it is left open."""
        job, targets = self.job, self.job.settings.targets
        ranges = job.network.load().diameter_ranges(
            [name for name, target in targets.items() if target.scale is None]
        )
        zooms = view_zooms(ranges)
        sizes: dict[Target, Sizes] = {}
        if zooms:
            arguments = (job, statistics.found, field, zooms)
            records = yield from self._look_over(overview.SIZES, overview.measure_block, arguments)
            sizes = {name: np.sum([record[name] for record in records], axis=0) for name in ranges}
        scales = choose_scales(sizes, ranges)
        known = {name: replace(targets[name], scale=scale) for name, scale in scales.items()}
        self.job = replace(job, settings=replace(job.settings, targets={**targets, **known}))

    def choose_target(
        self, statistics: StreamedStatistics, field: Window
    ) -> Generator[StageDone, None, None]:
        """Choose the target of the image, if it is left open."""
        job, targets = self.job, tuple(self.job.settings.targets)
        if len(targets) == 1:
            return
        arguments = (job, statistics.found, field)
        records = yield from self._look_over(overview.STAGE, overview.look_over_block, arguments)
        evidence = np.sum([record["evidence"] for record in records], axis=0)
        self.job = replace(job, target=choose_target(evidence, targets))

    def _look_over(
        self, stage: str, function: Callable[..., None], arguments: tuple[Any, ...]
    ) -> Generator[StageDone, None, list[dict[str, Any]]]:
        """Look at the busiest blocks; return their records. The arguments begin with job and range."""
        job, found = arguments[:2]
        blocks = overview.choose_blocks(job, found, f"{stages.COUNTS}/1")
        yield from self._run(stage, function, blocks, len(blocks), arguments, _name, on_device=True)
        return [job.map_workspace.read_record(stage, block.name) for block in blocks]

    def predict(self, statistics: StreamedStatistics, field: Window) -> Iterator[StageDone]:
        """Predict the distance map."""
        grid = self.job.map_grid
        _create(self.job.map_workspace, stages.MAP, self.job.shape, "float32", grid.side)
        arguments = (self.job, statistics.found, field)
        yield from self._run("map", stages.predict_block, grid, len(grid), arguments, _name, on_device=True)

    def flood(self) -> Generator[StageDone, None, FloodPlan]:
        """Find the components, join them, and flood them."""
        job, grid = self.job, self.job.grid
        yield from self._run("components", stages.label_block, grid, len(grid), (job,), _name)
        components = join_faces(
            grid, lambda block: self.job.label_workspace.read_record("components", block.name)
        )
        floods = plan_floods(components, grid, largest=job.settings.largest, halo=job.settings.halo)
        _create(job.label_workspace, stages.CELLS, job.shape, "int32", grid.side)
        tasks = floods.tasks
        yield from self._run("flood", stages.flood_block, tasks, len(tasks), (job,), lambda task: task.name)
        return floods

    def label(self, floods: FloodPlan) -> Generator[StageDone, None, tuple[AreaCounts, int, int]]:
        """Grow the cells and number those that are not too small.

        Returns
        -------
        areas : AreaCounts
            Of all cells.
        min_size : int
            Pixels below which they are too small.
        truncated : int
            Cells that lack a part.
        """
        job, grid = self.job, self.job.grid
        halo, truncated = self._count_cells(floods)
        _create(job.label_workspace, stages.GROWN, job.shape, "uint64", grid.side)
        yield from self._run("growth", stages.grow, grid, len(grid), (job, halo), _name)
        areas = self._count_areas()
        min_size = find_min_size(job.settings.min_size, areas.median(), job.target)
        numbering = Numbering(min_size)
        for block in grid:
            numbering.add(self.job.label_workspace.read_record("growth", block.name))
        numbering.finish()
        _create(job.label_workspace, f"{stages.LABELS}/0", job.shape, "uint64", grid.side, compressor="zstd")

        def numbered(blocks: Iterable[Block]) -> Iterator[tuple[Block, Numbers]]:
            for block in blocks:
                yield (
                    block,
                    numbering.block_numbers(
                        block.index, self.job.label_workspace.read_record("growth", block.name)
                    ),
                )

        done = self.job.label_workspace.records("numbers")
        left = (block for block in grid if block.name not in done)
        yield from self._run(
            "numbers", stages.number, numbered(left), len(grid), (job,), lambda item: item[0].name
        )
        return areas, min_size, truncated

    def _count_areas(self) -> AreaCounts:
        """Count the cells of all blocks by area."""
        areas = CellAreas()
        for block in self.job.grid:
            areas.add(self.job.label_workspace.read_record("growth", block.name))
        return areas.finish()

    def _count_cells(self, floods: FloodPlan) -> tuple[int, int]:
        """Write the offsets of the numbers of tasks; return the widest boundary, and the truncated cells."""
        counts, widest, truncated = [0], 0.0, 0
        for task in floods.tasks:
            record = self.job.label_workspace.read_record("flood", task.name)
            counts.append(len(record["rims"]) - 1)
            widest = max(widest, float(record["rims"].max()))
            truncated += int(record["torn"])
        offsets = np.cumsum(np.array(counts[:-1], np.int64))
        self.job.label_workspace.write_record("offsets", "tasks", {"offsets": offsets})
        return int(widest), truncated

    def build_pyramid(self) -> Iterator[StageDone]:
        """Write the coarser levels, each from the one before."""
        job = self.job
        for level, shape in enumerate(self._level_shapes()):
            if level:
                grid = BlockGrid(shape, job.settings.block)
                _create(
                    job.label_workspace,
                    f"{stages.LABELS}/{level}",
                    shape,
                    "uint64",
                    grid.side,
                    compressor="zstd",
                )
                name = f"level-{level}"
                yield from self._run(name, stages.shrink_block, grid, len(grid), (job, level), _name)

    def _level_shapes(self) -> list[tuple[int, int]]:
        return list(pyramid_shapes(self.job.shape, CHUNK))

    def describe(self, provenance: dict[str, Any]) -> Generator[StageDone, None, float | None]:
        """Write tables and polygons; return the sum of the confidence of all cells, None without formats."""
        job, grid = self.job, self.job.grid
        if not job.settings.formats:
            return None
        for name in job.settings.formats:
            self.job.label_workspace.create_folder(BLOCK_FORMATS[name].folder_ending)
        yield from self._run("described", stages.describe_block, grid, len(grid), (job, provenance), _name)
        records = (self.job.label_workspace.read_record("described", block.name) for block in grid)
        return float(sum(record.get("confidence", 0.0) for record in records))

    def describe_labels(self, provenance: Mapping[str, Any]) -> None:
        """Write the metadata that make the labels an OME-Zarr (NGFF 0.5)."""
        size = self.job.pixel_size_um
        axes = [axis_entry(axis, None if size is None else "micrometer") for axis in "yx"]
        levels = [
            level_entry(level, [scale_entry([(size or 1.0) * 2**level] * 2)])
            for level in range(len(self._level_shapes()))
        ]
        attributes = label_attributes(ON_ZARR_3, axes, levels) | {"dinocell": dict(provenance)}
        for name, content in group_files(ON_ZARR_3, attributes).items():
            self.job.label_workspace.write_json(f"{stages.LABELS}/{name}", content)

    def _run(
        self,
        stage: str,
        function: Callable[..., None],
        items: Iterable[_ItemT],
        total: int,
        arguments: tuple[Any, ...],
        name_of: Callable[[_ItemT], str],
        *,
        on_device: bool = False,
    ) -> Iterator[StageDone]:
        """Run a stage for all items that have no record yet."""
        for_map = function in _FOR_MAP
        done = (self.job.map_workspace if for_map else self.job.label_workspace).records(stage)
        count = len(done)
        yield StageDone(stage, count, total)
        left = (item for item in items if name_of(item) not in done)
        for _ in self.executor.map(function, left, *arguments, on_device=on_device):
            count += 1
            yield StageDone(stage, count, total)


def _check_unchanged(job: LargeJob, plan: Mapping[str, Any]) -> None:
    """Raise if the image has changed while labels were made of it: they are not published."""
    with open_image(job.source.path, scene=job.source.scene, windows=True) as image:
        if image_state(image) != plan["map"]["state"]:
            raise FileFormatError(
                f"{job.source.path} changed while it was read, expected files at rest: wait until they are "
                "written, then begin anew with --overwrite"
            )


def _create(workspace: Workspace, name: str, *options: Any, **more: Any) -> None:
    if not workspace.has_array(name):
        workspace.create_array(name, *options, **more)


def _name(block: Block) -> str:
    return block.name
