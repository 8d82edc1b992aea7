"""What the survey says of whole, broken, doubled and strange files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from bsti_submit.intake import header
from bsti_submit.intake.header import FIRST_READ, read_header
from bsti_submit.intake.source import open_source
from bsti_submit.intake.survey import survey_source
from bsti_submit.model import Outcome, Reason
from tests.intake.factory import CR, dataset, encode, put

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def survey(path, **options):
    with open_source(path) as source:
        return survey_source(source, **options)


def only(path):
    (found,) = survey(path).instances
    return found


def why(path):
    return [(one.ref.number, one.outcome, one.reason) for one in survey(path).rejections]


class Bytes:
    def __init__(self, data):
        self.data, self.size = data, len(data)

    def head(self, length):
        return self.data[:length]

    def at(self, offset, length):
        return self.data[offset : offset + length]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda one: UID(one).keyword)
def test_every_uncompressed_syntax_is_read(tmp_path, syntax):
    put(tmp_path / "x", dataset(7, SeriesDescription="Größe"), syntax)
    headers = []
    found = survey(tmp_path, on_header=lambda ref, data: headers.append(bytes(data)))
    (one,) = found.instances
    assert one.transfer_syntax_uid == syntax
    assert (one.rows, one.columns, one.bits_allocated, one.bits_stored, one.frames) == (16, 16, 16, 12, 1)
    assert (one.modality, one.body_part, one.image_type) == ("CT", "CHEST", ("ORIGINAL", "PRIMARY", "AXIAL"))
    assert one.series_description.reveal() == "Größe"
    assert one.instance_number.reveal() == "7"
    assert one.pixels
    # what a harvester gets is readable up to the pixel data, whatever the syntax
    read = pydicom.dcmread(io.BytesIO(headers[0]), stop_before_pixels=True)
    assert str(read.PatientName) == "Example^Erika"
    assert len(headers[0]) < (tmp_path / "x").stat().st_size or syntax == DeflatedExplicitVRLittleEndian


@pytest.mark.parametrize("syntax", SYNTAXES[:3], ids=lambda one: UID(one).keyword)
def test_a_data_set_without_preamble_and_meta_is_recognised(tmp_path, syntax):
    put(tmp_path / "x", encode(dataset(1), syntax, part10=False))
    assert only(tmp_path).patient_id.reveal() == "ABC12345"


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\0\x05\0",
        b"\x08\0 not dicom at all, really not",
        b"\x02\0" + b"text" * 50,
        b"\0\x08" + bytes(200),
    ],
)
def test_what_only_starts_like_dicom_is_not(data):
    assert read_header(Bytes(data)) is None


def test_a_term_that_is_far_too_long_is_not_passed_over(tmp_path):
    made = dataset(1)
    made.BodyPartExamined = "HEAD".ljust(1 << 17)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        put(tmp_path / "x", made, ImplicitVRLittleEndian)
    assert why(tmp_path) == [(1, Outcome.HELD, Reason.UNREADABLE)]


def test_a_long_header_is_read_on(tmp_path):
    made = dataset(1)
    made.add_new(0x00290010, "LO", "ACME")
    made.add_new(0x00291010, "OB", bytes(5 * FIRST_READ))
    put(tmp_path / "x", made)
    assert only(tmp_path).rows == 16


def test_text_is_decoded_by_its_character_set(tmp_path):
    japanese = dataset(1, SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎")
    put(tmp_path / "a", japanese)
    put(tmp_path / "b", dataset(2, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = [one.patient_name.reveal() for one in survey(tmp_path).instances]
    assert names == ["Yamada^Tarou=山田^太郎", "Müller^Jörg"]


def test_an_unknown_character_set_says_nothing_and_stops_nothing(tmp_path, capfd):
    data = encode(dataset(1, SpecificCharacterSet="ISO_IR 192", PatientName="Müller"))
    put(tmp_path / "a", data.replace(b"ISO_IR 192", b"ISO_IR 999"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert only(tmp_path).patient_name.reveal()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("attributes", "member", "value"),
    [
        ({"Modality": "SMITH"}, "modality", ""),
        ({"BodyPartExamined": "JOHN SMITH"}, "body_part", ""),
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "SMITH JOHN"]},
            "image_type",
            ("ORIGINAL", "PRIMARY", "OTHER"),
        ),
        ({"ImageType": ["DERIVED", "SMITH_SOM20 PROT"]}, "image_type", ("DERIVED", "PROT OTHER")),
        ({"ImageType": ["DERIVED", "SCREENSHOT9434765919"]}, "image_type", ("DERIVED", "SCREENSHOT OTHER")),
        ({"ImageType": ["DERIVED", ""]}, "image_type", ("DERIVED", "OTHER")),
        ({"BurnedInAnnotation": "SMITH"}, "burned_in", "YES"),
        ({"BurnedInAnnotation": "NO"}, "burned_in", "NO"),
        ({"BurnedInAnnotation": "YES"}, "burned_in", "YES"),
        ({"PhotometricInterpretation": "SMITH"}, "photometric", ""),
        ({"SOPClassUID": "1.2.9434765919"}, "sop_class_uid", "private"),
        ({"NumberOfFrames": "99999999999"}, "frames", 1),
    ],
)
def test_plain_members_hold_terms_of_the_standard_only(tmp_path, attributes, member, value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        put(tmp_path / "x", dataset(1, **attributes))
    one = only(tmp_path)
    assert getattr(one, member) == value
    assert "SMITH" not in repr(one)
    assert "9434765919" not in repr(one)
    assert "Example" not in repr(one)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda one: UID(one).keyword)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_anywhere_is_held_as_truncated(tmp_path, syntax, share):
    data = encode(dataset(1), syntax)
    put(tmp_path / "x.dcm", data[: int(len(data) * share)])
    found = survey(tmp_path)
    # A cut between two elements leaves a well-formed file, but one without pixels or UIDs.
    assert [one.reason for one in found.rejections] in ([Reason.TRUNCATED], [Reason.MISSING_IDENTITY])


def test_compressed_pixel_data_cut_off_are_truncated(tmp_path):
    made = dataset(1, PixelData=encapsulate([b"\xff\xd8" + bytes(200) + b"\xff\xd9"] * 3), NumberOfFrames=3)
    data = encode(made, JPEGBaseline8Bit)
    put(tmp_path / "good", data)
    assert only(tmp_path).frames == 3
    for name, cut in (("no delimiter", 8), ("half a fragment", 100), ("header of a fragment", 8 + 204 + 4)):
        put(tmp_path / name.replace(" ", "-"), data[:-cut])
    assert [reason for _, _, reason in why(tmp_path)] == [Reason.TRUNCATED] * 3


def test_garbage_among_the_fragments_is_unreadable(tmp_path):
    data = encode(dataset(1, PixelData=encapsulate([bytes(50)])), JPEGBaseline8Bit)
    put(tmp_path / "x", data[:-8] + b"\xff" * 20)
    assert why(tmp_path) == [(1, Outcome.HELD, Reason.UNREADABLE)]


def test_a_deflated_bomb_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(header, "LARGEST_INFLATED", 1000)
    put(tmp_path / "x", dataset(1, side=64), DeflatedExplicitVRLittleEndian)
    assert why(tmp_path) == [(1, Outcome.HELD, Reason.TOO_LARGE)]


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_a_uid_is_held(tmp_path, keyword):
    put(tmp_path / "x", encode(dataset(1, **{keyword: ""})))
    (one,) = survey(tmp_path).rejections
    assert (one.reason, one.attribute) == (Reason.MISSING_IDENTITY, keyword)


def test_the_same_instance_twice_is_taken_once(tmp_path):
    put(tmp_path / "a", dataset(1))
    put(tmp_path / "b", dataset(1))
    put(tmp_path / "c", dataset(1), ImplicitVRLittleEndian)
    found = survey(tmp_path)
    assert [one.ref.number for one in found.instances] == [1]
    assert why(tmp_path) == [(2, Outcome.LEFT_OUT, Reason.DUPLICATE), (3, Outcome.LEFT_OUT, Reason.DUPLICATE)]


def test_another_preamble_or_meta_does_not_make_another_instance(tmp_path):
    data = encode(dataset(1))
    put(tmp_path / "a", data)
    put(tmp_path / "b", b"II*\0" + data[4:])
    assert [reason for _, _, reason in why(tmp_path)] == [Reason.DUPLICATE]


def test_different_contents_under_one_uid_are_all_held(tmp_path):
    put(tmp_path / "a", dataset(1))
    put(tmp_path / "b", dataset(1))
    put(tmp_path / "c", dataset(1, SeriesDescription="Other"))
    put(tmp_path / "d", dataset(2))
    found = survey(tmp_path)
    assert [one.ref.number for one in found.instances] == [4]
    assert {reason for _, _, reason in why(tmp_path)} == {Reason.CONFLICTING_DUPLICATE}
    assert len(found.rejections) == 3


@pytest.mark.parametrize("order", ["short first", "whole first"])
@pytest.mark.parametrize("cut", ["in the pixels", "before the pixels"])
def test_a_truncated_copy_never_displaces_the_whole_one(tmp_path, order, cut):
    whole = encode(dataset(1))
    short = whole[:-100] if cut == "in the pixels" else encode(dataset(1, PixelData=None))
    names = ("a", "b") if order == "short first" else ("b", "a")
    put(tmp_path / names[0], short)
    put(tmp_path / names[1], whole)
    with open_source(tmp_path) as source:
        found = survey_source(source)
        (kept,) = found.instances
        assert bytes(source.read(kept.ref)) == whole
    (other,) = found.rejections
    assert (other.outcome, other.reason) == (Outcome.HELD, Reason.TRUNCATED)


def test_an_image_without_pixels_is_told_apart(tmp_path):
    put(tmp_path / "x", dataset(1, PixelData=None))
    one = only(tmp_path)
    assert (one.pixels, one.frames) == (False, 0)


def test_anatomy_is_found_in_functional_groups_and_sequences(tmp_path):
    def region(code, meaning):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SRT", meaning
        return item

    made = dataset(1, NumberOfFrames=1)
    frame = Dataset()
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = [region("T-D1100", "Head")]
    frame.FrameAnatomySequence = [anatomy]
    made.PerFrameFunctionalGroupsSequence = [frame]
    made.AnatomicRegionSequence = [region("T-D3000", "Chest")]
    request = Dataset()
    request.RequestedProcedureDescription = "CT brain"
    made.RequestAttributesSequence = [request]
    for syntax in SYNTAXES:
        put(tmp_path / "x", made, syntax)
        one = only(tmp_path)
        assert set(one.regions.reveal()) == {"T-D1100", "Head", "T-D3000", "Chest"}
        assert one.procedure_texts.reveal() == ("CT brain",)


def test_sequences_of_undefined_length_are_walked(tmp_path):
    made = dataset(1)
    inner = Dataset()
    inner.PatientID = "INNER"
    inner.ReferencedImageSequence = [Dataset(), Dataset()]
    made.ReferencedStudySequence = Sequence([inner, inner])
    made["ReferencedStudySequence"].is_undefined_length = True
    inner.is_undefined_length_sequence_item = True
    for syntax in SYNTAXES:
        put(tmp_path / "x", made, syntax)
        assert only(tmp_path).patient_id.reveal() == "ABC12345"


def test_endless_nesting_is_unreadable_not_a_crash(tmp_path):
    start = encode(dataset(1, PixelData=None))
    nested = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000
    put(tmp_path / "x", start + nested)
    assert why(tmp_path) == [(1, Outcome.HELD, Reason.UNREADABLE)]


def test_studies_come_newest_first_with_their_series(tmp_path):
    put(tmp_path / "a", dataset(1, study="1", StudyDate="20200101"))
    put(tmp_path / "b", dataset(1, study="2", series="2", StudyDate="20200403", StudyTime="0900"))
    put(tmp_path / "c", dataset(2, study="2", series="1", StudyDate="20200403", StudyTime="0900"))
    put(tmp_path / "d", dataset(1, study="3", StudyDate="20200403", StudyTime="1000", sop_class=CR))
    put(tmp_path / "e", dataset(1, study="4", StudyDate=""))
    found = survey(tmp_path)
    studies = found.studies()
    assert [study.number for study in studies] == [1, 2, 3, 4]
    assert [study.uid.reveal().rsplit(".", 1)[1] for study in studies] == ["3", "2", "1", "4"]
    assert studies[0].modalities == ("CR",)
    assert [series.number.reveal() for series in studies[1].series] == ["1", "2"]
    assert studies[1].size == sum(one.size for one in studies[1].instances)
    assert [ref.number for ref in studies[1].refs] == [2, 3]
    (first, *_) = found.studies(lambda one: one.modality == "CT")
    assert first.uid.reveal().endswith(".2")
    assert "2020" not in repr(studies)


@pytest.mark.parametrize(
    ("second", "patients"),
    [
        ({}, 1),
        ({"PatientID": " abc12345"}, 1),
        ({"PatientName": "Example^Erika Maria"}, 1),
        ({"PatientBirthDate": ""}, 1),
        ({"PatientID": "OTHER123"}, 2),
        ({"PatientBirthDate": "19510101"}, 2),
        ({"IssuerOfPatientID": "RXX"}, 2),
    ],
)
def test_patients_are_told_apart(tmp_path, second, patients):
    put(tmp_path / "a", dataset(1))
    put(tmp_path / "b", dataset(2, **second))
    assert len(survey(tmp_path).patients) == patients


def test_without_an_id_the_name_tells_patients_apart(tmp_path):
    put(tmp_path / "a", dataset(1, PatientID=""))
    put(tmp_path / "b", dataset(2, PatientID="", PatientName="Someone^Else"))
    assert len(survey(tmp_path).patients) == 2


def test_ten_thousand_instances_cost_little_memory(tmp_path):
    for number in range(300):
        put(tmp_path / f"{number}", dataset(number))
    with open_source(tmp_path) as source:
        survey_source(source)
        tracemalloc.start()
        found = survey_source(source)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(found.instances) == 300
    assert kept / 300 < 1500
    assert peak < 4 << 20


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_makes_the_survey_fail(data):
    whole = bytearray(encode(dataset(1), data.draw(st.sampled_from(SYNTAXES))))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    read_header(Bytes(bytes(whole[:cut])))


def test_pydicoms_own_files_are_surveyed_without_a_word(capfd):
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = survey(folder)
    assert capfd.readouterr() == ("", "")
    assert len(found.instances) + len(found.rejections) > 60
    assert all(one.sop_class_uid for one in found.instances)


@pytest.mark.skipif(not os.environ.get("BSTI_REAL_DATA"), reason="BSTI_REAL_DATA names no folder of real studies")
def test_real_studies_are_surveyed_whole():
    found = survey(Path(os.environ["BSTI_REAL_DATA"]))
    assert found.instances
    assert not [one for one in found.rejections if one.reason is not Reason.DUPLICATE]


def test_zlib_wrapped_deflate_is_held(tmp_path):
    data = encode(dataset(1), DeflatedExplicitVRLittleEndian)
    with open_source(put(tmp_path / "x", data)) as source:
        survey_source(source)
    start = data.index(DeflatedExplicitVRLittleEndian.encode())
    put(tmp_path / "x", data[: start + 200] + zlib.compress(b"junk" * 50))
    assert len(why(tmp_path)) == 1


def test_importing_the_source_does_not_import_pydicom():
    code = "import sys; import bsti_submit.intake.source; sys.exit('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
