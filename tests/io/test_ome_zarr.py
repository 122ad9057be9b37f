"""OME-Zarr of both versions: planes, axes, scenes, metadata; nothing outside the folder, nothing run."""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dinocell.errors import DINOCellError, FileFormatError, FileMissingError, InputError

pytest.importorskip("zarr")

import numcodecs
import zarr

from dinocell.io.readers.ome_zarr import OmeZarrReader
from tests.fakes.zarr import UNITS, attributes_of, multiscale, noise, write_array, write_group, write_ome_zarr

open_ome_zarr = OmeZarrReader().open

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@VERSIONS
@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "tyx", "czyx", "tczyx", "tzyx", "xy", "zxy"])
def test_axes_in_any_subset(tmp_path: Path, version: str, axes: str) -> None:
    sizes = {"t": 2, "c": 3, "z": 4, "y": 5, "x": 7}
    pixels = noise(*(sizes[axis] for axis in axes))
    whole = np.einsum(f"{axes}->{''.join(axis for axis in 'tczyx' if axis in axes)}", pixels)
    whole = whole.reshape([sizes[axis] if axis in axes else 1 for axis in "tczyx"])
    with open_ome_zarr(write_ome_zarr(tmp_path / "a.zarr", pixels, axes, version=version), 0) as image:
        assert image.info.shape == whole.shape
        for at in np.ndindex(whole.shape[:3]):
            np.testing.assert_array_equal(image.read_plane(*at), whole[at])


@VERSIONS
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", ">u2", "uint32", "int64", "float16", "float64"])
def test_every_dtype_is_exact(tmp_path: Path, version: str, dtype: str) -> None:
    pixels = noise(2, 9, 11, dtype=np.dtype(dtype).name).astype(dtype)
    with open_ome_zarr(write_ome_zarr(tmp_path / "a.zarr", pixels, "zyx", version=version), 0) as image:
        got = image.read_plane(z=1)
        assert got.dtype == np.dtype(dtype).newbyteorder("=")
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, pixels[1])


@QUICK
@given(
    chunks=st.tuples(*(st.integers(size // 3 + 1, size + 1) for size in (3, 4, 13, 17))),
    version=st.sampled_from(["0.4", "0.5"]),
)
def test_any_chunks(tmp_path: Path, chunks: tuple[int, ...], version: str) -> None:
    shutil.rmtree(tmp_path / "a.zarr", ignore_errors=True)
    pixels = noise(3, 4, 13, 17)
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, "czyx", version=version, chunks=chunks)
    with open_ome_zarr(folder, 0) as image:
        np.testing.assert_array_equal(image.read_plane(c=2, z=1), pixels[2, 1])


def test_shards_are_read(tmp_path: Path) -> None:
    pixels = noise(2, 32, 32)
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, "zyx", version="0.5")
    shutil.rmtree(folder / "0")
    array = zarr.create_array(
        folder / "0", shape=pixels.shape, dtype="uint16", chunks=(1, 8, 8), shards=(2, 16, 16)
    )
    array[...] = pixels
    with open_ome_zarr(folder, 0) as image:
        np.testing.assert_array_equal(image.read_plane(z=1), pixels[1])


@VERSIONS
def test_only_the_chunks_of_the_plane_are_opened(tmp_path: Path, version: str) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(3, 16, 16), "zyx", version=version)
    chunk = folder / ("0/c/1/0/0" if version == "0.5" else "0/1/0/0")
    chunk.write_bytes(b"damaged")
    with open_ome_zarr(folder, 0) as image:
        np.testing.assert_array_equal(image.read_plane(z=2), noise(3, 16, 16)[2])
        with pytest.raises(FileFormatError, match=r"a\.zarr is a damaged or unsupported OME-Zarr file"):
            image.read_plane(z=1)
        chunk.unlink()  # zarr's way of saying that all of it is the fill value
        assert not image.read_plane(z=1).any()


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ("cyx", {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "."}}),
        ("cxy", {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}),
        ("cyx", {"zarr_format": 3}),
        ("cyx", {"zarr_format": 3, "shards": (1, 2, 6)}),
    ],
)
def test_only_chunks_that_are_there_are_read_of_very_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: str, options: dict[str, Any]
) -> None:
    # a plane of 15,000 chunks, of which four are stored; the others hold the fill value
    shape, version = (2, 200, 450), "0.5" if options["zarr_format"] == 3 else "0.4"
    array = zarr.create_array(
        tmp_path / "a.zarr" / "0", shape=shape, dtype="uint16", chunks=(1, 2, 3), fill_value=7, **options
    )
    expected = np.full(shape, 7, np.uint16)
    for number, at in enumerate([(0, 0, 0), (0, 37, 448), (1, 37, 31), (1, 199, 449)], start=100):
        array[at] = expected[at] = number
    write_group(tmp_path / "a.zarr", {"multiscales": [multiscale(axes, 1, {}, {})]}, version)
    if axes == "cxy":
        expected = expected.transpose(0, 2, 1)
    asked: list[str] = []
    get = zarr.storage.LocalStore.get

    async def counted(self: Any, key: str, *arguments: Any) -> Any:
        asked.append(key)
        if len(asked) > 500:
            raise ValueError("far more chunks are asked for than there are")
        return await get(self, key, *arguments)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counted)
    with open_ome_zarr(tmp_path / "a.zarr", 0) as image:
        for channel in (0, 1):
            np.testing.assert_array_equal(image.read_plane(c=channel), expected[channel])
            window = (slice(37, 198), slice(2, 449)) if axes == "cyx" else (slice(2, 449), slice(37, 198))
            np.testing.assert_array_equal(image.read_window(*window, c=channel), expected[channel][window])


