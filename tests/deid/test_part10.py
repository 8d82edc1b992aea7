"""The reader sees what pydicom sees, in every transfer syntax, and is never led beyond its bounds."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bsti_submit.deid.characters import Characters, UnknownCharacterSet
from bsti_submit.deid.reader import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    each_text,
    parse,
    parse_sequence,
)
from bsti_submit.deid.vrs import has_form
from bsti_submit.deid.walker import Broken, Fragments
from bsti_submit.model import Reason
from tests.deid.slices import ct_dataset, ct_slice

FILES = Path(pydicom.__file__).parent / "data"
WHOLE = sorted(
    path
    for folder in ("test_files", "charset_files")
    for path in (FILES / folder).rglob("*.dcm")
    if "trunc" not in path.name and path.name != "no_meta.dcm"
)


def file(*elements, syntax=EXPLICIT_LITTLE):
    meta = explicit(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    return bytes(128) + b"DICM" + meta + b"".join(elements)


def explicit(tag, vr, value, length=None, order="<"):
    head = struct.pack(order + "HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    length = len(value) if length is None else length
    if vr in {"OB", "OW", "SQ", "UN", "UT", "OF"}:
        return head + struct.pack(order + "HL", 0, length) + value
    return head + struct.pack(order + "H", length) + value


def implicit(tag, value, length=None):
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(body, *, defined=True):
    if defined:
        return struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
    return struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + body + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)


END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
UNDEFINED = 0xFFFFFFFF


def refusal(data):
    with pytest.raises(Broken) as raised:
        parse(data)
    return raised.value.reason


def tags(elements):
    return [(tag, [tags(each) for each in value] if isinstance(value, list) else None) for tag, _, value, _ in elements]


def tags_of(dataset):
    found = []
    for element in dataset:
        if element.VR == "SQ":
            found.append((int(element.tag), [tags_of(each) for each in element.value]))
        else:
            found.append((int(element.tag), None))
    return found


def without_group_lengths(elements):
    return [(tag, below and [without_group_lengths(each) for each in below]) for tag, below in elements if tag & 0xFFFF]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore")
def test_it_sees_the_elements_that_pydicom_sees(path):
    dataset = pydicom.dcmread(path, force=True)
    parsed = parse(path.read_bytes())
    ours = without_group_lengths(tags(parsed.elements))
    theirs = without_group_lengths(tags_of(dataset))
    assert sorted(tag for tag, _ in ours) == [tag for tag, _ in theirs]
    opened = {tag: below for tag, below in ours if below is not None}
    # What is stored as UN one of the two leaves closed; both open what is stated or known to be a sequence.
    assert all(opened.get(tag, below) == below for tag, below in theirs if below is not None and not tag >> 16 & 1)


@pytest.mark.parametrize("big", [False, True])
def test_values_are_slices_of_the_input_and_little_endian(big):
    order = ">" if big else "<"
    data = file(
        explicit(0x00080060, "CS", b"CT", order=order),
        explicit(0x00280010, "US", struct.pack(order + "H", 512), order=order),
        explicit(0x00281201, "OW", struct.pack(order + "2H", 1, 2), order=order),
        syntax=EXPLICIT_BIG if big else EXPLICIT_LITTLE,
    )
    parsed = parse(data)
    values = {tag: bytes(value) for tag, _, value, _ in parsed.elements}
    assert values == {0x00080060: b"CT", 0x00280010: b"\0\x02", 0x00281201: b"\1\0\2\0"}
    assert parsed.big_endian is big
    assert all(value.obj is data for tag, _, value, _ in parsed.elements if tag == 0x00080060)


@pytest.mark.parametrize("defined_sequence", [True, False])
@pytest.mark.parametrize("defined_item", [True, False])
@pytest.mark.parametrize("vr", ["SQ", "UN"])
@pytest.mark.parametrize("inside", ["explicit", "implicit"])
def test_sequences_of_every_way_of_writing(defined_sequence, defined_item, vr, inside):
    inner = explicit(0x00100010, "PN", b"A^B ") if inside == "explicit" else implicit(0x00100010, b"A^B ")
    body = item(inner, defined=defined_item) * 2
    sequence = explicit(
        0x00081140,
        vr,
        body + (b"" if defined_sequence else END),
        len(body) if defined_sequence else UNDEFINED,
    )
    parsed = parse(file(sequence, explicit(0x00100020, "LO", b"X1")))
    (_, stated, value, _), after = parsed.elements
    assert after[0] == 0x00100020
    if vr == "UN" and defined_sequence:
        assert stated == "UN"
        value = parse_sequence(value)
    assert [[(tag, bytes(raw)) for tag, _, raw, _ in each] for each in value] == [[(0x00100010, b"A^B ")]] * 2


def test_a_makers_sequence_that_cannot_be_read_is_opaque_where_its_end_is_told():
    body = b"\x01\x02 no items at all \x03"
    after = explicit(0x00100020, "LO", b"X1")
    elements = parse(file(explicit(0x00090010, "LO", b"ME"), explicit(0x00091001, "SQ", body), after)).elements
    assert bytes(elements[1][2]) == body
    assert elements[2][0] == 0x00100020
    assert refusal(file(explicit(0x00081140, "SQ", body), after)) is Reason.UNREADABLE


def test_files_without_preamble_or_meta():
    explicit_elements = explicit(0x00080016, "UI", b"1.2.3\0") + explicit(0x00080060, "CS", b"CT")
    assert parse(explicit_elements).transfer_syntax_uid == EXPLICIT_LITTLE
    assert parse(implicit(0x00080016, b"1.2.3\0")).transfer_syntax_uid == IMPLICIT_LITTLE
    assert parse(explicit(0x00080060, "CS", b"CT", order=">")).transfer_syntax_uid == EXPLICIT_BIG
    assert [tag for tag, *_ in parse(file(explicit_elements)[132:]).elements] == [0x00080016, 0x00080060]


@pytest.mark.parametrize("stated", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
def test_a_meta_that_is_wrong_about_explicit_and_implicit_is_seen_through(stated):
    for elements in (explicit(0x00080060, "CS", b"CT"), implicit(0x00080060, b"CT")):
        (element,) = parse(file(elements, syntax=stated)).elements
        assert element[:2] == (0x00080060, "CS")
        assert bytes(element[2]) == b"CT"


def deflated(body):
    deflater = zlib.compressobj(9, wbits=-15)
    return file(deflater.compress(body) + deflater.flush(), syntax=DEFLATED)


def test_a_deflated_data_set_is_read_and_its_size_is_bounded(monkeypatch):
    body = explicit(0x00100010, "PN", b"A^B ") + explicit(0x7FE00010, "OW", bytes(4096))
    assert [tag for tag, *_ in parse(deflated(body)).elements] == [0x00100010, 0x7FE00010]
    assert refusal(deflated(body)[:-3]) is Reason.TRUNCATED
    assert refusal(file(b"\xff\xff nothing deflated", syntax=DEFLATED)) is Reason.UNREADABLE
    monkeypatch.setattr("bsti_submit.deid.reader.LARGEST_INFLATED", 4096)
    assert refusal(deflated(body)) is Reason.TOO_LARGE


@pytest.mark.parametrize("length", [10, 3 << 30, 0xFFFFFFFE])
@pytest.mark.parametrize("vr", ["OB", "UT", "SQ", "UN"])
def test_lengths_that_lie_are_truncations(length, vr):
    assert refusal(file(explicit(0x00081140, vr, b"12345678", length))) is Reason.TRUNCATED
    assert refusal(file(implicit(0x00081140, b"12345678", length), syntax=IMPLICIT_LITTLE)) is Reason.TRUNCATED


def test_lengths_inside_sequences_may_not_leave_them():
    inner = item(explicit(0x00100010, "PN", b"A^B ", 200))
    after = explicit(0x00100020, "LO", b"X" * 400)
    assert refusal(file(explicit(0x00081140, "SQ", inner), after)) is Reason.TRUNCATED
    longer = struct.pack("<HHL", 0xFFFE, 0xE000, 300) + explicit(0x00100010, "PN", b"A^B ")
    assert refusal(file(explicit(0x00081140, "SQ", longer), after)) is Reason.TRUNCATED


@pytest.mark.parametrize("way", ["explicit", "implicit", "unknown"])
def test_a_recursion_bomb_is_held(way):
    for depth, held in ((60, False), (70, True), (20_000, True)):
        head = {
            "explicit": explicit(0x00081140, "SQ", b"", UNDEFINED),
            "implicit": implicit(0x00081140, b"", UNDEFINED),
            "unknown": explicit(0x00081140, "UN", b"", UNDEFINED)
            if depth == 0
            else implicit(0x00081140, b"", UNDEFINED),
        }[way]
        opening = struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
        closing = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + END
        data = file(
            (head + opening) * depth + closing * depth,
            syntax=EXPLICIT_LITTLE if way == "explicit" else IMPLICIT_LITTLE,
        )
        if held:
            assert refusal(data) is Reason.TOO_LARGE
        else:
            assert parse(data).elements


def test_absurd_numbers_of_elements_are_held(monkeypatch):
    monkeypatch.setattr("bsti_submit.deid.walker.MOST_ELEMENTS", 500)
    assert refusal(file(*[explicit(0x00100020, "LO", b"")] * 600)) is Reason.TOO_LARGE
    assert refusal(file(explicit(0x00081140, "SQ", item(b"") * 600))) is Reason.TOO_LARGE


@pytest.mark.parametrize("tail", [b"\0" * 300, b"ZQPLANT behind the pixels", explicit(0xFFFCFFFC, "OB", b"ZQPLANT!")])
def test_what_stands_behind_the_pixels_spoils_nothing(tail):
    elements = parse(file(explicit(0x7FE00010, "OW", bytes(8)), tail)).elements
    assert elements[0][0] == 0x7FE00010


@pytest.mark.parametrize(
    "late",
    [
        explicit(0x00180015, "CS", b"HEAD"),
        explicit(0x00280002, "US", b"\3\0"),
        explicit(0x00280301, "CS", b"YES "),
        explicit(0x00100010, "PN", b"JONES^MARY"),
    ],
    ids=["body part", "samples", "burned in", "name"],
)
@pytest.mark.parametrize("first", [b"", explicit(0xFFFCFFFC, "OB", b"12345678")], ids=["at once", "later"])
def test_what_belongs_before_the_pixels_is_held_behind_them(first, late):
    assert refusal(file(explicit(0x7FE00010, "OW", bytes(8)), first, late)) is Reason.UNREADABLE


def test_fragments_are_told_apart():
    body = item(b"") + item(b"first!") + item(b"second")
    (element,) = parse(
        file(explicit(0x7FE00010, "OB", body + END, UNDEFINED), syntax="1.2.840.10008.1.2.4.70")
    ).elements
    assert isinstance(element[2], Fragments)
    assert [bytes(each) for each in element[2].fragments] == [b"first!", b"second"]
    for end in (b"", item(b"x")[:10], END[:5]):
        cut = file(explicit(0x7FE00010, "OB", body + end, UNDEFINED), syntax="1.2.840.10008.1.2.4.70")
        assert refusal(cut) is Reason.TRUNCATED


def test_elements_are_reusable_only_where_every_byte_of_them_is_known():
    smuggling = struct.pack("<HH2s", 0x0008, 0x0119, b"UC") + b"ZQ" + struct.pack("<L", 4) + b"abcd"
    elements = parse(file(explicit(0x00080060, "CS", b"CT"), smuggling)).elements
    assert bytes(elements[0][3]) == explicit(0x00080060, "CS", b"CT")
    assert elements[1][3] is None


@pytest.mark.parametrize("cut", range(1, 9000, 331))
def test_a_header_that_breaks_off_is_used_as_far_as_it_goes(cut):
    found = []
    each_text(ct_slice(rows=16)[:cut], lambda tag, vr, value, charset: found.append((tag, bytes(value), charset)))
    if cut > 6000:
        assert (0x00100020, b"ZQPLANT12345", b"ISO_IR 100") in found


def test_nested_values_come_with_the_character_set_in_force():
    dataset = ct_dataset(rows=16)
    inner = Dataset()
    inner.SpecificCharacterSet = "ISO_IR 192"
    inner.PatientName = "Näme"
    dataset.ReferencedPatientSequence = Sequence([inner])
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    found = []
    each_text(out.getvalue(), lambda tag, vr, value, charset: found.append((tag, bytes(value), charset)))
    assert (0x00100010, "Näme ".encode(), b"ISO_IR 192") in found
    assert (0x00100010, "Zqplant^Näme".encode("latin-1"), b"ISO_IR 100") in found


@pytest.mark.parametrize(
    ("term", "raw", "text"),
    [
        (b"ISO_IR 100", b"N\xe4me", "Näme"),
        (b"ISO IR 100", b"N\xe4me", "Näme"),
        (b"iso-ir-192", "Näme".encode(), "Näme"),
        (b"ISO_IR 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
        ),
        (b"", b"plain", "plain"),
        (b"NOT A TERM", b"plain", "plain"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_text_is_decoded_in_its_character_set(term, raw, text):
    assert Characters(term).decode(raw, "PN") == text


@pytest.mark.parametrize(
    ("term", "raw"),
    [
        (b"", b"N\xe4me"),
        (b"NOT A TERM", b"N\xe4me"),
        (b"ISO_IR 192", b"N\xe4me"),
        (b"ISO_IR 100", b"a\x1b$Bb"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_text_that_cannot_be_read_for_certain_is_told(term, raw):
    with pytest.raises(UnknownCharacterSet) as raised:
        Characters(term).decode(raw, "LO")
    assert "me" not in str(raised.value)


@pytest.mark.parametrize(
    ("vr", "good", "bad"),
    [
        ("IS", [b"", b"12", b" -3 ", b"1\\2\\\\3"], [b"12a", b"1.5", b"SMITH", b"1234567890123", b"1 2"]),
        (
            "DS",
            [b"1.5", b"-1e-3", b".5\\1.\\", b" 1 "],
            [b"1,5", b"SMITH", b"1.5.2", b"0x1", b"12345678901234567"],
        ),
        (
            "TM",
            [b"10", b"1011", b"101112.123456", b"10:11:12", b"10\\11"],
            [b"1", b"943476", b"25", b"10-11", b"noon"],
        ),
        ("UI", [b"1.2.840", b"1\\2"], [b"1.2.x", b"1" * 65, b"1.2 3"]),
        ("CS", [b"CHEST", b"A_1\\B 2"], [b"chest", b"X" * 17, b"A-B", b"A^B"]),
        ("AS", [b"045Y"], [b"45Y", b"045", b"0045Y"]),
        ("US", [b"12", b"1234"], [b"1"]),
    ],
)
def test_the_form_of_values(vr, good, bad):
    assert [value for value in good if not has_form(vr, value)] == []
    assert [value for value in bad if has_form(vr, value)] == []


@pytest.mark.parametrize("vr", ["DS", "IS", "TM", "CS", "UI", "AE", "AS"])
def test_no_value_takes_long_to_judge(vr):
    for value in (
        b"1" * 60_000 + b"x",
        b"1.5\\" * 15_000 + b"x",
        b"12 \\" * 15_000 + b"^",
        b" " * 60_000 + b"x",
    ):
        has_form(vr, value)
