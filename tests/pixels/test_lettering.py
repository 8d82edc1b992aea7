"""The generator of writing tells the truth about what it drew, and the judge of what is left cannot be fooled."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from tests.pixels import storing
from tests.pixels.inking import SMALLEST, Item, Kind
from tests.pixels.lettering import make_case
from tests.pixels.phrases import MARKERS, identifying_line, invent
from tests.pixels.storing import Layout
from tests.pixels.typeface import BUILT_IN, Style, written
from tools.pixels_judge import Comparison
from tools.pixels_run import Image, Job, Line, evaluate, failures
from tools.pixels_table import table


def values_of(data):
    dataset = dcmread(io.BytesIO(data))
    frames = int(dataset.get("NumberOfFrames") or 1)
    shape = (frames, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    return pixel_array(dataset, raw=True).reshape(shape)


@pytest.mark.parametrize(("modality", "numbers"), [("CT", range(1, 6)), ("DX", range(1, 3))], ids=["CT", "DX"])
def test_ink_is_where_pixels_changed_and_nowhere_else(modality, numbers):
    drawn = 0
    for number in numbers:
        case = make_case(11, number, modality, sorts=("text",), small=True)
        clean = make_case(11, number, modality, sorts=("text",), small=True, ink=False)
        assert len(case.files) == len(clean.files)
        for place, (with_, without) in enumerate(zip(case.files, clean.files, strict=True)):
            before, after = values_of(without), values_of(with_)
            changed = (before != after).any(axis=-1)
            allowed = np.zeros_like(changed)
            for item, frames in case.on(place):
                left, top, right, bottom = item.area
                for frame in frames:
                    allowed[frame, top:bottom, left:right] = True
                    at = changed[frame, item.top :, item.left :][: item.ink.shape[0], : item.ink.shape[1]]
                    assert at[item.ink].mean() >= 0.9, (number, item.text, item.traits)
                    drawn += 1
            assert not (changed & ~allowed).any(), number
    assert drawn > 3


def test_hard_letters_change_exactly_their_ink():
    found = 0
    for number in range(1, 40):
        case = make_case(12, number, "CT", sorts=("text",), small=True)
        plain = [item for item in case.items if item.traits["edge"] == "hard" and item.traits["behind"] == "nothing"]
        if not plain:
            continue
        clean = make_case(12, number, "CT", sorts=("text",), small=True, ink=False)
        for place, (with_, without) in enumerate(zip(case.files, clean.files, strict=True)):
            changed = (values_of(without) != values_of(with_)).any(axis=-1)
            ink = np.zeros_like(changed)
            for item, frames in case.on(place):
                for frame in frames:
                    ink[frame, item.top :, item.left :][: item.ink.shape[0], : item.ink.shape[1]] |= item.ink
            for item in plain:
                left, top, right, bottom = item.area
                for frame in range(len(changed)):
                    part = changed[frame, top:bottom, left:right]
                    assert not (part & ~ink[frame, top:bottom, left:right]).any()
            found += 1
        if found > 3:
            break
    assert found


def test_a_line_outside_the_window_is_seen_in_another_window_only():
    found = 0
    for number in range(1, 60):
        case = make_case(13, number, "CT", sorts=("text",), small=True)
        for item in case.items:
            if item.traits["contrast"] != "outside":
                continue
            place = 0 if len(case.files) == 1 else item.frames[0]
            dataset = dcmread(io.BytesIO(case.files[place]))
            shown = values_of(case.files[place])[
                item.frames[0] if len(case.files) == 1 else 0, item.top :, item.left :, 0
            ]
            letters = shown[: item.ink.shape[0], : item.ink.shape[1]][item.ink].astype(float)
            hounsfield = letters * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
            half = float(dataset.WindowWidth) / 2
            assert (hounsfield <= float(dataset.WindowCenter) - half + 1).all() or (
                hounsfield >= float(dataset.WindowCenter) + half - 1
            ).all(), number
            found += 1
        if found > 1:
            break
    assert found


def test_the_same_seed_makes_the_same_case_and_another_does_not():
    one, same = (make_case(7, 3, "CT", sorts=("text",), small=True) for _ in range(2))
    assert one.files == same.files
    assert [item.text for item in one.items] == [item.text for item in same.items]
    assert make_case(8, 3, "CT", sorts=("text",), small=True).files != one.files
    assert make_case(7, 4, "CT", sorts=("text",), small=True).files != one.files


def test_a_case_is_of_the_sort_that_was_asked_for():
    for number in range(1, 6):
        assert not make_case(3, number, "CT", sorts=("plain",), small=True).items
        marked = make_case(3, number, "CT", sorts=("markers",), small=True)
        assert {item.kind for item in marked.items} <= {Kind.MARKER}
        text = make_case(3, number, "CT", sorts=("text",), small=True)
        assert Kind.IDENTIFYING in {item.kind for item in text.items}
        assert all(item.height >= SMALLEST and item.ink.any() for item in text.items)


def test_no_identifying_line_is_a_marker():
    rng = np.random.default_rng(5)
    for _ in range(500):
        line, _ = identifying_line(rng, invent(rng))
        assert line.upper().replace(".", "") not in MARKERS
        assert len(line) > 1


@pytest.mark.parametrize("face", BUILT_IN)
@pytest.mark.parametrize("height", [12, 13, 30, 60])
def test_capital_letters_are_as_high_as_they_are_said_to_be(face, height):
    (mask,) = written(["HIH"], Style(face, height, hard=True))
    assert height <= mask.shape[0] <= height + 6
    (turned,) = written(["HIH"], Style(face, height, hard=True, turn=90))
    assert turned.shape == mask.shape[::-1]


GREYS = [
    Layout(stored=12, offset=1024),
    Layout(stored=16, signed=True),
    Layout(stored=12, signed=True),
    Layout(stored=16),
    Layout(stored=10, photometric="MONOCHROME1"),
    Layout(allocated=8, stored=8),
    Layout(allocated=8, stored=8, photometric="PALETTE COLOR", shuffle=4),
    Layout(allocated=8, stored=8, photometric="RGB", planar=1),
    Layout(allocated=8, stored=8, photometric="RGB"),
    Layout(allocated=8, stored=8, photometric="YBR_FULL"),
]


@pytest.mark.parametrize("layout", GREYS, ids=lambda layout: f"{layout.photometric} {layout.stored} {layout.signed}")
def test_every_layout_and_syntax_holds_the_values_that_were_put_in(layout):
    rng = np.random.default_rng(1)
    low, high = (end - layout.offset for end in layout.ends)
    shape = (1, 32, 48, 3) if layout.colour else (1, 32, 48)
    values = rng.integers(low, high + 1, shape).astype(np.int32)
    syntaxes = storing.COLOUR_SYNTAXES if layout.colour else storing.GREY_SYNTAXES
    if layout.signed:
        syntaxes = (*storing.NATIVE, storing.RLELossless)
    if layout.photometric == "PALETTE COLOR":
        syntaxes = storing.NATIVE[:2]
    for syntax in syntaxes:
        dataset = storing.header(invent(rng), "CT", 1, 1)
        storing.fill(dataset, values, replace(layout, syntax=syntax), None if layout.colour else (low, high))
        data = storing.encode(dataset, syntax)
        assert dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID == UID(syntax)
        assert np.array_equal(values_of(data).reshape(shape), layout.store(values)), syntax


def test_the_command_takes_the_files_and_says_what_became_of_each():
    images = [
        *evaluate(Job(21, "CT", (1, 2), ("text", "plain"), BUILT_IN, small=True)),
        *evaluate(Job(21, "CR", (1,), ("text",), BUILT_IN, small=True)),
    ]
    broken = {"unreadable", "truncated", "structure", "element-not-allowed", "pixel-length", "pixel-coding"}
    assert {image.outcome for image in images} <= {"certified", "held"}
    assert not broken & {image.reason for image in images}
    assert all(image.stray == 0 and image.changed < 0.5 for image in images)
    assert {line.outcome for image in images for line in image.lines} <= {"blanked", "held", "missed", "kept", "lost"}
    assert table(images, "").count("| images |") == 1


@pytest.mark.parametrize(("modality", "numbers"), [("CT", range(1, 9)), ("DX", range(1, 4))], ids=["CT", "DX"])
def test_whoever_blanks_each_line_and_no_more_gets_full_marks(modality, numbers):
    judged = 0
    for number in numbers:
        case = make_case(14, number, modality, sorts=("text",), small=True)
        for place, data in enumerate(case.files):
            before = values_of(data)
            after = before.copy()
            black = before.reshape(-1, before.shape[-1]).min(axis=0)
            on = case.on(place)
            for item, frames in on:
                height, width = item.ink.shape
                rows = slice(max(0, item.top - 2), item.top + height + 2)
                columns = slice(max(0, item.left - 2), item.left + width + 2)
                if item.kind is Kind.IDENTIFYING:
                    after[list(frames), rows, columns] = black
            compared = Comparison(before, after)
            assert compared.stray() == 0
            for item, frames in on:
                verdict = compared.is_intact if item.kind is Kind.MARKER else compared.is_blanked
                assert verdict(item, frames), (number, item.text, item.traits)
                assert not (item.kind is Kind.IDENTIFYING and Comparison(before, before).is_blanked(item, frames))
                judged += 1
    assert judged > 5


# --- the judge -------------------------------------------------------------------------------------------------------


def drawn(level=4000, behind=500):
    """Return a picture with one line on it, and the line."""
    (mask,) = written(["SMITHSON 12/03/51"], Style("scalable", 16, hard=True))
    ink = mask > 0
    picture = np.full((1, 80, ink.shape[1] + 60, 1), behind, np.int32)
    picture += np.random.default_rng(2).integers(0, 20, picture.shape)
    picture[0, 30 : 30 + ink.shape[0], 30 : 30 + ink.shape[1], 0][ink] = level
    area = (30, 30, 30 + ink.shape[1], 30 + ink.shape[0])
    return picture, Item(Kind.IDENTIFYING, "", "name", 0, (0,), 30, 30, ink, area, 16)


def blank(picture, left, top, right, bottom, value=0):
    after = picture.copy()
    after[0, top:bottom, left:right] = value
    return Comparison(picture, after)


@pytest.mark.parametrize("value", [0, 4000])
def test_a_line_under_a_rectangle_is_blanked(value):
    picture, item = drawn()
    left, top, right, bottom = item.area
    for margin in (0, 3):
        done = blank(picture, left - margin, top - margin, right + margin, bottom + margin, value)
        assert done.is_blanked(item, (0,))
        assert done.stray() == 0
        assert done.share_changed() > 0


def test_what_is_left_to_read_is_missed():
    picture, item = drawn()
    left, top, right, bottom = item.area
    assert not Comparison(picture, picture).is_blanked(item, (0,))
    for cut in ((left + 8, top, right, bottom), (left, top, right - 8, bottom), (left, top + 5, right, bottom)):
        assert not blank(picture, *cut).is_blanked(item, (0,))
    assert blank(picture, left + 1, top, right, bottom).is_blanked(item, (0,)), "the edge of an S says nothing"


def test_dark_letters_are_not_taken_for_blanked_ones():
    picture, item = drawn(level=0, behind=3000)
    left, top, right, bottom = item.area
    assert not blank(picture, 0, 0, 20, 20).is_blanked(item, (0,))
    assert blank(picture, left, top, right, bottom).is_blanked(item, (0,))


def test_letters_alone_painted_over_are_still_letters():
    picture, item = drawn()
    after = picture.copy()
    part = after[0, item.top :, item.left :, 0][: item.ink.shape[0], : item.ink.shape[1]]
    part[item.ink] = 0
    compared = Comparison(picture, after)
    assert not compared.is_blanked(item, (0,))
    assert compared.stray() > 0


def test_every_frame_that_bears_the_line_counts():
    picture, item = drawn()
    two = np.concatenate([picture, picture])
    after = two.copy()
    left, top, right, bottom = item.area
    after[0, top:bottom, left:right] = 0
    compared = Comparison(two, after)
    assert compared.is_blanked(item, (0,))
    assert not compared.is_blanked(item, (0, 1))


def test_a_marker_with_one_pixel_changed_is_not_intact():
    picture, item = drawn()
    row, column = np.argwhere(item.ink)[0]
    assert Comparison(picture, picture).is_intact(item, (0,))
    assert blank(picture, 0, 0, 20, 20).is_intact(item, (0,))
    at = (item.left + int(column), item.top + int(row))
    assert not blank(picture, *at, at[0] + 1, at[1] + 1).is_intact(item, (0,))


def test_a_value_that_changed_outside_of_rectangles_is_told():
    picture, item = drawn()
    done = blank(picture, *item.area)
    done.after[0, 2, 2] += 1
    assert done.stray() > 0
    alone = blank(picture, 5, 5, 7, 7)
    assert alone.stray() == 4


def test_one_missed_line_fails_the_run_and_is_in_the_table():
    traits = dict.fromkeys(("contrast", "place", "turn", "edge", "height", "face"), "x")
    line = Line("identifying", "blanked", "", "name", traits)
    image = Image(1, 1, "CT", "text", "certified", "", 0.0, 0, 1.0, {}, [line])
    assert failures([image]) == (0, 0)
    assert "**missed** | 0 of 1" in table([image], "")
    missed = replace(image, lines=[replace(line, outcome="missed")])
    assert failures([missed]) == (1, 0)
    assert "**missed** | 1 of 1" in table([missed], "")
    assert failures([replace(image, stray=3)]) == (0, 1)
