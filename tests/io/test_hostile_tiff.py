"""Files made to fill the memory, to never end, or to open other files: each gives one clear error."""

import io
import lzma
import os
import pickle
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dinocell.errors import FileFormatError
from dinocell.io.images import open_image, read_image
from dinocell.io.planes import decoding
from dinocell.io.readers.tiff_directories import MAX_PAGES
from tests.fakes.tiff import (
    along,
    below_itself,
    chain,
    compressed,
    deflated,
    described,
    directory,
    image_of,
    jpeg_bomb,
    named,
    npy_header,
    ome,
    png,
    saved,
    tags_of,
    tiff,
    with_tag,
)

# Opens each file in a process of its own, which is given 60 s of a processor and 1 GiB beyond what is loaded.
OPEN_ALL = """
import os, resource, signal, sys, time
from pathlib import Path
from dinocell.errors import DINOCellError
from dinocell.io.images import open_image, read_image
import dinocell.io.readers.npy, dinocell.io.readers.raster, dinocell.io.readers.tiff_image

def pages(path):
    return int(Path("/proc/self/statm").read_text().split()[path]) * resource.getpagesize()

for file in sys.argv[1:]:
    sys.stdout.flush()
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_AS, (pages(0) + 2**30,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        signal.alarm(900)
        before, start = pages(1), time.process_time()
        try:
            with open_image(file) as image:
                times, channels, slices = image.info.shape[:3]
                image.read_plane(times - 1, channels - 1, slices - 1)
            said = f"opened {image.info.shape}"
        except DINOCellError as error:
            said = f"{type(error).__name__}: {error}"
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 2**20
        print(f"{time.process_time() - start:.2f} s, {peak:.0f} MiB", said, sep="\\t", flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print("0 s\\tkilled")
"""