def test_a_plane_of_many_chunks_that_are_there_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dinocell.io.readers.zarr_chunks._MANY", 50)
    pixels = noise(9, 8)
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, "yx", version="0.5", chunks=(1, 1))
    with open_ome_zarr(folder, 0) as image:
        np.testing.assert_array_equal(image.read_plane(), pixels)
        column = folder / "0" / "c" / "5"
        for at in (5, 7):
            shutil.rmtree(folder / "0" / "c" / str(at))
    pixels[[5, 7]] = 0
    with open_ome_zarr(folder, 0) as image:
        np.testing.assert_array_equal(image.read_plane(), pixels)
    column.symlink_to(folder / "0" / "c", target_is_directory=True)
    with (
        open_ome_zarr(folder, 0) as image,
        pytest.raises(FileFormatError, match=r"c/5 is a link to a folder"),
    ):
        image.read_plane()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": [2**25, 1, 8, 8]}, "33554432 times"),
        ({"shape": [1, 2**15, 8, 8]}, "32768 channels"),
        ({"codecs": "shards"}, "shards of 16777216 chunks"),
    ],
)
def test_more_than_could_be_read_in_a_lifetime_is_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(2, 3, 8, 8), "tcyx", version="0.5")
    stored = json.loads((folder / "0" / "zarr.json").read_text())
    if "codecs" in changed:
        inner = {"chunk_shape": [1, 1, 1, 1], "codecs": stored["codecs"], "index_codecs": stored["codecs"]}
        changed = {
            "shape": [1, 1, 4096, 4096],
            "codecs": [{"name": "sharding_indexed", "configuration": inner}],
        }
        stored["chunk_grid"]["configuration"]["chunk_shape"] = [1, 1, 4096, 4096]
    (folder / "0" / "zarr.json").write_text(json.dumps(stored | changed))
    with pytest.raises(FileFormatError, match=message):
        open_ome_zarr(folder, 0)


