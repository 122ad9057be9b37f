"""From image files to views: what is found, read, cut, augmented and hidden."""

import pickle

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st

from dinocell.errors import FileFormatError, FileMissingError, OutputError
from dinocell.io.saving import write_image
from dinocell.preprocess.preprocessing import Preprocessing, preprocess
from dinocell.training.pretraining import PretrainConfig
from dinocell.training.pretraining.config import ANNOTATIONS, GlobalViews
from dinocell.training.pretraining.unlabelled import PLANES_FILE, find_images, open_images
from dinocell.training.pretraining.views import ViewSamples, block_mask, cut_field, draw_views
from tests.fakes.tiff import write_ome_set

PLAIN = {
    "flip": 0, "rotate": 0, "scale": (1, 1), "stretch": 1, "brightness": (1, 1), "contrast": (1, 1),
    "gamma": (1, 1), "blur": 0, "noise": 0, "invert": 0,
}  # fmt: skip


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make_config(path, **changes):
    settings = {
        "images": [path],
        "output": path.parent,
        "batch_size": 2,
        "field": 48,
        "global_views": {"size": 32},
        "local_views": {"size": 16, "count": 3},
        "workers": 0,
    }
    return PretrainConfig.model_validate(settings | changes)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


def test_folders_are_searched_without_annotations(folder, caplog):
    for name in (
        "a_img.png", "a_masks.png", "deep/er/b.PNG", "deep/masks/b.png", "01/t000.tif",
        "01_GT/SEG/man_seg000.tif", "01_RES/mask000.tif", ".hidden/c.png", "antibody_label.tif", "notes.txt",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = [
        str(file.relative_to(folder)) for file in find_images([folder, folder / "a_img.png"], ANNOTATIONS)
    ]
    assert found == ["01/t000.tif", "a_img.png", "antibody_label.tif", "deep/er/b.PNG"]
    assert "left out: 1 file (annotations or results of other images: a_masks.png)" in caplog.text
    named = find_images([folder / "a_masks.png"], ANNOTATIONS)  # what is named itself is meant
    assert named == [folder / "a_masks.png"]
    assert find_images([folder / "deep/masks"], ANNOTATIONS) == [folder / "deep/masks/b.png"]


def test_a_set_of_files_is_learned_from_once(folder):
    first, *_ = write_ome_set(folder, np.zeros((3, 8, 8), np.uint8))
    assert find_images([folder], ANNOTATIONS) == [first]


def test_nothing_to_read_is_refused(folder):
    with pytest.raises(FileMissingError, match="no images are given"):
        find_images([], ())
    with pytest.raises(FileMissingError, match="does not exist"):
        find_images([folder / "nowhere"], ())
    with pytest.raises(FileMissingError, match="holds no images"):
        find_images([folder], ())


def test_images_are_preprocessed_once_and_kept_in_a_file(folder):
    gray, colour = noise(40, 50), noise(30, 20, 3)
    write_image(folder / "a.png", gray)
    write_image(folder / "b.png", colour)
    config = make_config(folder)
    with open_images(config) as planes:
        assert planes.shapes == ((1, 40, 50), (1, 30, 20))
        np.testing.assert_array_equal(planes.read(0)[0], preprocess(gray))
        np.testing.assert_array_equal(planes.read(1)[0], preprocess(colour))
        assert len(pickle.dumps(planes)) < 500  # what a process is sent
        sha256 = planes.sha256
    assert not (folder.parent / PLANES_FILE).exists()
    with open_images(config.model_copy(update={"workers": 1})) as planes:
        assert planes.sha256 == sha256
    write_image(folder / "b.png", noise(30, 20, 3, seed=1))
    with open_images(config) as planes:
        assert planes.sha256 != sha256


def test_channels_are_kept_apart_and_empty_ones_left_out(folder):
    channels = np.stack([noise(24, 24), np.zeros((24, 24), np.uint8), noise(24, 24, seed=1)])
    tifffile.imwrite(folder / "channels.tif", channels, metadata={"axes": "CYX"}, photometric="minisblack")
    write_image(folder / "z_colours.png", noise(24, 24, 4, seed=2))
    with open_images(make_config(folder)) as planes:
        assert planes.shapes == ((2, 24, 24), (1, 24, 24))
        np.testing.assert_array_equal(planes.read(0)[1], preprocess(channels[2]))
    with open_images(make_config(folder, stains_in_colours=True)) as planes:
        assert planes.shapes == ((2, 24, 24), (3, 24, 24))  # without the alpha channel


def test_every_page_of_a_stack_is_an_image(folder):
    stack = noise(3, 20, 20)
    tifffile.imwrite(folder / "movie.tif", stack, metadata={"axes": "TYX"}, photometric="minisblack")
    with open_images(make_config(folder)) as planes:
        assert planes.shapes == ((1, 20, 20),) * 3
        np.testing.assert_array_equal(planes.read(2)[0], preprocess(stack[2]))


def test_unreadable_files_of_a_folder_are_left_out_and_named(folder, caplog):
    write_image(folder / "a.png", noise(20, 20))
    (folder / "b.png").write_bytes(b"no image")
    tifffile.imwrite(folder / "c.tif", np.full((20, 20), np.nan, np.float32))
    with open_images(make_config(folder)) as planes:
        assert len(planes) == 1
        assert [name in line for name, line in zip(("b.png", "c.tif"), planes.skipped, strict=True)] == [
            True
        ] * 2
    assert "b.png" in caplog.text
    with pytest.raises(FileFormatError, match=r"b\.png"), open_images(make_config(folder / "b.png")):
        pass
    (folder / "a.png").unlink()
    with (
        pytest.raises(FileFormatError, match="none of 2 images can be read"),
        open_images(make_config(folder)),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_named(folder):
    write_image(folder / "a.png", noise(20, 20))
    config = make_config(folder, output=folder / "missing")
    with pytest.raises(OutputError, match="cannot write"), open_images(config):
        pass


def test_fields_are_parts_of_images_and_small_images_are_mirrored():
    rng = np.random.default_rng(0)
    image = noise(2, 60, 20)
    field = cut_field(image, 48, 32, rng)
    assert field.shape == (2, 48, 32)
    # The 20 columns are in the middle, six mirrored ones on both sides.
    tops = [top for top in range(13) if np.array_equal(field[:, :, 6:26], image[:, top : top + 48])]
    assert len(tops) == 1
    np.testing.assert_array_equal(field[:, :, :6], field[:, :, 11:5:-1])
    assert len({cut_field(image, 48, 32, rng).tobytes() for _ in range(20)}) > 5


def test_the_first_large_view_is_the_mean_of_the_channels():
    field = np.stack([np.full((32, 32), 10, np.uint8), np.full((32, 32), 13, np.uint8)])
    views = GlobalViews.model_validate({"size": 32, "count": 9, "augmentation": PLAIN})
    drawn = draw_views(field, views, np.random.default_rng(0), first_is_mean=True)
    assert set(drawn[0].ravel()) == {12}  # 11.5 is rounded to even
    assert {tuple(np.unique(view)) for view in drawn[1:]} == {(10,), (13,)}
    drawn = draw_views(field, views, np.random.default_rng(0), first_is_mean=False)
    assert {tuple(np.unique(view)) for view in drawn} == {(10,), (13,)}


@given(st.integers(1, 16), st.data(), st.integers(0, 99))
def test_a_mask_hides_exactly_so_many_patches(grid, data, seed):
    count = data.draw(st.integers(0, grid * grid))
    mask = block_mask(grid, count, np.random.default_rng(seed))
    assert mask.shape == (grid, grid)
    assert mask.sum() == count


def test_views_depend_on_seed_and_number_alone(folder):
    for number in range(3):
        write_image(folder / f"{number}.png", noise(64, 64, seed=number))
    config = make_config(folder)
    with open_images(config) as planes:
        samples = ViewSamples(planes, config, 16)
        one, other = samples[5], samples[5]
        large, small, masks = one
        assert (large.shape, small.shape, masks.shape) == ((2, 32, 32), (3, 16, 16), (2, 4))
        assert (large.dtype, small.dtype, masks.dtype) == (torch.uint8, torch.uint8, torch.bool)
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert not torch.equal(large, samples[6][0])
        other_seed = ViewSamples(planes, config.model_copy(update={"seed": 1}), 16)
        assert not torch.equal(large, other_seed[5][0])
        first, second = samples.batches(2, 4)
        assert torch.equal(first[0][1], samples[5][0])  # two samples a step
        assert torch.equal(second[2][0], samples[6][2])


def test_other_processes_draw_the_same_views(folder):
    write_image(folder / "a.png", noise(64, 64))
    config = make_config(folder)
    with open_images(config) as planes:
        here = list(ViewSamples(planes, config, 16).batches(0, 2))
        there = ViewSamples(planes, config.model_copy(update={"workers": 1}), 16).batches(0, 2)
        for a, b in zip(here, there, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_without_small_views_the_batch_has_none(folder):
    write_image(folder / "a.png", noise(64, 64))
    config = make_config(folder, local_views={"count": 0}, preprocessing=Preprocessing(clahe=False))
    with open_images(config) as planes:
        (batch,) = ViewSamples(planes, config, 16).batches(0, 1)
        assert batch[1].shape[:2] == (2, 0)


def test_what_the_settings_exclude_is_counted(folder, caplog):
    for name in ("a.png", "masks/a.png", "b.nd2"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert find_images([folder], ANNOTATIONS) == [folder / "a.png", folder / "b.nd2"]
    assert "left out: 1 file (named by the setting exclude: a.png)" in caplog.text