def open_apart(*files: Path) -> list[str]:
    """Return what opening each file says, from processes with bounds."""
    command = [sys.executable, "-c", OPEN_ALL, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    if os.environ.get("SHOW_FIGURES"):
        for file, line in zip(files, lines, strict=True):
            sys.__stderr__.write(f"{file.name}: {line}\n")
    return [line.split("\t")[1] for line in lines]


LAUGHS = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "million_pages.tif": (lambda: chain(MAX_PAGES + 1), f"has more than {MAX_PAGES} pages, .*: split it"),
    "million_imagej.tif": (
        lambda: tiff(np.zeros((8, 8), np.uint8), description="ImageJ=1.54\nimages=1000000\n", metadata=None),
        "it says it has 1000000 images, but has 1",
    ),
    "million_slices.tif": (
        lambda: tiff(
            np.zeros((8, 8), np.uint8),
            description="ImageJ=1.54\nimages=1000000\nslices=1000000\n",
            metadata=None,
            compression="zlib",
        ),
        "it says it has 1000000 pages, the last are missing|corrupted file",
    ),
    "million_shaped.tif": (
        lambda: tiff(
            np.zeros((8, 8), np.uint8),
            description='{"shape": [1000000, 8, 8], "truncated": true}',
            metadata=None,
        ),
        "it says it has 1000000 pages, the last are missing",
    ),
    "million_ome.tif": (
        lambda: ome(image_of("<TiffData/>", z="1000000")),
        "OME-XML that speaks of 1000000 pl",
    ),
    "trillion_ome.tif": (
        lambda: ome(image_of("<TiffData/>", x="1000000000000")),
        "OME-XML that speaks of 8000",
    ),
    "plane_count.tif": (
        lambda: ome(image_of('<TiffData IFD="0" PlaneCount="1000000000"/>')),
        "OME-XML that speaks of more than",
    ),
    "quadratic.tif": (
        lambda: ome(image_of("<TiffData/>" * 20000, z="100"), pages=100),
        "OME-XML that speaks of more than",
    ),
    "modulo.tif": (lambda: ome(along("1e12")), "values along an axis"),
    "terapixel.tif": (
        lambda: struct.pack("<2sHI", b"II", 42, 8) + directory(tags_of(10**6, 10**6, (8, 4)), 0),
        "1000000 × 1000000 pixels, expected 1 to",
    ),
    "tile.tif": (
        lambda: compressed(16, 16, 8, deflated(1), _322=65520, _323=65520),
        "its tiles have 4292870400 values, its pages 256",
    ),
    "depth.tif": (
        lambda: (
            struct.pack("<2sHI", b"II", 42, 8)
            + directory(tags_of(2**15, 2**15, (8, 4), _32997=10**6, _259=8), 0)
        ),
        "says it has pages of 1073741824000000 values",
    ),
    "strips.tif": (lambda: with_tag(273, 4, 2**31, 12), "says its tags are larger than they can be"),
    "tiles.tif": (lambda: with_tag(324, 4, 2**25, 12), "says its tags are larger|strips or tiles"),
    "description.tif": (lambda: with_tag(270, 2, 2**30, 12), r"opened \(1, 1, 1, 2, 2\)"),
    "itself.tif": (lambda: chain(1, last=12), r"cycle of pages \(again at byte 12\)"),
    "pair.tif": (lambda: chain(2, last=12), r"cycle of pages \(again at byte 12\)"),
    "late_cycle.tif": (lambda: chain(500, last=12 + 114 * 300), "cycle of pages"),
    "below.tif": (lambda: below_itself(1), r"cycle of pages \(again at byte 12\)"),
    "branching.tif": (lambda: below_itself(2), "cycle of pages"),
    "deflate.tif": (lambda: compressed(8, 8, 8, deflated(2048)), "damaged or unsupported TIFF"),
    "lzma.tif": (
        lambda: compressed(8, 8, 34925, lzma.compress(bytes(2**23), preset=0)),
        "part 0 of it has more than the 64 bytes of its pixels",
    ),
    "jpeg.tif": (jpeg_bomb, "a part of it is coded as 65500 × 65500 pixels"),
    "bomb.png": (lambda: png(deflated(2048)), "it inflates to more than its pixels"),
    "zeros.png": (lambda: png(bytes(2**21)), r"unsupported PNG file \(Error -3 while decompressing data"),
    "laughs.tif": (
        lambda: ome("&a12;", f'<!DOCTYPE b [<!ENTITY a0 "ha">{LAUGHS}]>'),
        "OME-XML with a DOCTYPE",
    ),
    "outside.tif": (
        lambda: ome("&e;", '<!DOCTYPE b [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
        "OME-XML with a DOCTYPE",
    ),
    "long.tif": (
        lambda: described(f"<OME>{'<a/>' * 13_000_000}</OME>"),
        "says its tags are larger than they can be",
    ),
    "elements.tif": (
        lambda: described(f"<OME>{'<a/>' * 5_000_000}</OME>"),
        "OME-XML that speaks of more than 4194304 elements",
    ),
    "pickle.npy": (lambda: saved(np.array([print], object)), "not a complete array of plain numbers"),
    "huge.npy": (lambda: npy_header((2**16, 2**16)), "pixels, expected 1 to|not a complete array"),
    "cut.npy": (lambda: saved(np.zeros((9, 9)))[:-9], "not a complete array of plain numbers"),
    "header.npy": (
        lambda: saved(np.zeros((9, 9))).replace(b"(9, 9)", b"((9, 9"),
        "not a complete array of plain numbers",
    ),
    "volume.npy": (lambda: saved(np.zeros((3, 9, 9))), r"shape \(3, 9, 9\) of float64, expected \(Y, X\)"),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory through /proc")
def test_hostile_files_end_soon_with_bounded_memory(tmp_path: Path) -> None:
    for name, (content, _) in HOSTILE.items():
        (tmp_path / name).write_bytes(content())
    files = [tmp_path / name for name in HOSTILE]
    for file, said in zip(files, open_apart(*files), strict=True):
        expected = HOSTILE[file.name][1]
        start = "" if said.startswith("opened") else f"FileFormatError: {file} "
        assert said.startswith(start)
        assert re.search(expected, said), said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory through /proc")
def test_a_hundred_thousand_pages_open(tmp_path: Path) -> None:
    (tmp_path / "real.tif").write_bytes(chain(100_000))
    assert open_apart(tmp_path / "real.tif") == ["opened (1, 1, 100000, 2, 2)"]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "../b.ome.tif",
        "sub/b.ome.tif",
        "..\\b.tif",
        "link.ome.tif",
        "passwd",
        "pipe.tif",
        "C:b.tif",
        "loop.ndpi",
    ],
)
def test_ome_names_no_other_file_than_a_neighbour(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "b.ome.tif"
    folder = tmp_path / "here"
    (folder / "sub").mkdir(parents=True)
    for place in (secret, folder / "sub" / "b.ome.tif"):
        place.write_bytes(tiff(np.full((8, 8), 77, np.uint8)))
    (folder / "link.ome.tif").symlink_to(secret)
    os.mkfifo(folder / "pipe.tif")
    (folder / "a.ome.tif").write_bytes(ome(named("a.ome.tif", name)))
    for read in (open_image, read_image):
        with pytest.raises(FileFormatError, match=r"names another file in its OME-XML, '.*', expected plain"):
            read(folder / "a.ome.tif")
    (folder / "b.ome.tif").write_bytes(ome(named(name)))  # it is renamed, and no other is read
    np.testing.assert_array_equal(read_image(folder / "b.ome.tif").pixels, np.zeros((8, 8)))


def test_neighbours_are_checked_like_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "a.ome.tif").write_bytes(ome(named("a.ome.tif", "b.ome.tif")))
    (tmp_path / "b.ome.tif").write_bytes(chain(500, last=12 + 114 * 300))
    with pytest.raises(FileFormatError, match=r"b\.ome\.tif has a cycle of pages"):
        open_image(tmp_path / "a.ome.tif")


