from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinocell.errors import InputError
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.readers.naming import channel_names, choose_scene
from dinocell.io.selected_planes import find_channel, read_channels, read_selected_plane
from dinocell.io.selection import Selection, Span, check_scene, parse_span, select_planes


class Stack(LazyImage):
    """Pixels of the value 100 · t + 10 · c + z."""

    def __init__(self, times=1, channels=1, slices=1, samples=1, names=(), scenes=("only",), scene=0):
        shape = (times, channels, slices, 4, 5)
        info = ImageInfo("made", scenes, scene, shape, samples, np.dtype(np.uint16), channel_names=names)
        super().__init__(Path("stack.tif"), info)

    def _read(self, t, c, z):
        shape = (4, 5) if self.info.samples == 1 else (4, 5, self.info.samples)
        return np.full(shape, 100 * t + 10 * c + z, np.uint16) + np.arange(self.info.samples, dtype=np.uint16)


def places(stack, **chosen):
    return [(plane.t, plane.z, plane.suffix) for plane in select_planes(stack, Selection(**chosen))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", Span(3, 4)),
        ("0:10", Span(0, 10)),
        ("2:", Span(2, None)),
        (":5", Span(0, 5)),
        (":", Span(0, None)),
    ],
)
def test_spans_are_read_as_python_slices(text, expected):
    assert parse_span(text, "--time") == expected


@pytest.mark.parametrize("text", ["", "a", "-1", "1:2:3", "1.5", "٣", "0x2", "max", "9" * 5000])
def test_what_is_no_span_is_refused_with_the_flag(text):
    with pytest.raises(InputError, match=r"--time is .*expected a number such as 3"):
        parse_span(text, "--time")


@given(start=st.integers(0, 30), stop=st.integers(0, 30), count=st.integers(1, 20))
def test_a_span_gives_what_a_slice_gives_or_is_refused(start, stop, count):
    span = parse_span(f"{start}:{stop}", "--z")
    if start < stop <= count:
        assert list(span.indices(count, flag="--z", name="x")) == list(range(count))[start:stop]
    else:
        with pytest.raises(InputError, match="--z"):
            span.indices(count, flag="--z", name="x")


def test_a_single_plane_needs_no_choice_and_no_suffix():
    assert places(Stack()) == [(0, 0, "")]
    assert places(Stack(), all_planes=True) == [(0, 0, "")]


def test_a_stack_is_never_flattened_unasked():
    with pytest.raises(InputError, match=r"3 times: --time N.*2 slices: --z N.*--all-planes"):
        places(Stack(times=3, slices=2))
    with pytest.raises(InputError, match=r"\(2 slices"):
        places(Stack(times=3, slices=2), time=Span(1, 2))


def test_who_takes_one_plane_only_is_not_advised_to_choose_several():
    with pytest.raises(InputError, match=r"\(3 times: --time N; 2 slices: --z N, --z max or --z mean\)$"):
        select_planes(Stack(times=3, slices=2), Selection(), several=False)


def test_chosen_times_and_slices_come_in_order_with_names_of_their_own():
    stack = Stack(times=3, slices=2)
    assert places(stack, time=Span(1, 3), z=Span(1, 2)) == [(1, 1, "_t0001_z001"), (2, 1, "_t0002_z001")]
    assert len({suffix for _, _, suffix in places(stack, all_planes=True)}) == 6
    # What was chosen is kept when the rest is taken whole.
    assert places(stack, time=Span(2, 3), all_planes=True) == [(2, 0, "_t0002_z000"), (2, 1, "_t0002_z001")]
    assert places(stack, time=Span(0, 1), projection="max") == [(0, None, "_t0000_zmax")]


def test_scenes_must_be_chosen_and_are_in_the_name():
    stack = Stack(scenes=("A1", "A2"), scene=1)
    with pytest.raises(InputError, match=r"A1, A2.*--scene all"):
        check_scene(stack, Selection())
    check_scene(stack, Selection(scene="A2"))
    assert places(stack) == [(0, 0, "_s01")]