def test_a_plate_or_pyramid_without_end_is_refused(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr" / "A" / "1" / "0", noise(8, 8), "yx").parents[2]
    write_group(folder / "A" / "1", {"well": {"images": [{"path": "0"}] * 600}}, "0.4")
    write_group(folder, {"plate": {"wells": [{"path": "A/1"}] * 300}}, "0.4")
    with pytest.raises(FileFormatError, match="a plate of more than 131072 fields"):
        open_ome_zarr(folder, 0)
    write_group(folder, {"multiscales": [multiscale("yx", 300, {}, {})]}, "0.4")
    with pytest.raises(FileFormatError, match="an image of 300 levels, expected 1 to 256"):
        open_ome_zarr(folder, 0)


@VERSIONS
def test_pixel_size_steps_and_names(tmp_path: Path, version: str) -> None:
    scale = {"t": 2.0, "z": 1500.0, "y": 0.25, "x": 0.25}
    units = {"t": "minute", "z": "nanometer", "y": "micrometer", "x": "micrometer"}
    pixels, names = noise(2, 2, 2, 8, 8), ("DAPI", "GFP")
    folder = tmp_path / "a.zarr"
    write_ome_zarr(folder, pixels, "tczyx", version=version, scale=scale, units=units, channel_names=names)
    info = open_ome_zarr(folder, 0).info
    assert (info.pixel_size_um, info.z_step_um, info.time_step_s) == pytest.approx((0.25, 1.5, 120))
    assert info.channel_names == names
    assert (info.format, info.scenes) == ("OME-Zarr", ("0",))
    entry = multiscale("tczyx", 1, scale, units)
    entry["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1, 1, 2, 2]}]
    write_group(folder, {"multiscales": [entry], "omero": {"channels": [{"label": "only one"}]}}, version)
    assert open_ome_zarr(folder, 0).info.pixel_size_um == pytest.approx(0.5)
    assert open_ome_zarr(folder, 0).info.channel_names == ()
    write_group(folder, {"multiscales": [entry], "omero": {"channels": [{}, {"label": "GFP"}]}}, version)
    assert open_ome_zarr(folder, 0).info.channel_names == ("", "GFP")


def test_sizes_without_unit_or_not_square_are_unknown(tmp_path: Path) -> None:
    pixels = noise(8, 8)
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, "yx", scale={"y": 0.5, "x": 0.5}, units={})
    assert open_ome_zarr(folder, 0).info.pixel_size_um is None
    folder = write_ome_zarr(tmp_path / "b.zarr", pixels, "yx", scale={"y": 0.5, "x": 0.6})
    assert open_ome_zarr(folder, 0).info.pixel_size_um is None
    folder = write_ome_zarr(tmp_path / "c.zarr", pixels, "yx", scale={"y": -0.5, "x": -0.5})
    assert open_ome_zarr(folder, 0).info.pixel_size_um is None


# Scenes


@VERSIONS
def test_several_images_in_a_group(tmp_path: Path, version: str) -> None:
    folder, first, second = tmp_path / "a.zarr", noise(8, 9), noise(4, 5)
    write_array(folder / "0", first, version, "yx")
    write_array(folder / "other" / "0", second, version, "yx")
    entries = [multiscale("yx", 1, {}, UNITS), multiscale("yx", 1, {}, UNITS) | {"name": "small"}]
    entries[1]["datasets"][0]["path"] = "other/0"
    write_group(folder, {"multiscales": entries}, version)
    assert open_ome_zarr(folder, 0).info.scenes == ("0", "small")
    np.testing.assert_array_equal(open_ome_zarr(folder, "small").read_plane(), second)
    np.testing.assert_array_equal(open_ome_zarr(folder, 0).read_plane(), first)
    with pytest.raises(InputError, match=r"a\.zarr has no scene 'large'"):
        open_ome_zarr(folder, "large")


@VERSIONS
@pytest.mark.parametrize("series", [None, ["1", "0", "2"]])
def test_series_of_bioformats2raw(tmp_path: Path, version: str, series: list[str] | None) -> None:
    folder = tmp_path / "a.zarr"
    pixels = noise(3, 8, 9)
    for at in range(3):
        write_ome_zarr(folder / str(at), pixels[at], "yx", version=version)
    write_group(folder, {"bioformats2raw.layout": 3}, version)
    if series:
        write_group(folder / "OME", {"series": series}, version)
    expected = tuple(series or ["0", "1", "2"])
    for at, name in enumerate(expected):
        image = open_ome_zarr(folder, at)
        assert (image.info.scenes, image.info.scene) == (expected, at)
        np.testing.assert_array_equal(image.read_plane(), pixels[int(name)])


@VERSIONS
def test_fields_of_a_plate(tmp_path: Path, version: str) -> None:
    folder, pixels = tmp_path / "a.zarr", noise(2, 2, 8, 9)
    for at, well in enumerate(("A/1", "B/2")):
        for field in range(2):
            write_ome_zarr(folder / well / str(field), pixels[at, field], "yx", version=version)
        write_group(folder / well, {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, version)
    write_group(folder, {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}, version)
    image = open_ome_zarr(folder, "B/2/1")
    assert image.info.scenes == ("A/1/0", "A/1/1", "B/2/0", "B/2/1")
    np.testing.assert_array_equal(image.read_plane(), pixels[1, 1])


def test_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"a\.zarr is not a folder"):
        open_ome_zarr(tmp_path / "a.zarr", 0)
    with pytest.raises(FileFormatError, match="no multiscales, plate or series"):
        open_ome_zarr(tmp_path, 0)
    write_group(tmp_path / "b.zarr", {"bioformats2raw.layout": 3}, "0.4")
    with pytest.raises(FileFormatError, match="no multiscales, plate or series"):
        open_ome_zarr(tmp_path / "b.zarr", 0)


# Hostile folders


@VERSIONS
@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "{outside}", "link", "..\\secret", 7, None])
def test_metadata_that_points_outside(tmp_path: Path, version: str, path: Any) -> None:
    write_array(tmp_path / "secret", noise(8, 9), version, "yx")
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(8, 9), "yx", version=version)
    (folder / "link").symlink_to(tmp_path / "secret")
    entry = multiscale("yx", 1, {}, UNITS)
    entry["datasets"][0]["path"] = str(tmp_path / "secret") if path == "{outside}" else path
    write_group(folder, {"multiscales": [entry]}, version)
    with pytest.raises(FileFormatError, match=r"leads outside|in its metadata is not a path"):
        open_ome_zarr(folder, 0)


