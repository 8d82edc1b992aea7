"""Data sets of any shape from bytes: any attribute, VR, character set, depth and syntax, with markers in them."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass

import pydicom
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, encode_string
from pydicom.datadict import DicomDictionary, dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.deid.slices import ct_dataset

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
WORDS = {
    "ISO_IR 100": "Zqvänkôrst",
    "ISO_IR 101": "Zqwałęsak",
    "ISO_IR 109": "Zqĉapeloĵ",
    "ISO_IR 110": "Zqāboliņš",
    "ISO_IR 144": "Люксембург",
    "ISO_IR 127": "قبانيلنزار",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 138": "שרוןדבורה",
    "ISO_IR 148": "Zqçavuşoğl",
    "ISO_IR 13": "ﾔﾏﾀﾞﾀﾛｳ",
    "ISO_IR 166": "นามสกุลชื่อ",
    "ISO_IR 192": "Zqnguyễn小东",
    "GB18030": "Zq王小东王",
    "GBK": "Zq王小东王",
    "\\ISO 2022 IR 87": "山田太郎",
    "\\ISO 2022 IR 149": "김희중홍",
    "\\ISO 2022 IR 58": "张小东王",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "山田太郎",
    "ISO 2022 IR 100\\ISO 2022 IR 144": "Люксембург",
}
"""A word of each character set that is nobody's and nothing's."""
ESSENTIAL = frozenset(
    (
        524293,
        524310,
        524312,
        2097165,
        2097166,
        2621442,
        2621444,
        2621446,
        2621448,
        2621456,
        2621457,
        2621696,
        2621697,
        2621698,
        2621699,
        536578,
    )
)
TAGS = sorted(
    tag
    for tag, entry in DicomDictionary.items()
    if 0x0008 <= tag >> 16 < 0x7FE0 and tag >> 16 != 0x0400 and tag not in ESSENTIAL and "SQ" not in entry[0]
)
STRANGE = (0x00187FF0, 0x00217777, 0x60020022, 0x60FE4000, 0x50022500, 0x00290110, 0x60011000, 0x00104FFF)
TEXT = ("LO", "SH", "ST", "LT", "UT", "UC", "PN")
OTHERS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR", "OB", "OW", "OF", "OD", "UN", "FD", "FL", "UL")
SEQUENCES = (
    "RequestAttributesSequence ReferencedImageSequence ContentSequence VOILUTSequence SharedFunctionalGroupsSequence "
    "PerFrameFunctionalGroupsSequence ContributingEquipmentSequence SourceImageSequence AnatomicRegionSequence"
).split()
KEPT = (
    "KVP",
    "SliceThickness",
    "PixelSpacing",
    "ImagePositionPatient",
    "WindowCenter",
    "ConvolutionKernel",
    "ImageType",
)


@dataclass(frozen=True)
class Hostile:
    """A file, what was planted in it, and the data set that it was made from."""

    data: bytes
    markers: tuple[str, ...]
    dataset: FileDataset
    planted: frozenset[int]


def text_bytes(text: str, character_set: str) -> bytes:
    return encode_string(text, convert_encodings(character_set.split("\\")))


@st.composite
def values(draw: st.DrawFn, character_set: str) -> tuple[str, str, bytes]:
    """Return a marker, a VR and the bytes of a value with the marker in it."""
    vr = draw(st.sampled_from(TEXT + OTHERS))
    if vr in TEXT and draw(st.booleans()):
        marker = WORDS[character_set]
        around = draw(st.sampled_from(["{}", "CT {} chest", "{}\\{}"] if vr != "PN" else ["{}^X", "A^B={}", "A={}={}"]))
        return marker, vr, text_bytes(around.replace("{}", marker), character_set)
    marker = draw(st.sampled_from(["Zqplantor", "ZQPLANTOR", "zqplantor"]))
    around = draw(st.sampled_from(["{}", "CT {} chest", "1.2.{}", "{}\\x", "{}=19501224", "chest{}", "{}_1"]))
    raw = around.replace("{}", marker).encode("utf-16-le" if vr in {"OB", "UN"} and draw(st.booleans()) else "ascii")
    return marker, vr, raw


@st.composite
def items(draw: st.DrawFn, character_set: str, markers: set[str], syntax: pydicom.uid.UID, depth: int = 0) -> Dataset:
    dataset = Dataset()
    for tag in draw(st.lists(st.sampled_from(TAGS + list(STRANGE)), max_size=4, unique=True)):
        marker, vr, raw = draw(values(character_set))
        if vr == "UN" and dictionary_has_tag(tag):
            # pydicom puts the dictionary's VR for UN, and writes none that the dictionary leaves open.
            vr = "OB" if " or " in dictionary_VR(tag) else vr
        raw += b" " * (-len(raw) % 8)
        if vr not in {"OB", "OW", "OF", "OD", "UN", "UT", "UC", "UR"}:
            raw = raw[:65534]
        markers.add(marker)
        implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        dataset._dict[Tag(tag)] = RawDataElement(Tag(tag), vr, len(raw), raw, 0, implicit, little)
    if draw(st.booleans()):
        marker = "Zqprivator"
        markers.add(marker)
        dataset.private_block(draw(st.sampled_from([0x0009, 0x0029])), marker, create=True).add_new(1, "LO", marker)
    if depth < 5:
        for keyword in draw(st.lists(st.sampled_from(SEQUENCES), max_size=2 if depth < 2 else 1, unique=True)):
            inner = draw(st.lists(items(character_set, markers, syntax, depth + 1), max_size=2))
            setattr(dataset, keyword, Sequence(inner))
            dataset[keyword].is_undefined_length = draw(st.booleans())
    return dataset


@st.composite
def hostile(draw: st.DrawFn) -> Hostile:
    character_set = draw(st.sampled_from(sorted(WORDS)))
    syntax = draw(st.sampled_from(SYNTAXES))
    markers: set[str] = set()
    extra = draw(items(character_set, markers, syntax))
    dataset = ct_dataset(rows=8, private=False)
    dataset.SpecificCharacterSet = character_set.split("\\")
    for keyword in ("StudyDescription", "SeriesDescription", "PatientName", "ProtocolName"):
        setattr(dataset, keyword, "Person^Some" if keyword == "PatientName" else "Thorax routine")
    planted = frozenset(map(int, extra._dict))
    for tag, element in extra._dict.items():
        dataset._dict[tag] = element
    return Hostile(file_in(dataset, syntax), tuple(sorted(markers)), dataset, planted)


def file_in(dataset: FileDataset, syntax: pydicom.uid.UID) -> bytes:
    """Return the bytes, raw elements as they are."""
    explicit = ExplicitVRBigEndian if syntax == ExplicitVRBigEndian else ExplicitVRLittleEndian
    stated = ImplicitVRLittleEndian if syntax == ImplicitVRLittleEndian else explicit
    dataset.file_meta.TransferSyntaxUID = stated
    if syntax == ExplicitVRBigEndian:
        pixels = bytearray(dataset.PixelData)
        pixels[::2], pixels[1::2] = pixels[1::2], pixels[::2]
        dataset.PixelData = bytes(pixels)
    out = io.BytesIO()
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(
            out,
            dataset,
            little_endian=syntax != ExplicitVRBigEndian,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            force_encoding=True,
        )
    data = out.getvalue()
    if syntax != DeflatedExplicitVRLittleEndian:
        return data
    start = 132
    while data[start : start + 2] == b"\2\0":
        long = data[start + 4 : start + 6] == b"OB"
        length = int.from_bytes(data[start + 8 : start + 12] if long else data[start + 6 : start + 8], "little")
        start += (12 if long else 8) + length
    deflater = zlib.compressobj(wbits=-15)
    meta = data[:start]
    place = meta.index(b"\x02\x00\x10\x00UI")
    syntax_now = b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99"
    meta = meta[:place] + syntax_now + meta[place + 8 + int.from_bytes(meta[place + 6 : place + 8], "little") :]
    return meta + deflater.compress(data[start:]) + deflater.flush()
