"""Device rules: which images a LABEL means, which pixels its boxes name, and the margins of ultrasound."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bsti_submit.deid.pixels.devices import device_labels, read_header, regions_of
from bsti_submit.deid.pixels.regions import Region
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.staged import Refusal
from bsti_submit.model import Reason
from tests.intake.factory import dataset, encode
from tests.pixels.blanking import PROFILE

US = "1.2.840.10008.5.1.4.1.1.6.1"
HEAD = "FORMAT dicom\n"
TAIL = "%header\nREMOVE PatientName\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    def make(filters, eligible=""):
        folder = tmp_path_factory.mktemp("site")
        (folder / "recipe.dicom").write_text(HEAD + filters + TAIL)
        (folder / "profile.toml").write_text(
            'name = "site"\nversion = "1"\ntitle = "A site"\nextends = "bsti-default"\nrecipe = "recipe.dicom"\n'
            + eligible
        )
        return load_profile(str(folder))

    return make


def label(*lines):
    return "%filter graylist\nLABEL one\n" + "\n".join(lines) + "\n"


def image(**attributes):
    return encode(dataset(1, Manufacturer="ACME Medical", **attributes))


BOX = "coordinates 1,2,3,4"
BLANKED = (Region(1, 2, 4, 5),)

TESTS = [
    ("contains Modality CT", True),
    ("contains Modality MR", False),
    ("contains Manufacturer acme", True),
    ("contains Manufacturer ^acme.*al$", True),
    ("contains ImageType PRIMARY", True),
    (r"contains ImageType ORIGINAL\\PRIMARY", True),
    ("contains Manufacturer siemens|acme", True),
    ("notcontains Manufacturer siemens", True),
    ("notcontains Manufacturer acme", False),
    ("notcontains StationName X", True),
    ("contains StationName X", False),
    ("equals Modality ct", True),
    ("equals Modality C", False),
    ("equals ImageType PRIMARY", True),
    (r"equals ImageType ORIGINAL\PRIMARY\AXIAL", True),
    ("equals Rows 16", True),
    ("equals Rows 1", False),
    ("notequals Rows 16", False),
    ("notequals StationName X", True),
    ("missing StationName", True),
    ("missing Modality", False),
    ("present Modality", True),
    ("present StationName", False),
    ("present ContentDate", True),
    ("empty ContentDate", True),
    ("empty StationName", False),
    ("empty Modality", False),
    ("missing ContentDate", False),
    ("present PixelData", True),
    ("empty PixelData", False),
    ("contains Modality MR || contains Modality CT", True),
    ("contains Modality CT + equals Rows 16", True),
    ("contains Modality CT + equals Rows 17", False),
    ("contains Modality MR + equals Rows 16 || missing StationName", True),
    ("contains Modality CT\n+ equals Rows 17", False),
    ("contains Modality CT\nequals Rows 17", False),
    ("contains Modality MR || contains Modality CT\n+ equals Rows 17 || equals Rows 16", True),
]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_which_images_a_label_means(site, syntax):
    data = encode(dataset(1, Manufacturer="ACME Medical", ContentDate=""), syntax)
    groups = "".join(
        f"%filter group{number}\nLABEL one\n{lines}\ncoordinates {number % 16},{number // 16},{number % 16},{number // 16}\n"
        for number, (lines, _) in enumerate(TESTS)
    )

    found = pixels_of(regions_of(site(groups), data)).flat

    assert [(lines, bool(found[number])) for number, (lines, _) in enumerate(TESTS)] == TESTS


def pixels_of(regions, side=16):
    found = np.zeros((side, side), bool)
    for each in regions:
        found[each.top : each.bottom, each.left : each.right] = True
    return found


def box(left, top, right, bottom, side=16):
    """Return a mask by inclusive ends."""
    found = np.zeros((side, side), bool)
    found[top : bottom + 1, left : right + 1] = True
    return found


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["coordinates 2,3,5,9"], box(2, 3, 5, 9)),
        (["coordinates 2,3,2,3"], box(2, 3, 2, 3)),
        (["ctpcoordinates 2,3,5,9"], box(2, 3, 6, 11)),
        (["coordinates all"], box(0, 0, 15, 15)),
        (["coordinates 8,0,99,99"], box(8, 0, 15, 15)),
        (["coordinates 50,50,60,60"], box(1, 1, 0, 0)),
        (["coordinates 0,0,3,3", "coordinates 2,2,6,6"], box(0, 0, 3, 3) | box(2, 2, 6, 6)),
        (["coordinates all", "keepcoordinates 4,5,10,11"], ~box(4, 5, 10, 11)),
        (["coordinates all", "ctpkeepcoordinates 4,5,2,3"], ~box(4, 5, 5, 7)),
        (["coordinates all", "keepcoordinates 0,0,9,9", "coordinates 2,2,3,3"], ~box(0, 0, 9, 9) | box(2, 2, 3, 3)),
        (["coordinates 0,0,5,5", "keepcoordinates all"], box(1, 1, 0, 0)),
        (["coordinates 0,0,5,5", "keepcoordinates 3,3,9,9"], box(0, 0, 5, 5) & ~box(3, 3, 9, 9)),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_which_pixels_boxes_name(site, lines, expected):
    profile = site(label("contains Modality CT", *lines))

    assert np.array_equal(pixels_of(regions_of(profile, image())), expected)


def test_a_box_that_one_label_keeps_takes_nothing_back_from_another(site):
    profile = site(
        "%filter graylist\nLABEL one\ncontains Modality CT\ncoordinates 0,0,5,5\n"
        "%filter whitelist\nLABEL two\nequals Rows 16\ncoordinates 8,8,9,9\nkeepcoordinates all\n"
    )

    assert np.array_equal(pixels_of(regions_of(profile, image())), box(0, 0, 5, 5))


def test_a_label_without_boxes_blanks_nothing(site):
    profile = site(label("contains Modality CT"))

    assert device_labels(profile) == ()
    assert regions_of(profile, image()) == ()
    assert regions_of(PROFILE, b"not even read") == ()


def test_text_is_read_in_its_character_set(site):
    profile = site(label("contains Manufacturer münchen", BOX))
    made = dataset(1, Manufacturer="Gerätebau München")
    made.SpecificCharacterSet = "ISO_IR 100"

    assert regions_of(profile, encode(made)) == BLANKED


def test_what_cannot_be_read_is_refused_and_shown_nowhere(site):
    profile = site(label("contains Manufacturer acme", BOX))
    data = image()
    odd = dataset(1)
    odd.add_new(0x00080070, "OB", b"ACME")

    assert regions_of(profile, data[:300]).reason is Reason.TRUNCATED
    assert regions_of(profile, encode(odd)) == Refusal(Reason.UNREADABLE)
    assert "ACME" not in repr(read_header(data, device_labels(profile)))


def ultrasound(*corners, **attributes):
    made = dataset(1, sop_class=US, **attributes)
    made.Modality = "US"
    items = []
    for region in corners:
        item = Dataset()
        names = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
        for name, value in zip(names, region, strict=True):
            setattr(item, name, value)
        items.append(item)
    made.SequenceOfUltrasoundRegions = Sequence(items)
    return encode(made)


ELIGIBLE = f'[eligible]\nultrasound = "{US}"\n'


def test_of_ultrasound_the_margins_go(site):
    profile = site("", ELIGIBLE)

    done = regions_of(profile, ultrasound((2, 3, 9, 10), (8, 3, 12, 6)))

    assert np.array_equal(pixels_of(done), ~(box(2, 3, 9, 10) | box(8, 3, 12, 6)))
    assert regions_of(profile, ultrasound((0, 0, 15, 15))) == ()
    assert regions_of(profile, ultrasound()) == ()
    assert regions_of(PROFILE, ultrasound((2, 3, 9, 10))) == ()


@pytest.mark.parametrize("corners", [(9, 3, 2, 10), (0, 0, 16, 10), (0, 0, 9, 16), (0, 12, 9, 10)])
def test_regions_of_ultrasound_that_contradict_the_picture_are_refused(site, corners):
    done = regions_of(site("", ELIGIBLE), ultrasound((0, 0, 5, 5), corners))

    assert done == Refusal(Reason.PIXEL_CODING, "SequenceOfUltrasoundRegions")


def test_a_region_of_ultrasound_without_a_corner_is_refused(site):
    made = pydicom.dcmread(io.BytesIO(ultrasound((0, 0, 5, 5))))
    del made.SequenceOfUltrasoundRegions[0].RegionLocationMaxX1
    out = io.BytesIO()
    made.save_as(out)

    assert regions_of(site("", ELIGIBLE), out.getvalue()).reason is Reason.PIXEL_CODING


def test_the_profile_tells_what_it_blanks(site):
    said = site(label("contains Modality CT", BOX, "keepcoordinates 1,2,1,2"), ELIGIBLE).describe()

    assert "Blanked in the pixels" in said
    assert "1  places, by the rule one" in said
    assert "(0018,6011)" in said
    assert "Blanked in the pixels" not in PROFILE.describe()


def test_the_example_of_the_guide_runs(site):
    guide = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
    lines = guide.split("## Known places of text")[1].split("\n\n")[1]
    profile = site("\n".join(line.strip() for line in lines.splitlines()) + "\n")

    done = regions_of(profile, image(side=512, SeriesDescription="Dose report", PixelData=bytes(512 * 512 * 2)))

    assert done == (Region(0, 0, 512, 80), Region(0, 480, 512, 512))


rectangles = st.builds(
    lambda left, top, width, height: Region(left, top, left + width, top + height),
    *(st.integers(0, 12), st.integers(0, 12), st.integers(1, 9), st.integers(1, 9)),
)


@given(rectangles, rectangles)
def test_what_is_left_of_a_region(one, other):
    left = one.without(other)

    assert np.array_equal(pixels_of(left, 24), pixels_of([one], 24) & ~pixels_of([other], 24))
    assert sum(each.width * each.height for each in left) == pixels_of(left, 24).sum()