def test_a_link_to_the_file_itself_is_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.ome.tif").write_bytes(ome(named("a.ome.tif")))
    (tmp_path / "link.tif").symlink_to(tmp_path / "store" / "a.ome.tif")
    with open_image(tmp_path / "link.tif") as image:
        assert image.info.shape == (1, 1, 1, 8, 8)


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_a_file_cut_while_it_is_open(tmp_path: Path, name: str) -> None:
    file, pixels = tmp_path / name, np.ones((600, 700), np.uint16)
    file.write_bytes(saved(pixels) if name == "a.npy" else tiff(pixels))
    with open_image(file) as image:
        np.testing.assert_array_equal(image.read_plane(), pixels)
        os.truncate(file, 1000)
        with pytest.raises(FileFormatError, match=name):
            image.read_plane()


def test_a_file_changed_while_it_is_open(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_bytes(tiff(np.ones((60, 70), np.uint16)))
    with open_image(file) as image, file.open("ab") as stream:
        stream.write(b"more")
        stream.flush()
        with pytest.raises(FileFormatError, match=r"a\.tif is .*it changed while it was read"):
            image.read_plane()


def test_pickles_run_nothing(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "a.npy").write_bytes(saved(np.array([Touch()], object)))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Touch()))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(FileFormatError):
            open_image(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(FileFormatError, match="is a pipe or device, expected an image file"):
        open_image(tmp_path / "a.tif")


def test_decoding_names_a_file_whose_array_header_is_no_python() -> None:
    header = saved(np.zeros((9, 9))).replace(b"(9, 9)", b"((9, 9")[8:]
    expected = pytest.raises(FileFormatError, match=r"a\.npy is a damaged or unsupported NPY file \(.*EOF in")
    with expected, decoding(Path("a.npy"), "NPY"):
        np.lib.format.read_array_header_1_0(io.BytesIO(header))