@VERSIONS
def test_links_of_chunks_and_wells(tmp_path: Path, version: str) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(8, 9), "yx", version=version)
    chunk = folder / ("0/c/0/0" if version == "0.5" else "0/0/0")
    chunk.rename(folder / "moved")
    chunk.symlink_to(folder / "moved")
    np.testing.assert_array_equal(open_ome_zarr(folder, 0).read_plane(), noise(8, 9))
    (folder / "moved").rename(tmp_path / "secret")
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    with pytest.raises(FileFormatError, match="is a link that leads outside"):
        open_ome_zarr(folder, 0).read_plane()
    for path in ("../a.zarr", "loop"):
        write_group(tmp_path / "plate.zarr", {"plate": {"wells": [{"path": path}]}}, version)
        (tmp_path / "plate.zarr" / "loop").unlink(missing_ok=True)
        (tmp_path / "plate.zarr" / "loop").symlink_to(tmp_path / "plate.zarr" / "loop")
        with pytest.raises(FileFormatError, match=r"leads outside|Symlink loop|symbolic links"):
            open_ome_zarr(tmp_path / "plate.zarr", 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
@VERSIONS
def test_a_pipe_is_not_waited_for(tmp_path: Path, version: str) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(8, 9), "yx", version=version)
    chunk = folder / ("0/c/0/0" if version == "0.5" else "0/0/0")
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(FileFormatError, match="is not a regular file"):
        open_ome_zarr(folder, 0).read_plane()


class Bomb:
    """Object that creates a folder where the test runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_pickles_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(8, 9), "yx")
    file = folder / "0" / ".zarray"
    (folder / "0" / "0" / "0").write_bytes(pickle.dumps(Bomb()))
    stored = json.loads(file.read_text())
    codec = {"id": "pickle", "protocol": 5}
    for dtype in ("|O", "<u2"):
        codecs = {"compressor": codec} if place == "compressor" else {"compressor": None, "filters": [codec]}
        file.write_text(json.dumps({**stored, "dtype": dtype, "fill_value": 0} | codecs))
        with pytest.raises(FileFormatError, match=r"pixels of kind \|O|the codec 'pickle' is not among"):
            open_ome_zarr(folder, 0).read_plane()
    assert not (tmp_path / "unpickled").exists()


@VERSIONS
@pytest.mark.parametrize(
    ("shape", "chunks", "message"),
    [
        ([2**20, 2**20], [16, 16], "says it has 1048576 × 1048576 pixels"),
        ([8, 9], [2**20, 2**20], "expected at most 2147483648 bytes each"),
        ([8, 9], [0, 9], "2 axes, but arrays of shape"),
        ([8], [8], "2 axes, but arrays of shape"),
        ([8, -9], [8, 9], "2 axes, but arrays of shape"),
        ([8, True], [8, 9], "2 axes, but arrays of shape"),
    ],
)
def test_impossible_arrays(
    tmp_path: Path, version: str, shape: list[int], chunks: list[int], message: str
) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(8, 9), "yx", version=version)
    file = folder / "0" / ("zarr.json" if version == "0.5" else ".zarray")
    stored = json.loads(file.read_text())
    if version == "0.5":
        stored["chunk_grid"]["configuration"]["chunk_shape"] = chunks
    else:
        stored["chunks"] = chunks
    file.write_text(json.dumps(stored | {"shape": shape}))
    with pytest.raises(FileFormatError, match=message):
        open_ome_zarr(folder, 0)


@pytest.mark.parametrize("dtype", ["<c8", "<M8[s]", "<U4", "|V8", [["a", "<u2"]], "|S3"])
def test_other_kinds_of_values(tmp_path: Path, dtype: Any) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(8, 9), "yx")
    file = folder / "0" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dtype": dtype}))
    with pytest.raises(FileFormatError, match="pixels of kind"):
        open_ome_zarr(folder, 0)


@pytest.mark.parametrize("axes", [["q", "y", "x"], ["y", "y", "x"], ["z", "c", "x"]])
def test_other_axes(tmp_path: Path, axes: list[str]) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(2, 8, 9), "zyx")
    entry = attributes_of(folder, "0.4")["multiscales"][0]
    entry["axes"] = [{"name": axis} for axis in axes]
    write_group(folder, {"multiscales": [entry]}, "0.4")
    with pytest.raises(FileFormatError, match="expected y, x and perhaps t, c, z"):
        open_ome_zarr(folder, 0)


def mutate_json(value: Any, chance: random.Random) -> Any:
    """Change one place of nested JSON into something else."""
    others = [
        None,
        0,
        -1,
        2**70,
        1.5,
        "",
        "..",
        "x" * 300,
        [],
        {},
        [[]],
        True,
        float("nan"),
        {"id": "pickle"},
    ]
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = value.copy()
        if chance.random() < 0.1:
            del changed[key]
        else:
            changed[key] = mutate_json(value[key], chance)
        return changed
    return chance.choice(others)


def read_mutated(source: str, scratch: str, first: int, last: int) -> None:
    """Read damaged copies of a folder; only DINOCell's own errors may come out."""
    for seed in range(first, last):
        chance, folder = random.Random(seed), Path(scratch) / str(seed)  # noqa: S311
        shutil.copytree(source, folder)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        texts = [file for file in files if "json" in file.name or file.name.startswith(".")]
        for _ in range(chance.randint(1, 3)):
            file = chance.choice(texts if chance.random() < 0.7 else files)
            data = bytearray(file.read_bytes()) or bytearray(1)
            if file in texts and data[:1] == b"{" and chance.random() < 0.8:
                try:
                    file.write_text(json.dumps(mutate_json(json.loads(data), chance)))
                except ValueError:
                    continue
                continue
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] = chance.choice((0, 127, 255, chance.randrange(256)))
            file.write_bytes(data[: chance.randrange(len(data))] if chance.random() < 0.3 else data)
        try:
            with open_ome_zarr(folder, 0) as image:
                for at in np.ndindex(*(min(size, 3) for size in image.info.shape[:3])):
                    image.read_plane(*at)
        except DINOCellError as error:
            assert "\n" not in str(error)  # noqa: PT017
        shutil.rmtree(folder)


