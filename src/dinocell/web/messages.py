"""Messages of the API: what is sent as JSON, with the same names on the page."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dinocell.postprocess.thresholds import Thresholds

JobState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]

JobName = Literal["segment", "segment-large", "measure", "fine-tune"]

Box = Annotated[list[int], Field(min_length=4, max_length=4)]
"""First row, first column, and row and column after the last."""

Ring = list[Annotated[list[float], Field(min_length=2, max_length=2)]]
"""Corners (row, column) of an outline."""


class Message(BaseModel):
    """Values that are sent; nothing is left out, and nothing is added."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Problem(Message):
    """Error: what is wrong, where, what was expected, and what to do."""

    message: str


class Model(Message):
    """A trained model."""

    name: str
    description: str
    targets: list[str]
    own: bool = Field(description="Whether it was adapted here.")


class Models(Message):
    """Models that jobs may name."""

    models: list[Model]


class Channel(Message):
    """A channel of an image, with the values that are shown as black and white."""

    index: int
    name: str
    low: float
    high: float
    least: float
    most: float


class ImageInfo(Message):
    """An image: one plane of an uploaded file."""

    id: str
    name: str
    bytes: int = Field(description="Of the file.")
    sha256: str
    width: int
    height: int
    dtype: str
    rgb: bool
    channels: list[Channel]
    pixel_size_um: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    levels: int = Field(description="Zoom levels; tiles of the last one show every pixel.")
    scenes: int
    times: int
    slices: int
    place: dict[str, int] = Field(description="Scene, time and slice that this is.")
    created: str
    notes: list[str]


class Images(Message):
    """All images, the newest first."""

    images: list[ImageInfo]


class Progress(Message):
    """Progress of a job; a total of 0 is not known."""

    stage: str = ""
    done: int = 0
    total: int = 0


class CurvePoint(Message):
    """Loss after an optimiser step."""

    step: int
    loss: float


class Learned(Message):
    """Outcome of a fine-tuning; scores are AP@0.5 of cells that were held back."""

    model: str
    images: int
    before: float | None
    after: float | None


class Job(Message):
    """Work in the background."""

    id: str
    kind: JobName
    state: JobState
    image: str | None
    result: str | None = None
    progress: Progress = Progress()
    problem: str | None = None
    settings: dict[str, Any]
    created: str
    started: str | None = None
    ended: str | None = None
    curve: list[CurvePoint] = []
    learned: Learned | None = None


class Jobs(Message):
    """All jobs, the newest first."""

    jobs: list[Job]


class Format(Message):
    """A format that a result can be fetched in."""

    name: str
    suffix: str
    meaning: str


class Result(Message):
    """Cells of an image."""

    id: str
    image: str
    job: str
    model: str
    target: str
    count: int
    width: int
    height: int
    thresholds: Thresholds
    own_thresholds: Thresholds
    adjustable: bool
    editable: bool
    warnings: list[str]
    edits: int
    can_undo: bool
    can_redo: bool
    checked: list[int]
    all_checked: bool
    version: int
    formats: list[Format]
    created: str


class Results(Message):
    """Results, the newest first."""

    results: list[Result]


class EditOutcome(Message):
    """Outcome of an edit: the result, the cells that it made or changed, and where."""

    result: Result
    ids: list[int]
    notes: list[str]
    box: Box | None


class CellTable(Message):
    """Measurements, a row a cell, by column."""

    columns: dict[str, list[float | int | str | bool | None]]


class Outline(Message):
    """Outline of a cell: for each of its pieces the outer ring, then holes."""

    id: int
    parts: list[list[Ring]]
    box: Box


class FolderEntry(Message):
    """A file or folder that jobs may take images from."""

    name: str
    is_folder: bool
    bytes: int


class FolderListing(Message):
    """Files below the folder that the server was given."""

    path: str
    entries: list[FolderEntry]


class Health(Message):
    """Sign that the server runs."""

    dinocell: str


class Asked(Message):
    """Values that are asked for: a number is no text, and true is no number."""

    model_config = ConfigDict(strict=True)


class CheckRequest(Asked):
    """Cells that a person has looked at, or all of them."""

    cells: list[int] = Field(default=[], max_length=1_000_000)
    all: bool = False


class ThresholdsRequest(Asked):
    """Thresholds to flood with again; those left out stay."""

    cells_max_threshold: float | None = Field(default=None, ge=0, le=1)
    cell_fill_threshold: float | None = Field(default=None, ge=0, le=1)
    merge: float | None = Field(default=None, ge=0, le=1)
    regrow: bool | None = None
    discard: bool = Field(default=False, description="Whether edits may be lost.")


class PlaneRequest(Asked):
    """A plane of a file; by default the first scene and time, and the middle slice."""

    scene: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    z: int | None = Field(default=None, ge=0)


class FolderRequest(PlaneRequest):
    """A file below the folder that the server was given, as an image."""

    path: str = Field(max_length=4096)
