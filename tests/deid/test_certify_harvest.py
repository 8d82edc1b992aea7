"""The identifiers of a patient are taken from any input that can be read, and from nothing that says nothing."""

from __future__ import annotations

import io
import zlib

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from bsti_submit.deid.certify import Harvest, Matcher
from bsti_submit.deid.certify.dates import dates_in, spellings
from bsti_submit.deid.certify.search import Mode
from bsti_submit.model import InstanceRef
from bsti_submit.phi import Identified
from tests.deid.certify_factory import Person, input_dataset, input_header, item, to_bytes

IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def matcher(*headers: bytes, paths: tuple[str, ...] = ()) -> Matcher:
    harvest = Harvest()
    for header in headers:
        harvest.add_header(header)
    for path in paths:
        harvest.add_text(Identified(path))
    return harvest.build()


def dataset_bytes(*, implicit: bool, little: bool) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, little
    ds = input_dataset(Person())
    write_dataset(out, ds)
    return out.getvalue()


def meta(syntax: str) -> bytes:
    ds = input_dataset(Person())
    head = to_bytes(ds)
    start = head.index(b"\x08\0\x05\0CS")
    new = syntax.encode() + b"\0" * (len(syntax) & 1)
    old = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
    return head[:start].replace(old, b"\x02\0\x10\0UI" + len(new).to_bytes(2, "little") + new)


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


EXPLICIT = dataset_bytes(implicit=False, little=True)
INPUTS = {
    "explicit": input_header(Person()),
    "explicit, bare": EXPLICIT,
    "explicit, DICM without a preamble": b"DICM" + input_header(Person())[132:],
    "file meta without a preamble": input_header(Person())[132:],
    "implicit": meta(IMPLICIT) + dataset_bytes(implicit=True, little=True),
    "implicit, bare": dataset_bytes(implicit=True, little=True),
    "implicit under an explicit syntax": meta("1.2.840.10008.1.2.1") + dataset_bytes(implicit=True, little=True),
    "big-endian": meta(BIG) + dataset_bytes(implicit=False, little=False),
    "deflated": meta(DEFLATED) + deflate(EXPLICIT),
    "compressed syntax": meta("1.2.840.10008.1.2.4.70") + EXPLICIT,
    "cut after the patient": input_header(Person())[:-20],
}


@pytest.mark.parametrize("header", INPUTS.values(), ids=INPUTS.keys())
def test_the_patient_is_found_in_any_syntax(header):
    found = matcher(header)
    for text in ("smithson", "Edward", "943-476-5919", "24/12/1950", "Okonkwo", "Larkspur", "acc 0098123", "Jöhn"):
        assert found.search_text(text, Mode.FREE) is not None, text
    assert found.is_original_uid(Person().study_uid)


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("depth", [1, 4])
def test_nested_people_are_found(undefined, depth):
    ds = input_dataset(Person())
    inner = item(RequestingPhysician="Quillfeather^Una")
    for _ in range(depth):
        inner = item(ReferencedStudySequence=Sequence([inner]))
        inner["ReferencedStudySequence"].is_undefined_length = undefined
        inner.is_undefined_length_sequence_item = undefined
    ds.RequestAttributesSequence = Sequence([inner])
    ds["RequestAttributesSequence"].is_undefined_length = undefined
    assert matcher(to_bytes(ds)).search_text("quillfeather", Mode.FREE) is not None


ITEM, ITEM_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
ENDLESS = b"\xff\xff\xff\xff"
NATIVE_ICON = b"\xe0\x7f\x10\0OB\0\0\4\0\0\0abcd"
CODED_ICON = b"\xe0\x7f\x10\0OB\0\0" + ENDLESS + ITEM + bytes(4) + ITEM + b"\4\0\0\0\0\0\0\0" + SEQUENCE_END


@pytest.mark.parametrize("icon", [NATIVE_ICON, CODED_ICON], ids=["native", "compressed"])
def test_what_stands_behind_an_icon_is_found(icon):
    inner = b"\x88\0\0\2SQ\0\0" + ENDLESS + ITEM + ENDLESS + icon + ITEM_END + SEQUENCE_END
    outer = b"\x08\0\x40\x11SQ\0\0" + ENDLESS + ITEM + ENDLESS + inner + ITEM_END + SEQUENCE_END
    whole = input_header(Person())
    place = whole.index(b"\x10\0\x10\0PN")
    assert matcher(whole[:place] + outer + whole[place:]).describe() == matcher(whole).describe()


def test_what_stands_behind_a_group_of_commands_is_found():
    whole = input_header(Person())
    place = whole.index(b"\x08\0\x05\0CS")
    assert matcher(whole[:place] + b"\0\0\0\0UL\4\0\x38\0\0\0" + whole[place:]).describe() == matcher(whole).describe()


def test_unknown_and_private_people_are_found():
    ds = input_dataset(Person())
    header = to_bytes(ds)
    unknown = b"\x10\0\x60\x10UN\0\0\x0c\0\0\0Pennyfarthin"
    private = b"\x11\0\x10\0LO\x04\0ACME\x11\0\1\x10PN\x0c\0Quackenbush "
    place = header.index(b"\x18\0\0\x10LO")
    found = matcher(header[:place] + unknown + private + header[place:])
    assert found.search_text("pennyfarthin", Mode.FREE) is not None
    assert found.search_text("quackenbush", Mode.FREE) is not None


