"""Break good outputs in every way that a faulty engine could, and see each of them held."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pydicom.valuerep import PersonName

from bsti_submit.deid.certify import Gate, Harvest
from bsti_submit.model import Certified, Outcome, Reason, Rejection
from bsti_submit.phi import Identified
from tests.deid.certify_factory import (
    ALLOW_LIST,
    CT,
    REF,
    BytesPayload,
    Person,
    input_header,
    item,
    national,
    output_bytes,
    output_dataset,
    to_bytes,
    uid,
)

PERSON = Person()


@pytest.fixture(scope="module")
def gate() -> Gate:
    harvest = Harvest()
    harvest.add_header(input_header(PERSON), REF)
    for part in ("Archive", "SMITHSON_JOHN_2020", "Wetherby scans", "IM000123.dcm"):
        harvest.add_text(Identified(part))
    return Gate(ALLOW_LIST, harvest.build(), national)


def held(gate: Gate, data: bytes) -> Rejection:
    result = gate.certify(REF, BytesPayload(data))
    assert isinstance(result, Rejection), "certified"
    assert result.outcome is Outcome.HELD
    return result


def test_the_good_output_is_certified(gate):
    data = output_bytes()
    result = gate.certify(REF, BytesPayload(data))
    assert isinstance(result, Certified)
    assert result.size == len(data)
    assert result.modality == "CT"


@pytest.mark.parametrize("chunk", [1, 7, 132, 1000])
def test_the_cut_of_the_chunks_does_not_matter(gate, chunk):
    whole = gate.certify(REF, BytesPayload(output_bytes()))
    cut = gate.certify(REF, BytesPayload(output_bytes(), chunk))
    assert isinstance(whole, Certified)
    assert isinstance(cut, Certified)
    assert whole.sha256 == cut.sha256


# --- what is left in a value ---

TEXTS = {
    "name": "CT chest SMITHSON",
    "name in lower case": "ct chest smithson",
    "given name": "for Edward",
    "name reversed": "John Smithson chest",
    "name, family first": "SMITHSON, John",
    "name without a space": "johnsmithson",
    "user name": "chest jsmithson",
    "name spaced out": "S M I T H S O N",
    "name hyphenated by a break": "Smith- son",
    "name inside a word": "xSmithsonCT",
    "name with a digit": "smithson2",
    "name with accent": "Jöhn",
    "name without its accent": "JOHN",
    "name with another transliteration": "Joehn",
    "name with a combining accent": "Jo\u0308hn",
    "name with a zero-width space": "Smi\u200bthson",
    "name with a soft hyphen": "Smith\u00adson",
    "name in full width": "ＳＭＩＴＨＳＯＮ",
    "name in HTML": "J&ouml;hn",
    "name in decimal HTML": "&#83;mithson",
    "name in JSON": "J\\u00f6hn",
    "name in a URL": "J%C3%B6hn",
    "NHS number": "9434765919",
    "NHS number, spaced": "NHS 943 476 5919",
    "NHS number, hyphens": "943-476-5919",
    "NHS number, dots": "943.476.5919",
    "NHS number, odd gaps": "94 34 76 59 19",
    "NHS number glued": "no9434765919x",
    "another patient's NHS number": "400 000 0004",
    "other id": "RWX 1187204",
    "accession": "ACC/0098123",
    "accession without its prefix": "0098123",
    "study id": "884213",
    "requested procedure": "rp550771",
    "birth date": "19501224",
    "birth date, British": "24/12/1950",
    "birth date, short year": "24.12.50",
    "birth date, American": "12/24/1950",
    "birth date, ISO": "1950-12-24",
    "birth date, words": "24 Dec 1950",
    "birth date, ordinal": "24th of December, 1950",
    "birth date, American words": "December 24, 1950",
    "birth date, six digits": "241250",
    "birth date, year first six digits": "501224",
    "birth date, underscores": "24_12_1950",
    "birth date, Roman month": "24/XII/1950",
    "birth date, Roman month and short year": "24 xii 50",
    "birth date, Roman month with stops": "24. XII. 50",
    "study date": "15-Mar-2020",
    "study date with time": "20200315101530",
    "referrer": "Okonkwo",
    "operator": "by T Bramwell",
    "nested requester": "VANDERSTEEN",
    "institution": "Northwick Royal Infirmary",
    "institution's own word": "northwick chest",
    "street": "Larkspur",
    "department": "Ravenglass",
    "station": "CTAWP73921",
    "phone": "01632-960983",
    "folder": "Wetherby",
    "original UID": PERSON.study_uid,
    "original UID in a longer text": f"see {PERSON.study_uid}.1.2.3 below",
    "e-mail": "someone@example.org",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_an_identifier_in_text_is_held(gate, text):
    ds = output_dataset()
    ds.StudyDescription = text
    assert held(gate, to_bytes(ds)).reason is Reason.RESIDUAL_IDENTIFIER


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_an_identifier_in_a_record_is_held(gate, text):
    import json

    record = {"schema": "clinical/1.0", "notes": [{"text": text}]}
    for ascii_only in (True, False):
        assert gate.check_text("clinical.json", json.dumps(record, ensure_ascii=ascii_only).encode())
    assert gate.check_text("name", text.encode())


ENCODED = {
    "Latin-1": ("ISO_IR 100", "Jöhn".encode("latin-1")),
    "Latin-1 undeclared": ("ISO_IR 192", "Jöhn".encode("latin-1")),
    "UTF-8 undeclared": ("ISO_IR 100", "JÖHN".encode()),
    "UTF-8": ("ISO_IR 192", "JÖHN".encode()),
    "ISO 2022": (["", "ISO 2022 IR 100"], b"\x1b-AJ\xf6hn"),
    "Cyrillic set": ("ISO_IR 144", b"smithson"),
}


@pytest.mark.parametrize(("charset", "raw"), ENCODED.values(), ids=ENCODED.keys())
def test_a_name_in_any_encoding_is_held(gate, charset, raw):
    ds = output_dataset()
    ds.SpecificCharacterSet = charset
    data = to_bytes(ds)
    place = data.index(b"\x08\x00\x30\x10LO")
    old = int.from_bytes(data[place + 6 : place + 8], "little")
    value = raw + b" " * (len(raw) & 1)
    data = data[: place + 6] + len(value).to_bytes(2, "little") + value + data[place + 8 + old :]
    assert held(gate, data).reason is Reason.RESIDUAL_IDENTIFIER


SCRIPTS = {
    "kanji": ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"], "山田"),
    "kana": ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"], "たろう"),
    "hangul": ("Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"], "길동"),
    "hanzi": ("Wang^XiaoDong=王^小东", "GB18030", "小东"),
    "cyrillic": ("Люкceмбypг", "ISO_IR 144", "ЛЮКCEМБYPГ"),
    "greek": ("Διονυσιος", "ISO_IR 126", "διονυσιος"),
    "arabic": ("قباني^لنزار", "ISO_IR 127", "قباني"),
}


@pytest.mark.parametrize(("name", "charset", "text"), SCRIPTS.values(), ids=SCRIPTS.keys())
@pytest.mark.parametrize("out", ["ISO_IR 192", "same"])
def test_a_name_in_any_script_is_held(name, charset, text, out):
    harvest = Harvest()
    harvest.add_header(input_header(Person(name=name, charset=charset)))
    gate = Gate(ALLOW_LIST, harvest.build(), national)
    ds = output_dataset()
    ds.SpecificCharacterSet = charset if out == "same" else out
    ds.SeriesDescription = f"CT {text}"
    assert held(gate, to_bytes(ds)).reason is Reason.RESIDUAL_IDENTIFIER


SPELLINGS = [("McDonald^Ron", "Macdonald"), ("Macalister^Una", "McAlister"), ("Ørsted^Bo", "Oersted")]


@pytest.mark.parametrize(("name", "text"), SPELLINGS)
def test_a_name_in_its_other_spelling_is_held(name, text):
    harvest = Harvest()
    harvest.add_header(input_header(Person(name=name, charset="ISO_IR 100")))
    gate = Gate(ALLOW_LIST, harvest.build(), national)
    ds = output_dataset()
    ds.SeriesDescription = f"CT {text}"
    assert held(gate, to_bytes(ds)).reason is Reason.RESIDUAL_IDENTIFIER


def test_utf16_in_a_text_element_is_held(gate):
    for encoding in ("utf-16-le", "utf-16-be"):
        ds = output_dataset()
        ds.ImageComments = "~" * 16
        data = to_bytes(ds).replace(b"~" * 16, "smithson".encode(encoding))
        held(gate, data)


# --- where it is left ---


def nest(element: Callable[[object], None], depth: int) -> bytes:
    ds = output_dataset()
    inner = item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=uid("x"))
    element(inner)
    for _ in range(depth):
        inner = item(RequestAttributesSequence=Sequence([inner]))
    ds.RequestAttributesSequence = Sequence([inner])
    return to_bytes(ds)


def _set(keyword: str, value: object) -> Callable[[object], None]:
    return lambda ds: setattr(ds, keyword, value)


NESTED = {
    "text": (_set("RequestedProcedureDescription", "Smithson chest"), Reason.RESIDUAL_IDENTIFIER),
    "unlisted": (_set("PatientMotherBirthName", "X"), Reason.ELEMENT_NOT_ALLOWED),
    "patient name": (_set("PatientName", "Smithson^J"), Reason.ELEMENT_NOT_ALLOWED),
    "date": (_set("ContentDate", "20200315"), Reason.RESIDUAL_IDENTIFIER),
    "uid": (_set("ReferencedSOPInstanceUID", PERSON.study_uid), Reason.RESIDUAL_IDENTIFIER),
}


@pytest.mark.parametrize("depth", [0, 1, 5, 12])
@pytest.mark.parametrize(("element", "reason"), NESTED.values(), ids=NESTED.keys())
def test_an_identifier_in_a_sequence_is_held(gate, element, reason, depth):
    assert held(gate, nest(element, depth)).reason is reason


def test_a_recursion_bomb_is_held(gate):
    assert held(gate, nest(lambda ds: None, 40)).reason is Reason.STRUCTURE


ELEMENTS = {
    "patient name": (0x00100010, "PN", "Smithson^John", Reason.ELEMENT_NOT_ALLOWED),
    "the old patient id": (0x00100020, "LO", "943 476 5919", Reason.ELEMENT_NOT_ALLOWED),
    "accession number": (0x00080050, "SH", "X", Reason.ELEMENT_NOT_ALLOWED),
    "institution": (0x00080080, "LO", "Northwick", Reason.ELEMENT_NOT_ALLOWED),
    "birth date": (0x00100030, "DA", "19600101", Reason.ELEMENT_NOT_ALLOWED),
    "station name, not listed": (0x00081010, "SH", "CT1", Reason.ELEMENT_NOT_ALLOWED),
    "study date, original": (0x00080020, "DA", "20200315", Reason.RESIDUAL_IDENTIFIER),
    "study date, malformed": (0x00080020, "DA", "19991301", Reason.ELEMENT_NOT_ALLOWED),
    "date-time, original day": (0x0008002A, "DT", "20200315101530", Reason.RESIDUAL_IDENTIFIER),
    "study uid, original": (0x0020000D, "UI", PERSON.study_uid, Reason.RESIDUAL_IDENTIFIER),
    "frame of reference, original": (0x00200052, "UI", PERSON.study_uid + ".9", Reason.RESIDUAL_IDENTIFIER),
    "frame of reference, foreign": (0x00200052, "UI", "1.3.12.2.1107.5.1.4.1", Reason.ELEMENT_NOT_ALLOWED),
    "uid over 128 bits": (0x00200052, "UI", f"2.25.{1 << 128}", Reason.ELEMENT_NOT_ALLOWED),
    "manufacturer with the patient": (0x00080070, "LO", "SIEMENS Smithson", Reason.RESIDUAL_IDENTIFIER),
    "model with an NHS number": (0x00081090, "LO", "400 000 0004", Reason.RESIDUAL_IDENTIFIER),
    "code with the name": (0x00180015, "CS", "SMITHSON", Reason.RESIDUAL_IDENTIFIER),
    "code with the id": (0x00180022, "CS", "9434765919", Reason.RESIDUAL_IDENTIFIER),
    "id in an IS": (0x00200012, "IS", "9434765919", Reason.RESIDUAL_IDENTIFIER),
    "id in a DS": (0x00181100, "DS", "9434765919", Reason.RESIDUAL_IDENTIFIER),
    "birth date in an IS": (0x00200012, "IS", "19501224", Reason.RESIDUAL_IDENTIFIER),
    "a name in binary numbers": (
        0x00280106,
        "US",
        [1, *memoryview(b"Quillfeather Zeb").cast("H")],
        Reason.ELEMENT_NOT_ALLOWED,
    ),
    "birth date as a binary number": (0x00189307, "FD", 19501224.0, Reason.RESIDUAL_IDENTIFIER),
    "id as a binary number": (0x00189306, "FD", 9434765919.0, Reason.RESIDUAL_IDENTIFIER),
    "method, not ours": (0x00120063, "LO", "by Smithson", Reason.ELEMENT_NOT_ALLOWED),
    "private": (0x00291010, "LO", "X", Reason.ELEMENT_NOT_ALLOWED),
    "private creator": (0x00290010, "LO", "ACME", Reason.ELEMENT_NOT_ALLOWED),
    "overlay data": (0x60003000, "OW", b"\0\0", Reason.ELEMENT_NOT_ALLOWED),
    "overlay label": (0x60001500, "LO", "X", Reason.ELEMENT_NOT_ALLOWED),
    "overlay in group 601E": (0x601E3000, "OW", b"\0\0", Reason.ELEMENT_NOT_ALLOWED),
    "curve": (0x50003000, "OW", b"\0\0", Reason.ELEMENT_NOT_ALLOWED),
    "unknown": (0x00091001, "UN", b"Smithso1", Reason.ELEMENT_NOT_ALLOWED),
    "unknown with the name": (0x00091001, "UN", b"Smithson", Reason.RESIDUAL_IDENTIFIER),
    "wrong VR": (0x00081030, "SH", "chest", Reason.STRUCTURE),
    "name in binary": (0x00281201, "OW", b"\0\0smithson\0\0", Reason.RESIDUAL_IDENTIFIER),
    "name in binary UTF-16": (0x00281201, "OW", "Smithson".encode("utf-16-le"), Reason.RESIDUAL_IDENTIFIER),
    "name in binary UTF-16BE": (0x00281201, "OW", "Smithson".encode("utf-16-be"), Reason.RESIDUAL_IDENTIFIER),
    "id in binary": (0x00281201, "OW", b"id 943-476-5919.", Reason.RESIDUAL_IDENTIFIER),
    "date in binary": (0x00281201, "OW", b"\0\x0119501224", Reason.RESIDUAL_IDENTIFIER),
    "uid in binary": (
        0x00281201,
        "OW",
        PERSON.study_uid.encode() + b"\0\0"[: len(PERSON.study_uid) & 1],
        Reason.RESIDUAL_IDENTIFIER,
    ),
    "signature": (0xFFFAFFFA, "SQ", [], Reason.STRUCTURE),
    "padding": (0xFFFCFFFC, "OB", b"\0\0", Reason.STRUCTURE),
    "burned-in annotation": (0x00280301, "CS", "YES", Reason.STRUCTURE),
    "identity not removed": (0x00120062, "CS", "NO", Reason.ELEMENT_NOT_ALLOWED),
    "dates unmodified": (0x00280303, "CS", "UNMODIFIED", Reason.ELEMENT_NOT_ALLOWED),
    "icon": (0x00880200, "SQ", [], Reason.ELEMENT_NOT_ALLOWED),
    "unknown character set": (0x00080005, "CS", "ISO_IR 999", Reason.UNKNOWN_CHARACTER_SET),
    "NUL in text": (0x00081030, "LO", b"chest\0smith", Reason.ELEMENT_NOT_ALLOWED),
    "malformed time": (0x00080030, "TM", "10:15:30", Reason.ELEMENT_NOT_ALLOWED),
    "words in a number": (0x00180050, "DS", "approx 5", Reason.ELEMENT_NOT_ALLOWED),
    "code too long to be one": (0x00180015, "CS", "CHEST OF MRS JONES", Reason.ELEMENT_NOT_ALLOWED),
}


@pytest.mark.parametrize(("tag", "vr", "value", "reason"), ELEMENTS.values(), ids=ELEMENTS.keys())
@pytest.mark.filterwarnings("ignore")
def test_an_element_that_may_not_leave_is_held(gate, tag, vr, value, reason):
    ds = output_dataset()
    converted = {"UI": UID, "PN": PersonName}.get(vr, lambda same: same)(value)
    ds.add(DataElement(tag, vr, converted, already_converted=True))
    assert held(gate, to_bytes(ds)).reason is reason


@pytest.mark.parametrize(("tag", "vr", "value"), [(0x00200012, "IS", "123456"), (0x00189306, "FD", 123456.0)])
def test_six_digits_of_an_id_are_held_without_its_letter(tag, vr, value):
    harvest = Harvest()
    harvest.add_header(input_header(Person(patient_id="D123456")))
    ds = output_dataset()
    ds.add(DataElement(tag, vr, value))
    assert held(Gate(ALLOW_LIST, harvest.build(), national), to_bytes(ds)).reason is Reason.RESIDUAL_IDENTIFIER


def test_an_absent_flag_is_held(gate):
    for keyword in ("PatientIdentityRemoved", "LongitudinalTemporalInformationModified"):
        ds = output_dataset()
        delattr(ds, keyword)
        assert held(gate, to_bytes(ds)).reason is Reason.STRUCTURE
    ds = output_dataset()
    del ds.DeidentificationMethod, ds.DeidentificationMethodCodeSequence
    assert held(gate, to_bytes(ds)).reason is Reason.STRUCTURE


@pytest.mark.parametrize("code", ["113106", "113101"])
def test_an_untrue_claim_is_held(gate, code):
    ds = output_dataset()
    ds.DeidentificationMethodCodeSequence[2].CodeValue = code
    assert held(gate, to_bytes(ds)).reason is Reason.STRUCTURE


# --- the file around the data set ---


def _patch(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def _element(tag: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr
    return head + (len(value) if length is None else length).to_bytes(2, "little") + value


def _after(data: bytes, tag: int, new: bytes) -> bytes:
    """Put bytes behind a short top-level element."""
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    place = data.index(head, 132)
    stop = place + 8 + int.from_bytes(data[place + 6 : place + 8], "little")
    return data[:stop] + new + data[stop:]


def _meta(change: Callable[[object], None]) -> Callable[[bytes], bytes]:
    def mutate(_: bytes) -> bytes:
        ds = output_dataset()
        meta = ds.file_meta
        meta.FileMetaInformationVersion = b"\0\1"
        meta.FileMetaInformationGroupLength = 0
        change(meta)
        out = io.BytesIO()
        ds.save_as(out, implicit_vr=False, little_endian=True, enforce_file_format=False)
        return out.getvalue()

    return mutate


def _lengthless(data: bytes) -> bytes:
    """Write the sequences with undefined lengths, and hide something behind an item delimiter."""
    ds = output_dataset()
    ds["ReferencedImageSequence"].is_undefined_length = True
    for one in ds.ReferencedImageSequence:
        one.is_undefined_length_sequence_item = True
    out = to_bytes(ds)
    delimiter = b"\xfe\xff\x0d\xe0\0\0\0\0"
    return out.replace(delimiter, b"\xfe\xff\x0d\xe0\x04\0\0\0JOHN", 1)


def _group_length(data: bytes) -> bytes:
    place = data.index(b"\x08\x00\x05\x00CS")
    return data[:place] + _element(0x00080000, b"UL", b"\x10\0\0\0") + data[place:]


def _implicit(_: bytes) -> bytes:
    ds = output_dataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    out = io.BytesIO()
    ds.save_as(out, implicit_vr=True, little_endian=True, enforce_file_format=True)
    return out.getvalue()


def _declared_explicit_but_implicit(data: bytes) -> bytes:
    implicit = _implicit(data)
    start = implicit.index(b"\x08\x00\x05\x00")
    return data[: data.index(b"\x08\x00\x05\x00")] + implicit[start:]


FILES: dict[str, Callable[[bytes], bytes]] = {
    "name in the preamble": lambda data: _patch(data, 20, b"SMITHSON"),
    "one byte in the preamble": lambda data: _patch(data, 127, b"I"),
    "no preamble": lambda data: data[128:],
    "nothing": lambda data: b"",
    "text only": lambda data: b"not dicom at all" * 20,
    "trailing bytes": lambda data: data + b"\0\0",
    "trailing name": lambda data: data + b"Smithson",
    "trailing element": lambda data: data + b"\xfc\xff\xfc\xffOB\0\0\x02\0\0\0\0\0",
    "cut in the pixels": lambda data: data[:-1],
    "cut in the header": lambda data: data[:900],
    "cut in the file meta": lambda data: data[:200],
    "source AE title": _meta(_set("SourceApplicationEntityTitle", "RAVENGLASS")),
    "private information": _meta(_set("PrivateInformationCreatorUID", "2.25.1")),
    "another implementation": _meta(_set("ImplementationClassUID", "1.2.826.0.1.3680043.8.498.1")),
    "another implementation's name": _meta(_set("ImplementationVersionName", "SMITHSON 1")),
    "original instance UID in file meta": _meta(_set("MediaStorageSOPInstanceUID", PERSON.study_uid + ".1.1")),
    "other instance UID in file meta": _meta(_set("MediaStorageSOPInstanceUID", uid("other"))),
    "other class in file meta": _meta(_set("MediaStorageSOPClassUID", "1.2.840.10008.5.1.4.1.1.4")),
    "syntax that cannot be examined": lambda data: data.replace(b"10008.1.2.1\0", b"10008.1.2.2\0", 1),
    "standard element in UN": lambda data: _after(data, 0x00081030, b"\x08\0\x3e\x10UN\0\0\x06\0\0\0chest "),
    "wrong group length": lambda data: _patch(data, 140, b"\xff\0\0\0"),
    "implicit": _implicit,
    "implicit under an explicit syntax": _declared_explicit_but_implicit,
    "group length": _group_length,
    "duplicate": lambda data: _after(data, 0x00081030, _element(0x00081030, b"LO", b"Smithson")),
    "unsorted": lambda data: _after(data, 0x00081030, _element(0x00080060, b"CS", b"CT")),
    "odd length": lambda data: _after(data, 0x00081030, _element(0x00081031, b"LO", b"abc")),
    "length lie": lambda data: _after(data, 0x00080060, _element(0x00080061, b"CS", b"CT", length=0xFFFF)),
    "unknown VR": lambda data: _after(data, 0x00080060, _element(0x00080061, b"ZZ", b"CT")),
    "reserved bytes": lambda data: data.replace(b"\x40\x11SQ\0\0", b"\x40\x11SQJO", 1),
    "hidden behind an item delimiter": _lengthless,
    "delimiter at top level": lambda data: _after(data, 0x00080060, b"\xfe\xff\xdd\xe0\0\0\0\0"),
    "item at top level": lambda data: _after(data, 0x00080060, b"\xfe\xff\x00\xe0\0\0\0\0"),
    "bytes between items": lambda data: data.replace(b"\xfe\xff\x00\xe0", b"JO\x00\xe0", 1),
}


@pytest.mark.parametrize("mutate", FILES.values(), ids=FILES.keys())
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_file_is_held(gate, mutate):
    data = mutate(output_bytes())
    assert data != output_bytes()
    held(gate, data)


def test_sequences_of_undefined_length_are_read(gate):
    ds = output_dataset()
    ds["ReferencedImageSequence"].is_undefined_length = True
    for one in ds.ReferencedImageSequence:
        one.is_undefined_length_sequence_item = True
    data = to_bytes(ds)
    assert b"\xfe\xff\xdd\xe0" in data
    assert isinstance(gate.certify(REF, BytesPayload(data)), Certified)
    assert isinstance(gate.certify(REF, BytesPayload(data, 50)), Certified)
    ds.ReferencedImageSequence[1].RequestedProcedureDescription = "Okonkwo"
    assert held(gate, to_bytes(ds)).reason is Reason.RESIDUAL_IDENTIFIER


@pytest.mark.parametrize("length", range(0, 2000, 37))
def test_no_cut_file_passes_or_raises(gate, length):
    held(gate, output_bytes()[:length])


def test_a_payload_that_fails_is_held_without_a_word(gate):
    class Broken:
        size = 5

        def chunks(self):
            yield b"\0" * 10
            raise RuntimeError("Smithson")

    result = gate.certify(REF, Broken())
    assert isinstance(result, Rejection)
    assert "Smithson" not in repr(result)


def test_a_payload_of_another_size_is_held(gate):
    class Lying(BytesPayload):
        size = 12

    assert held_payload(gate, Lying(output_bytes())).reason is Reason.STRUCTURE


def held_payload(gate: Gate, payload: BytesPayload) -> Rejection:
    result = gate.certify(REF, payload)
    assert isinstance(result, Rejection)
    return result


def test_what_was_seen_before_is_checked_again_in_another_place(gate):
    good = output_dataset()
    assert isinstance(gate.certify(REF, BytesPayload(to_bytes(good))), Certified)
    bad = output_dataset()
    bad.SpecificCharacterSet = "ISO_IR 13"
    bad.SeriesDescription = "Okonkwo"
    held(gate, to_bytes(bad))
    held(gate, to_bytes(bad))


WORDING = {
    "a name that is nowhere in the input": ("CT chest for Hargreaves", True),
    "a name run together with a word": ("HargreavesChest", True),
    "a name in another script": ("CT chest Люксембург", True),
    "words": ("Thorax routine lung 1.0 B60f", False),
    "words run together": ("ThorRoutine 2.0 D40s, CTChest", False),
    "eponyms and codes": ("?Hodgkin lymphoma, I26f 3, 120kV 3.4mGycm", False),
}


@pytest.mark.parametrize(("text", "wrong"), WORDING.values(), ids=WORDING.keys())
def test_cleaned_text_is_made_of_the_profiles_words(text, wrong):
    from bsti_submit.deid.profile import load_profile

    harvest = Harvest()
    harvest.add_header(input_header(PERSON))
    ds = output_dataset()
    ds.StudyDescription = text
    with_words = Gate(ALLOW_LIST, harvest.build(load_profile("bsti-default").words), national)
    result = with_words.certify(REF, BytesPayload(to_bytes(ds)))
    assert isinstance(result, Rejection) is wrong
    assert not wrong or result.reason is Reason.ELEMENT_NOT_ALLOWED


def test_text_in_no_declared_character_set_is_held(gate):
    data = to_bytes(output_dataset()).replace(b"Thorax", b"Th\xf6rax", 1)
    assert held(gate, data).reason is Reason.ELEMENT_NOT_ALLOWED


# --- nothing tells a value ---


def test_nothing_tells_a_value(gate):
    ds = output_dataset()
    ds.StudyDescription = "Smithson 943 476 5919"
    told = [repr(gate), repr(gate.certify(REF, BytesPayload(to_bytes(ds)))), repr(gate._matcher)]
    told += [repr(gate.check_text("x", b"Smithson 24/12/1950")), str(gate._matcher.describe())]
    told += [repr(gate._matcher._known), repr(gate._matcher.unsearchable())]
    for text in told:
        assert not any(word in text.lower() for word in ("smithson", "943", "1950", "okonkwo", "7133"))


RECORDS = {
    "a member hidden by one of the same name": b'{"a": "Smithson", "a": "none"}',
    "a name of a member": b'{"Smithson": 1}',
    "Latin-1": 'note: "J\u00f6hn"'.encode("latin-1"),
    "UTF-16": "Smithson".encode("utf-16-le"),
    "a number": b'{"n": 9434765919}',
    "a date as a number": b'{"n": 19501224}',
    "a term": b'{"place": "northwick"}',
    "two members together": b'{"name": ["x", ["Vandersteen"]]}',
    "a very deep document": b"[" * 200 + b"]" * 200,
    "another person's NHS number": b'{"n": "400 000 0004"}',
    "JSON cut short": b'{"a": "Smithson',
}


@pytest.mark.parametrize("data", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_is_searched_however_it_is_written(gate, data):
    assert gate.check_text("record", data)


def test_a_phrase_of_ordinary_words_is_no_national_identifier():
    from bsti_submit.deid.certify.national import uk_patterns
    from bsti_submit.deid.profile import load_profile

    harvest = Harvest()
    harvest.add_header(input_header(PERSON))
    vocabulary = load_profile("bsti-default").words | {"chest", "hospital"}
    gate = Gate(ALLOW_LIST, harvest.build(vocabulary), uk_patterns)
    ds = output_dataset()
    ds.StudyDescription = "chest hospital"
    assert isinstance(gate.certify(REF, BytesPayload(to_bytes(ds))), Certified)
    ds.StudyDescription = "chest hospital Wexcombe ward"
    held(gate, to_bytes(ds))