def test_projections_are_those_of_numpy():
    stack = Stack(slices=4)
    (plane,) = select_planes(stack, Selection(projection="max"))
    assert (read_selected_plane(stack, plane, None) == 3).all()
    assert read_selected_plane(stack, plane, None).dtype == np.uint16
    (plane,) = select_planes(stack, Selection(projection="mean"))
    assert (read_selected_plane(stack, plane, None) == 1.5).all()


def test_channels_are_chosen_by_name_or_number_and_never_guessed():
    stack = Stack(channels=2, names=("DAPI", "GFP"))
    (plane,) = select_planes(stack, Selection())
    with pytest.raises(InputError, match=r"2 channels \(DAPI, GFP\).*--channel NAME, or N"):
        read_selected_plane(stack, plane, None)
    assert (read_selected_plane(stack, plane, "GFP") == 10).all()
    assert (read_selected_plane(stack, plane, 0) == 0).all()
    with pytest.raises(InputError, match="RFP"):
        read_selected_plane(stack, plane, "RFP")
    assert [(name, int(pixels[0, 0])) for name, pixels in read_channels(stack, plane)] == [
        ("DAPI", 0),
        ("GFP", 10),
    ]


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        (("CD3", "GFP"), "DAPI,CD3", "CD3"),
        (("GFP", "DAPI", "CD3"), "CD3, DAPI", "CD3"),
        (("GFP", "CD3,DAPI", "DAPI"), "CD3,DAPI", "CD3,DAPI"),  # the very name comes first
        (("GFP", "RFP"), "DAPI,1", "RFP"),
        (("1", "RFP"), "DAPI,number:1", "RFP"),
        ((), "DAPI,0", "channel 0"),
    ],
)
def test_of_several_channels_the_first_is_taken_that_the_image_has(names, wanted, expected):
    stack = Stack(channels=len(names) or 2, names=names)
    number, name = find_channel(stack, wanted)
    assert name == expected
    assert (read_selected_plane(stack, select_planes(stack, Selection())[0], wanted) == 10 * number).all()


@pytest.mark.parametrize("wanted", ["DAPI,CD3", ",", "DAPI,", "7,8"])
def test_of_several_channels_one_must_exist(wanted):
    stack = Stack(channels=2, names=("GFP", "RFP"))
    with pytest.raises(InputError, match=r"has no channel '.*it holds 0 'GFP', 1 'RFP'") as refused:
        find_channel(stack, wanted)
    assert refused.value.kind.names == ("GFP", "RFP")


def test_several_scenes_are_not_joined_by_commas():
    with pytest.raises(InputError, match="has no scene 'a,b'"):
        choose_scene(["a", "b"], "a,b", Path("x.czi"))


def test_a_channel_is_found_with_a_name_of_its_own():
    stack = Stack(channels=3, names=("A", "A", ""))
    assert [find_channel(stack, channel) for channel in (0, "1", "channel 2")] == [
        (0, "A 0"),
        (1, "A 1"),
        (2, "channel 2"),
    ]
    assert find_channel(Stack(samples=3), "G") == (1, "G")
    assert find_channel(Stack(), None) is None
    with pytest.raises(InputError, match=r"3 channels \(A 0, A 1, channel 2\), expected a choice"):
        find_channel(stack, None)


def test_samples_of_a_colour_are_channels_only_where_one_is_asked_for():
    stack = Stack(samples=3)
    (plane,) = select_planes(stack, Selection())
    assert read_selected_plane(stack, plane, None).shape == (4, 5, 3)
    assert (read_selected_plane(stack, plane, "G") == 1).all()
    assert (read_selected_plane(stack, plane, 2) == 2).all()
    assert channel_names(stack.info) == ["R", "G", "B"]
    assert channel_names(Stack(channels=2, samples=3, names=("x", "")).info)[2:4] == ["x B", "channel 1 R"]