def test_a_recursion_bomb_ends():
    bomb = b"\x40\0\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 20_000
    found = matcher(input_header(Person()) + bomb)
    assert found.search_text("smithson", Mode.FREE) is not None


def test_a_length_lie_ends():
    assert matcher(b"\x10\0\x10\0PN\xff\xffSmithson^John").search_text("smithson", Mode.FREE) is not None
    assert matcher(b"\x10\0\x10\0UN\0\0\xf0\xff\xff\xffSmithson").search_text("smithson", Mode.FREE) is not None


def test_an_inflation_bomb_ends():
    header = meta(DEFLATED) + deflate(EXPLICIT + b"\0" * (80 << 20))
    assert matcher(header).search_text("smithson", Mode.FREE) is not None


GENERIC = (
    *("study", "DICOM", "images", "IM0001", "IM000123.dcm", "chest", "ct", "CT chest 1", "series-0001", "00000012"),
    *("data", "Normal", "covid", "1", "I10", "anonymous", "export 2", "DICOMDIR", "lung", "head", "img_12345.dcm"[:8]),
)


@pytest.mark.parametrize("part", GENERIC)
def test_a_generic_path_part_is_no_identifier(part):
    found = matcher(paths=(part,))
    assert found.describe() == {"date": 0, "uid": 0}


PATHS = {
    "Smithson_John": "smithson",
    "SMITHSON John 1950-12-24": "24/12/50",
    "scan of 20200315": "15 March 2020",
    "MRN7734521": "77 34 521",
    "A123456": "a123456",
    "1.2.840.113619.2.55.3.604.dcm": "1.2.840.113619.2.55.3.604",
    "943 476 5919": "943-476-5919",
    "Wetherby": "wetherby",
    "müller": "MUELLER",
    "Jo\u0308hnson": "Joehnson",
}


@pytest.mark.parametrize(("part", "text"), PATHS.items(), ids=PATHS.keys())
def test_a_telling_path_part_is_an_identifier(part, text):
    assert matcher(paths=(part,)).search_text(text, Mode.FREE) is not None


def test_a_profiles_words_stand_though_a_folder_has_them():
    harvest = Harvest()
    harvest.add_text(Identified("fibrosis cases"))
    assert harvest.build().search_text("fibrosis", Mode.FREE) is not None
    assert harvest.build(frozenset(("fibrosis",))).search_text("fibrosis", Mode.FREE) is None


STANDS = {
    "an ordinary word in a code": ("CHEST", Mode.CODED),
    "an ordinary word in a device": ("Low noise", Mode.EQUIPMENT),
    "a place's word in a device": ("Larkspur", Mode.EQUIPMENT),
    "a name inside an ordinary word": ("standard", Mode.FREE),
    "another name": ("Smith", Mode.FREE),
    "a number that holds a short id": ("1943476", Mode.FREE),
    "another date": ("1950-12-25", Mode.FREE),
    "a two-letter code": ("AP", Mode.FREE),
}


@pytest.mark.parametrize(("text", "mode"), STANDS.values(), ids=STANDS.keys())
def test_what_says_nothing_stands(text, mode):
    who = Person(name="Chest^Low^Standa", operator="AP", patient_id="943476")
    assert matcher(input_header(who)).search_text(text, mode) is None


def test_the_patients_own_name_counts_though_ordinary():
    found = matcher(input_header(Person(name="Low^May", referrer="White^Tom")))
    assert found.search_text("Low dose", Mode.FREE) is not None
    assert found.search_text("white balance", Mode.FREE) is None
    assert found.search_text("Tom White", Mode.FREE) is not None


def test_dummies_are_no_identifiers():
    who = Person(
        name="Anonymous", patient_id="0000", birth_date="19000101", accession="", referrer="REMOVED", operator="Unknown"
    )
    found = matcher(input_header(who))
    for text in ("anonymous", "removed", "unknown", "0000", "19000101"):
        assert found.search_text(text, Mode.FREE) is None, text


def test_dates_are_held_against_the_instances_own_patient():
    harvest = Harvest()
    first, second = InstanceRef(1), InstanceRef(2)
    harvest.add_header(input_header(Person(patient_id="P000001", birth_date="19500101")), first)
    harvest.add_header(input_header(Person(patient_id="P000002", birth_date="19600202")), second)
    found = harvest.build()
    assert 19500101 in found.dates_of(first)
    assert 19500101 not in found.dates_of(second)
    assert {19500101, 19600202} <= found.dates_of(None)
    assert found.dates_of(InstanceRef(9)) == found.dates_of(None)


@pytest.mark.parametrize("spelling", spellings(19501224))
def test_every_spelling_of_a_date_is_read(spelling):
    assert 19501224 in dates_in(spelling, short=True)


@pytest.mark.parametrize("text", ["31/02/2020", "99999999", "20201301", "", "may", "12", "2020", "1.2.3.4"])
def test_no_date_is_read_where_there_is_none(text):
    assert dates_in(text, short=False) == frozenset()


def test_the_same_header_again_adds_nothing():
    harvest = Harvest()
    for _ in range(5):
        harvest.add_header(io.BytesIO(input_header(Person())).getbuffer())
    assert harvest.headers == 5
    assert harvest.build().describe() == matcher(input_header(Person())).describe()
