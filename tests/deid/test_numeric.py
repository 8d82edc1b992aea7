"""Numbers stay numbers: text in their place goes, and no number of an ordinary image does."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bsti_submit.deid.numeric import is_identifying, is_table, is_text, most_values, whole_numbers
from tests.deid.slices import written
from tests.deid.test_engine import out_of, raw_element, read, small, with_raw

NAMES = [
    "Hargreaves",
    "JONES^MARY",
    "Szczepanski, Z",
    "Ward 7, bed 4",
    "born 24/12/1950",
    "RXK1742210",
    "1.2.840.113619.2.55",
]


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("vr", ["FD", "FL", "UL", "SL", "US", "SS"])
def test_text_in_the_place_of_numbers_is_told(text, vr):
    raw = text.encode()
    assert is_text(vr, raw.ljust(-(-len(raw) // 8) * 8))
    assert is_text(vr, raw.ljust(-(-len(raw) // 8) * 8, b"\0"))


@pytest.mark.parametrize("vr", ["AT", "FD", "FL", "UL", "SL", "SV", "UV", "US", "SS"])
@pytest.mark.parametrize(
    "text", ["HARGREAVES^MARY [1937!]", "\u00abQuillfeather Zebedee\u00bb", "\0\0\0\0Hargreaves, Mary\x90"]
)
def test_a_name_in_numbers_is_told_whatever_stands_around_it(text, vr):
    raw = text.encode("latin-1")
    raw = raw.ljust(-(-len(raw) // 8) * 8, b"\0")
    assert is_text(vr, raw)
    tag = {"AT": 0x00720060, "FL": 0x00720076, "UL": 0x00720078, "US": 0x0072007A, "SL": 0x0072007C, "SS": 0x0072007E}
    if vr in tag:
        assert tag[vr] not in read(out_of(with_raw(raw_element(tag[vr], vr, raw))))


@pytest.mark.parametrize("vr", ["AT", "FD", "FL", "UL", "SL", "SV", "UV"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["Hargreaves\\x  ", "\u00abHargreaves\u00bb", "[Hargreaves!]"])
def test_a_wide_name_in_numbers_is_told_whatever_stands_around_it(text, encoding, vr):
    raw = text.encode(encoding)
    assert is_text(vr, raw.ljust(-(-len(raw) // 8) * 8))


@pytest.mark.parametrize("vr", ["AT", "FD", "FL", "UL", "SL", "SV", "UV", "US", "SS"])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Zq王小东王", "gb18030"),
        ("Zqnguyễn小东", "utf-8"),
        ("Люксембург", "iso8859-5"),
        ("Διονυσιος", "iso8859-7"),
        ("김희중홍길동", "euc_kr"),
        ("山田太郎", "iso2022_jp"),
        ("ﾔﾏﾀﾞﾀﾛｳｻﾝ", "shift_jis"),
    ],
)
def test_a_name_of_any_alphabet_in_numbers_is_told(text, encoding, vr):
    raw = text.encode(encoding)
    assert is_text(vr, raw.ljust(-(-len(raw) // 8) * 8))


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["Hargreaves\\x", "[Hargreaves]", "Hargreaves@1", "Hargreaves; Mary"])
def test_a_wide_name_in_narrow_numbers_is_told_among_any_signs(text, encoding, vr):
    assert is_text(vr, text.encode(encoding) + b"    ")


@pytest.mark.parametrize("vr", ["US", "SS"])
def test_a_short_name_in_three_words_is_told(vr):
    assert is_text(vr, b"JONES ")
    assert not is_text(vr, struct.pack("<3H", 256, 0, 16))
    assert not is_text(vr, struct.pack("<3H", 80, 90, 100))


def test_a_name_among_doubles_is_told():
    assert is_text("FD", struct.pack("<2d", 0.7, -142.123) + b"Whitcomb" + struct.pack("<d", 1.0))
    assert is_text("FD", "Smit".encode("utf-16-le"))
    assert is_text("UL", b"Ward")
    for vr in ("UL", "SL", "FL", "US", "SS"):
        for encoding in ("utf-16-le", "utf-16-be"):
            assert is_text(vr, "Hargreaves".encode(encoding) + b"  \0\0")


@given(st.lists(st.floats(-100_000, 100_000).map(lambda number: round(number, 6)), min_size=1, max_size=9))
@settings(max_examples=500, deadline=None)
def test_measurements_are_no_text(numbers):
    assert not is_text("FD", struct.pack(f"<{len(numbers)}d", *numbers))


def test_ordinary_numbers_are_no_text():
    for number in (0.0, -0.0, 1e-12, 120, 512, 0.703125, -1024, 3.5e9, float("nan"), float("inf")):
        assert not is_text("FD", struct.pack("<d", number))
    assert not is_text("US", struct.pack("<6H", 80, 90, 100, 110, 48, 50))
    for number in (0, 1, 12, 511, 65535, 500_000, 0xFFFFFFFF):
        assert not is_text("UL", struct.pack("<L", number))
    rng = random.Random(1)
    floats = [round(rng.uniform(-500, 500), 4) for _ in range(3000)]
    told = sum(is_text("FL", struct.pack("<f", number)) for number in floats)
    assert told == 0
    pairs = sum(is_text("FL", struct.pack("<2f", *floats[index : index + 2])) for index in range(2999))
    assert pairs <= 5
    assert not is_text("FL", struct.pack("<3000f", *floats))
    assert not is_text("US", struct.pack("<4000H", *range(4000)))
    assert not is_text("US", struct.pack("<4H", 0, 320, 256, 0))
    assert not is_text("SS", struct.pack("<4h", -1024, -20, -1, 3071))
    assert not is_text("UL", struct.pack("<4L", 0, 524_288, 16_777_216, 268_435_456))
    assert not is_text("UV", struct.pack("<Q", 10**15))
    assert not is_text("FL", struct.pack("<4f", 0.0, 1e-12, -7.5e9, float("nan")))


@pytest.mark.parametrize(
    "value",
    [
        "19501224",
        "040150",
        "24121950",
        "12241950",
        "1\\19501224",
        "+19501224",
        "19501224.0",
        "9434765919",
        "0.5\\9434765919",
    ],
)
def test_dates_and_numbers_of_the_country_among_decimals_are_told(value):
    assert is_identifying(value.encode())


@pytest.mark.parametrize(
    "value",
    ["0.19501224", "143000.5", "-322.123456789", "19501324", "1.9501224e3", "512", "9434765918", "0.9434765919"],
)
def test_decimals_are_no_identifiers(value):
    assert not is_identifying(value.encode())


BINARY = {"FD": (0x00189306, "<d"), "UL": (0x00720078, "<L"), "SL": (0x0072007C, "<l"), "SV": (0x00720082, "<q")} | {
    "UV": (0x00720083, "<Q"),
    "FL": (0x00720076, "<f"),
}


@pytest.mark.parametrize("vr", BINARY)
@pytest.mark.parametrize(("number", "kept"), [(19501224, False), (7654320, False), (9434765919, False), (512, True)])
def test_dates_and_ids_that_are_binary_numbers_go(vr, number, kept):
    tag, form = BINARY[vr]
    if vr in {"UL", "SL", "FL"} and number > 0x7FFFFFFF:
        return
    data = written(small(AccessionNumber="7654320")) + raw_element(tag, vr, struct.pack(form, number))
    assert (tag in read(out_of(data))) == kept


@pytest.mark.parametrize("patient_id", ["D123456", "A12/3456", "RXH 123456", "0123456"])
@pytest.mark.parametrize("vr", ["IS", *BINARY])
def test_the_digits_of_an_id_go_without_its_letters(patient_id, vr):
    tag, form = BINARY.get(vr, (0x00200012, ""))
    value = struct.pack(form, 123456) if form else b"123456"
    data = written(small(PatientID=patient_id)) + raw_element(tag, vr, value)
    left = read(out_of(data)).get(tag)
    assert left is None or left.value is None


def test_measurements_are_no_dates():
    assert whole_numbers("FD", struct.pack("<4d", 0.703125, 1234.5, float("nan"), float("inf"))) == b""
    assert whole_numbers("UL", struct.pack("<L", 65_536)) == b""


def test_how_many_values_an_attribute_may_have():
    assert most_values(0x00189306) == 1
    assert most_values(0x00189313) == 3
    assert most_values(0x00281052) == 1
    assert most_values(0x7FE10010) is None


DESCRIPTOR = memoryview(struct.pack("<3H", 256, 0, 16))


def test_tables_are_as_long_as_their_descriptor_says():
    assert is_table(0x00281201, bytes(512), {0x00281101: DESCRIPTOR})
    assert is_table(0x00281201, bytes(256), {0x00281101: DESCRIPTOR})
    assert not is_table(0x00281201, b"SMITHSON", {0x00281101: DESCRIPTOR})
    assert not is_table(0x00281201, bytes(512), {})
    assert is_table(0x00283006, bytes(512), {0x00283002: DESCRIPTOR})
    segments = struct.pack("<8H", 0, 2, 1, 5, 1, 254, 900, 0)[:14]
    assert is_table(0x00281221, segments, {0x00281101: DESCRIPTOR})
    assert not is_table(0x00281221, b"Smithson, Mary", {0x00281101: DESCRIPTOR})
    assert is_table(0x00081030, b"anything", {})


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00189306, "FD", b"Hargreav"),
        (0x00189306, "FD", struct.pack("<2d", 0.6, 1.2)),
        (0x00281201, "OW", b"Hargreaves^M"),
        (0x00180050, "DS", b"24121950"),
        (0x00200013, "IS", b"19501224"),
        (0x00189073, "FD", b"SMITHSON"),
    ],
)
def test_none_of_it_leaves(tag, vr, value):
    out = out_of(with_raw(raw_element(tag, vr, value)))
    assert value not in out
    assert read(out).get(tag) is None or read(out)[tag].is_empty