@pytest.mark.slow
@VERSIONS
@pytest.mark.parametrize("codec", ["blosc", "zlib", "zstd"])
def test_mutated_folders_neither_crash_nor_escape(tmp_path: Path, version: str, codec: str) -> None:
    # in a process of its own: codecs are native code
    folder, pixels = tmp_path / "a.zarr", noise(2, 2, 40, 40)
    write_ome_zarr(folder, pixels, "czyx", version=version, channel_names=("a", "b"))
    shutil.rmtree(folder / "0")
    if version == "0.5":
        name = {"blosc": "BloscCodec", "zlib": "GzipCodec", "zstd": "ZstdCodec"}[codec]
        compressor = getattr(zarr.codecs, name)()
    else:
        import numcodecs

        compressor = getattr(numcodecs, codec.capitalize())()
    array = zarr.create_array(
        folder / "0", shape=pixels.shape, dtype="uint16", chunks=(1, 1, 20, 40), compressors=compressor,
        zarr_format=3 if version == "0.5" else 2,
    )  # fmt: skip
    array[...] = pixels
    arguments = f"{str(folder)!r}, {str(tmp_path)!r}, 0, 60"
    code = f"from tests.io.test_ome_zarr import read_mutated; read_mutated({arguments})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@VERSIONS
@pytest.mark.parametrize(
    "change", [lambda data: data[:-3], lambda data: data[:9], lambda data: data + b"more"]
)
def test_a_blosc_chunk_of_another_size_than_it_says(
    tmp_path: Path, version: str, change: Callable[[bytes], bytes]
) -> None:
    pixels = (np.arange(64 * 64, dtype=np.uint16) // 7).reshape(64, 64)
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, "yx", version=version)
    shutil.rmtree(folder / "0")
    kind: dict[str, Any] = {"zarr_format": 3, "compressors": zarr.codecs.BloscCodec()}
    if version == "0.4":
        kind = {"zarr_format": 2, "compressors": numcodecs.Blosc()}
    array = zarr.create_array(folder / "0", shape=(64, 64), chunks=(64, 64), dtype="uint16", **kind)
    array[...] = pixels
    with open_ome_zarr(folder, 0) as image:
        np.testing.assert_array_equal(image.read_plane(), pixels)
    name = "0.0" if version == "0.4" else "c/0/0"
    chunk = folder / "0" / name
    chunk.write_bytes(change(chunk.read_bytes()))
    message = rf"0/{name} has \d+ bytes, its head says \d+"
    with open_ome_zarr(folder, 0) as image, pytest.raises(FileFormatError, match=message):
        image.read_plane()
