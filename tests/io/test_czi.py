"""CZI files written by pylibCZIrw: every plane exact, metadata, and damage that must not reach libCZI."""

import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileFormatError, InputError
from dinocell.io.readers.czi import CziReader

open_czi = CziReader().open

czi = pytest.importorskip("pylibCZIrw.czi")

Array = NDArray[Any]
SCENES, TIMES, CHANNELS, SLICES = 2, 2, 2, 3


def stack(dtype: str = "uint16", samples: int = 1) -> Array:
    """Return pixels of all scenes, times, channels and slices, all scenes equally large."""
    values = np.random.default_rng(0).random((SCENES, TIMES, CHANNELS, SLICES, 17, 23, samples))
    return (values * (1 if dtype[0] == "f" else np.iinfo(dtype).max)).astype(dtype)


def write(file: Path, pixels: Array, *, skip: tuple[int, ...] = (), **metadata: Any) -> Path:
    with czi.create_czi(str(file)) as document:
        for at in np.ndindex(pixels.shape[:4]):
            scene, t, c, z = at
            if at != skip:
                document.write(
                    pixels[at],
                    plane={"T": t, "C": c, "Z": z},
                    scene=scene,
                    location=(scene * 100, 50 * scene),
                )
        if metadata:
            document.write_metadata("a", **metadata)
    return file


@pytest.mark.parametrize(
    ("dtype", "samples"), [("uint8", 1), ("uint16", 1), ("float32", 1), ("uint8", 3), ("uint16", 3)]
)
def test_every_plane_of_every_scene_is_exact(tmp_path: Path, dtype: str, samples: int) -> None:
    pixels = stack(dtype, samples)
    file = write(tmp_path / "a.czi", pixels)
    for scene in range(SCENES):
        with open_czi(file, scene) as image:
            assert image.info.shape == (TIMES, CHANNELS, SLICES, 17, 23)
            assert (image.info.scene, image.info.samples, image.info.dtype) == (scene, samples, dtype)
            for t, c, z in np.ndindex(TIMES, CHANNELS, SLICES):
                expected = pixels[scene, t, c, z]  # pylibCZIrw writes B, G, R
                got = image.read_plane(t, c, z)
                np.testing.assert_array_equal(got, expected[..., 0] if samples == 1 else expected[..., ::-1])


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    bgr = np.zeros((1, 1, 1, 1, 8, 8, 3), np.uint8)
    bgr[..., 0], bgr[..., 2] = 10, 200
    with open_czi(write(tmp_path / "a.czi", bgr), 0) as image:
        assert image.read_plane()[3, 3].tolist() == [200, 0, 10]


def test_pixel_size_and_names_of_channels(tmp_path: Path) -> None:
    names = {0: "DAPI", 1: "GFP"}
    sizes = {"scale_x": 0.5e-6, "scale_y": 0.5e-6, "scale_z": 2e-6}
    with open_czi(write(tmp_path / "a.czi", stack(), channel_names=names, **sizes), 1) as image:
        assert image.info.channel_names == ("DAPI", "GFP")
        assert image.info.pixel_size_um == pytest.approx(0.5)
        assert image.info.z_step_um == pytest.approx(2)
        assert image.info.scenes == ("0", "1")
    oblong = {"scale_x": 0.5e-6, "scale_y": 0.7e-6}
    with open_czi(write(tmp_path / "b.czi", stack(), **oblong), 0) as image:
        assert image.info.pixel_size_um is None
        assert image.info.pixel_size_yx_um == pytest.approx((0.7, 0.5))
    with open_czi(write(tmp_path / "c.czi", stack(), channel_names={1: "GFP"}), 0) as image:
        assert image.info.channel_names == ("", "GFP")


def test_tiles_of_a_mosaic_are_put_together(tmp_path: Path) -> None:
    pixels = stack()[0, 0, 0, 0, ..., 0]
    with czi.create_czi(str(tmp_path / "a.czi")) as document:
        document.write(np.ascontiguousarray(pixels[:, :10]), location=(-5, 7), scene=0)
        document.write(np.ascontiguousarray(pixels[:9, 10:]), location=(5, 7), scene=0)
    pixels[9:, 10:] = 0
    with open_czi(tmp_path / "a.czi", 0) as image:
        np.testing.assert_array_equal(image.read_plane(), pixels)


def test_a_missing_plane_is_damage_not_black(tmp_path: Path) -> None:
    with open_czi(write(tmp_path / "a.czi", stack(), skip=(0, 1, 0, 2)), 0) as image:
        image.read_plane(1, 0, 1)
        with pytest.raises(FileFormatError, match=r"time 1, channel 0, slice 2 is not in the file"):
            image.read_plane(1, 0, 2)


def test_channels_of_two_kinds_are_refused(tmp_path: Path) -> None:
    with czi.create_czi(str(tmp_path / "a.czi")) as document:
        document.write(np.ones((8, 8, 1), np.uint8), plane={"C": 0})
        document.write(np.ones((8, 8, 3), np.uint8), plane={"C": 1})
    with pytest.raises(FileFormatError, match=r"a\.czi has channels of Bgr24 and Gray8, expected one of"):
        open_czi(tmp_path / "a.czi", 0)


def test_colours_of_floats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"a\.czi has channels of Bgr96Float, expected one of"):
        open_czi(write(tmp_path / "a.czi", stack("float32", 3)), 0)


def test_no_such_scene_or_plane(tmp_path: Path) -> None:
    file = write(tmp_path / "a.czi", stack())
    with pytest.raises(InputError, match=r"a\.czi has no scene 2"):
        open_czi(file, 2)
    with open_czi(file, "1") as image, pytest.raises(InputError, match=r"a\.czi has no z.* 3"):
        image.read_plane(0, 0, 3)


def mutate(data: bytes, at: int, layout: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


def test_a_damaged_directory_never_reaches_libczi(tmp_path: Path) -> None:
    # the second entry begins at 32 + 128 + 172 of the segment, the size of a dimension 8 bytes into it
    data = write(tmp_path / "a.czi", stack()).read_bytes()
    directory = struct.unpack_from("<q", data, 84)[0]
    second = directory + 32 + 128 + 172
    for changed, message in [
        (mutate(data, second + 28, "<i", 127), "directory of tiles is damaged"),  # libCZI crashes on it
        (mutate(data, second + 28, "<i", -1), "directory of tiles is damaged"),
        (mutate(data, directory + 32, "<i", 10**6), "it ends too early"),
        (mutate(data, directory + 32, "<i", 2**30), "its directory has 1073741824 tiles"),
        (mutate(data, second + 6, "<q", 2**50), "directory of tiles is damaged"),
        (mutate(data, second + 32 + 16, "<i", 2**30), "impossible size"),
        (mutate(data, 84, "<q", len(data)), "a segment is beyond its end"),
        (mutate(data, 84, "<q", 544), "its segment ZISRAWDIRECTORY is damaged"),
        (data[: len(data) - 40], "its segment ZISRAWDIRECTORY is damaged"),
        (b"", "a segment is beyond its end"),
    ]:
        (tmp_path / "b.czi").write_bytes(changed)
        with pytest.raises(FileFormatError, match=message):
            open_czi(tmp_path / "b.czi", 0)


def test_a_plane_larger_than_the_file_can_hold_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with czi.create_czi(str(tmp_path / "a.czi")) as document:
        for place in (0, 40_000):
            document.write(np.ones((8, 8, 1), np.uint8), location=(place, place), scene=0)
    with pytest.raises(FileFormatError, match=r"planes of 1600640064 bytes cannot be in a file"):
        open_czi(tmp_path / "a.czi", 0)


def read_mutated(folder: str, first: int, last: int) -> None:
    """Read damaged copies of a file; only DINOCell's own errors may come out."""
    data = (Path(folder) / "a.czi").read_bytes()
    directory = struct.unpack_from("<q", data, 84)[0]
    hot = [*range(600), *range(directory - 1100, len(data))]
    for seed in range(first, last):
        chance = random.Random(seed)  # noqa: S311
        changed = bytearray(data)
        for _ in range(chance.randint(1, 6)):
            at = chance.choice(hot) if chance.random() < 0.7 else chance.randrange(len(data))
            changed[at] = chance.choice((0, 127, 128, 255, chance.randrange(256)))
        cut = chance.randrange(len(data)) if chance.random() < 0.2 else len(data)
        file = Path(folder) / f"mutated{first}.czi"
        file.write_bytes(changed[:cut])
        try:
            with open_czi(file, 0) as image:
                for at in np.ndindex(image.info.shape[:3]):
                    image.read_plane(*at)
        except DINOCellError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_mutated_files_neither_crash_nor_escape(tmp_path: Path) -> None:
    # in a process of its own: libCZI is native code
    write(tmp_path / "a.czi", stack(), channel_names={0: "DAPI", 1: "GFP"}, scale_x=1e-6, scale_y=1e-6)
    code = f"from tests.io.test_czi import read_mutated; read_mutated({str(tmp_path)!r}, 0, 300)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
