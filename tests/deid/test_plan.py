"""What becomes of an element: the table, the IOD, deid's precedence, default-deny."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import pytest
from deid.config import DeidRecipe
from deid.dicom.parser import DicomParser
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence

from bsti_submit.deid import beyond, dictionary, table
from bsti_submit.deid.coded import CodedTerms
from bsti_submit.deid.codes import is_public_code
from bsti_submit.deid.fields import Element
from bsti_submit.deid.iod import Type, possible_types, type_of
from bsti_submit.deid.literals import fits
from bsti_submit.deid.plan import Action, DatePolicy, Plan, Rule
from bsti_submit.deid.profile import load_profile as load
from bsti_submit.deid.recipe import read_recipe

if TYPE_CHECKING:
    from pathlib import Path

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


load_profile = cache(load)


def tag(keyword: str) -> int:
    found = dictionary.tag_of(keyword)
    assert found is not None
    return found


@pytest.fixture
def compiled(tmp_path: Path):
    def made(lines: str, *below: str, dates: DatePolicy = DatePolicy.MODIFIED) -> Plan:
        layers = []
        for number, text in enumerate((lines, *below)):
            path = tmp_path / f"{number}.dicom"
            path.write_text(f"FORMAT dicom\n%header\n{text}\n")
            layers.append(read_recipe(path).actions)
        return Plan(layers, dates)

    return made


def rule(plan: Plan, keyword: str, path: tuple[str, ...] = (), sop_class: str = CT) -> Rule:
    found = tag(keyword)
    return plan.for_sop_class(sop_class).rule(
        tuple(tag(each) for each in path), found, dictionary.vrs_of(found)[0], None
    )


def action(plan: Plan, keyword: str, path: tuple[str, ...] = (), sop_class: str = CT) -> Action:
    return rule(plan, keyword, path, sop_class).action


# --- the table


def test_the_table_is_the_pinned_edition_and_whole():
    assert (len(table.rows()), table.ROW_COUNT, table.EDITION) == (656, 656, "2026c")
    assert sum(row.by_analogy for row in table.rows()) == len(table.ANALOGIES)
    assert all(row.by_analogy is False or row.tag in table.ANALOGIES for row in table.rows())


def test_functional_groups_are_not_curves():
    assert table.row_for(0x52009229) is None
    assert table.row_for(0x52009230) is None
    assert table.row_for(0x50000010).pattern == table.CURVES
    assert table.row_for(0x501E3000).pattern == table.CURVES
    assert table.row_for(0x60023000).pattern == table.OVERLAY_DATA
    assert table.row_for(0x60FE4000).pattern == table.OVERLAY_COMMENTS
    assert table.row_for(0x60013000).pattern == table.PRIVATE


@pytest.mark.parametrize("row", [row for row in table.rows() if row.tag is not None], ids=lambda row: row.pattern)
@pytest.mark.parametrize("name", ["bsti-default", "bsti-dates-removed"])
def test_table_e11_row_is_handled_by_its_action(name, row):
    profile = load_profile(name)
    code = row.action(profile.options)
    gone = {Action.REMOVE, Action.EMPTY, Action.DUMMY}
    expected = {
        "X": {Action.REMOVE},
        "Z": {Action.EMPTY, Action.DUMMY, Action.PSEUDONYM},
        "D": {Action.DUMMY, Action.UID, Action.EMPTY},
        "U": {Action.UID},
        "C": {Action.CLEAN_TEXT, Action.SHIFT_DATE, Action.KEEP},
    }.get(code, {*gone, Action.PSEUDONYM})
    if row.is_device_date or row.tag in beyond.anchors():
        expected = gone
    if not dictionary.is_known(row.tag) or row.tag >> 16 in {0x0000, 0x0004}:
        expected = {Action.REMOVE}
    for sop_class in (CT, ENHANCED_CT, CR, DX):
        for path in ((), (tag("RequestAttributesSequence"), tag("ScheduledProtocolCodeSequence"))):
            for vr in dictionary.vrs_of(row.tag) or ("LO",):
                made = profile.plan.for_sop_class(sop_class).rule(path, row.tag, vr, None)
                if code == "C" and vr in dictionary.BINARY_VRS:
                    assert made.action in gone
                elif table.Option.RETAIN_UIDS in row.options and vr == "SQ":
                    assert made.action in {Action.REMOVE, Action.KEEP, Action.EMPTY}
                else:
                    assert made.action in expected, (row.pattern, vr, code)
                    assert made.action is not Action.KEEP or vr in {"SQ", "TM"}


# --- the IOD


@pytest.mark.parametrize(
    ("keyword", "sop_class", "path", "expected"),
    [
        ("StudyDate", CT, (), Type.PRESENT),
        ("SOPInstanceUID", DX, (), Type.VALUE),
        ("StationName", CR, (), Type.OPTIONAL),
        ("DeviceSerialNumber", CT, (), Type.OPTIONAL),
        ("DeviceSerialNumber", ENHANCED_CT, (), Type.VALUE),
        ("CodeMeaning", CT, ("AnatomicRegionSequence",), Type.VALUE),
        ("PatientName", "1.2.3", (), Type.OPTIONAL),
    ],
)
def test_type_in_the_iod(keyword, sop_class, path, expected):
    assert type_of(sop_class, tuple(map(tag, path)), tag(keyword)) is expected


def test_possible_types_always_hold_optional():
    assert Type.OPTIONAL in possible_types(tag("SOPInstanceUID"))
    assert possible_types(0x00091001) == {Type.OPTIONAL}


def test_type_dependent_actions_follow_the_iod():
    plan = load_profile("bsti-dates-removed").plan

    assert action(plan, "DeviceSerialNumber") is Action.REMOVE
    assert action(plan, "DeviceSerialNumber", sop_class=ENHANCED_CT) is Action.DUMMY
    assert action(plan, "ContentDate", sop_class=CR) is Action.EMPTY
    assert action(plan, "ContentDate", sop_class=ENHANCED_CT) is Action.DUMMY
    assert action(plan, "AcquisitionContextSequence", sop_class=DX) is Action.EMPTY
    assert action(plan, "AcquisitionContextSequence", sop_class=CR) is Action.REMOVE
    assert action(plan, "ReferencedPerformedProcedureStepSequence", sop_class=DX) is Action.KEEP
    assert action(plan, "ReferencedPerformedProcedureStepSequence", sop_class=CT) is Action.REMOVE


def test_what_is_cleaned_away_is_filled_where_the_iod_demands_a_value():
    plan = load_profile("bsti-default").plan

    assert rule(plan, "ManufacturerModelName", sop_class=ENHANCED_CT).otherwise is Action.DUMMY
    assert rule(plan, "ManufacturerModelName", sop_class=CT).otherwise is Action.EMPTY


# --- the shipped profiles


def test_dates_that_would_betray_the_offset_are_not_shifted():
    plan = load_profile("bsti-default").plan

    assert action(plan, "StudyDate") is Action.SHIFT_DATE
    assert action(plan, "StudyTime") is Action.KEEP
    for keyword in (
        "DateOfLastCalibration",
        "DateOfInstallation",
        "TimezoneOffsetFromUTC",
        "DateOfGainCalibration",
    ):
        assert action(plan, keyword) in {Action.REMOVE, Action.EMPTY}, keyword
    assert action(plan, "ContextGroupVersion", ("AnatomicRegionSequence",)) is Action.DUMMY


def test_without_dates_nothing_of_a_date_is_left():
    plan = load_profile("bsti-dates-removed").plan

    for found in dictionary.tags():
        for vr in dictionary.vrs_of(found):
            if vr in {"DA", "DT", "TM"}:
                made = plan.for_sop_class(CT).rule((), found, vr, None)
                assert made.action in {Action.REMOVE, Action.EMPTY, Action.DUMMY}, dictionary.label(found)


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("PatientName", Action.PSEUDONYM),
        ("PatientID", Action.PSEUDONYM),
        ("PatientAge", Action.REMOVE),
        ("PatientSex", Action.EMPTY),
        ("PatientBirthDate", Action.EMPTY),
        ("SOPClassUID", Action.UID),
        ("Manufacturer", Action.CLEAN_TEXT),
        ("ConvolutionKernel", Action.CLEAN_TEXT),
        ("StudyDescription", Action.CLEAN_TEXT),
        ("SliceThickness", Action.KEEP),
        ("Rows", Action.KEEP),
        ("PixelData", Action.KEEP),
        ("LUTData", Action.KEEP),
        ("ICCProfile", Action.REMOVE),
        ("EvaluatorName", Action.REMOVE),
        ("RetrieveURL", Action.REMOVE),
        ("SourceApplicationEntityTitle", Action.REMOVE),
        ("DeviceID", Action.REMOVE),
        ("EncryptedAttributesSequence", Action.REMOVE),
        ("IconImageSequence", Action.REMOVE),
        ("ReferencedSeriesSequence", Action.KEEP),
        ("RequestAttributesSequence", Action.KEEP),
        ("IssuerOfAccessionNumberSequence", Action.REMOVE),
        ("BurnedInAnnotation", Action.REMOVE),
        ("FrameOfReferenceUID", Action.UID),
    ],
)
def test_default_profile(keyword, expected):
    assert action(load_profile("bsti-default").plan, keyword) is expected


def test_unknown_private_and_repeating_never_leave(compiled):
    plan = compiled("KEEP select:group:0009\nKEEP contains:^60[0-9]\nKEEP Rows")

    for found in (
        0x00091001,
        0x00111010,
        0x60003000,
        0x60000010,
        0x50003000,
        0x00100099,
        0x00180000,
        0x00041500,
    ):
        assert plan.for_sop_class(CT).rule((), found, "LO", "ACME").action is Action.REMOVE


def test_a_value_of_another_kind_than_the_dictionary_says_goes():
    plan = load_profile("bsti-default").plan.for_sop_class(CT)

    assert plan.rule((), tag("Rows"), "LO", None).action is Action.REMOVE
    assert plan.rule((), tag("Rows"), "UL", None).action is Action.KEEP
    assert plan.rule((), tag("Modality"), "LO", None).action is Action.CLEAN_TEXT
    assert plan.rule((), tag("ManufacturerModelName"), "PN", None).action is Action.REMOVE
    assert plan.rule((), tag("ReferencedSeriesSequence"), "LO", None).action is Action.REMOVE
    assert plan.rule((), tag("Rows"), "UN", None).action is Action.KEEP


def test_coded_strings_and_codes_are_marked_for_the_engine():
    plan = load_profile("bsti-default").plan

    assert rule(plan, "BodyPartExamined") == Rule(Action.KEEP, "coded", Action.EMPTY)
    assert rule(plan, "CodeValue", ("AnatomicRegionSequence",)).value == "code"


# --- precedence


@pytest.mark.parametrize(
    ("lines", "keyword", "expected"),
    [
        ("REMOVE ALL\nKEEP Rows", "Rows", Action.KEEP),
        ("KEEP Rows\nREMOVE ALL", "Rows", Action.KEEP),
        ("REMOVE ALL\nKEEP Rows", "Columns", Action.REMOVE),
        ("REMOVE ALL\nREPLACE PatientID X", "PatientID", Action.LITERAL),
        ("REPLACE PatientID X\nREMOVE ALL", "PatientID", Action.LITERAL),
        ("REMOVE ALL\nJITTER StudyDate 3", "StudyDate", Action.SHIFT_DATE),
        ("KEEP ALL\nADD PatientID X", "PatientID", Action.LITERAL),
        ("BLANK select:VR:DA\nREPLACE StudyDate 20200101", "StudyDate", Action.LITERAL),
        ("REMOVE contains:StudyDesc\nBLANK select:VR:LO", "StudyDescription", Action.REMOVE),
        ("BLANK contains:Study\nREPLACE endswith:Description X", "StudyDescription", Action.LITERAL),
        ("REPLACE endswith:Description X\nBLANK contains:Study", "StudyDescription", Action.EMPTY),
        ("REMOVE except:Rows|Columns", "Rows", Action.KEEP),
        ("REMOVE except:Rows|Columns", "BitsStored", Action.REMOVE),
        ("REMOVE select:group:0028", "BitsStored", Action.REMOVE),
        ("REMOVE (0028,0101)", "BitsStored", Action.REMOVE),
        ("REMOVE 00280101", "BitsStored", Action.REMOVE),
        ("KEEP StudyDescription", "StudyDescription", Action.KEEP),
    ],
)
def test_precedence_is_deids(compiled, lines, keyword, expected):
    assert action(compiled(lines), keyword) is expected


def test_nested_name_means_that_place_only(compiled):
    plan = compiled("REPLACE RequestAttributesSequence__StudyInstanceUID 1.2.3")

    assert rule(plan, "StudyInstanceUID", ("RequestAttributesSequence",)).value == "1.2.3"
    assert action(plan, "StudyInstanceUID") is Action.UID
    assert action(plan, "StudyInstanceUID", ("ReferencedStudySequence", "RequestAttributesSequence")) is Action.UID


def test_keyword_holds_at_every_depth(compiled):
    plan = compiled("REPLACE StudyID X")

    assert action(plan, "StudyID", ("RequestAttributesSequence",)) is Action.LITERAL


def test_what_cannot_be_done_with_a_vr_falls_to_removal_or_the_default(compiled):
    plan = compiled("REMOVE contains:Study\nREPLACE select:group:0020 WORD")

    assert action(plan, "StudyInstanceUID") is Action.REMOVE
    assert action(plan, "SeriesInstanceUID") is Action.UID
    assert action(plan, "StudyID") is Action.LITERAL


def test_shift_by_a_number_and_by_key(compiled):
    plan = compiled(
        "JITTER StudyDate -31\nREPLACE SeriesDate deid_func:jitter days=3 years=1\nJITTER ContentDate func:shift_date"
    )

    assert rule(plan, "StudyDate").value == "days=-31"
    assert rule(plan, "SeriesDate").value == "days=368"
    assert rule(plan, "ContentDate").value == ""


def test_private_is_kept_by_its_creator_only(compiled):
    plan = compiled('KEEP 0033,"ACME 1.0",1E')

    assert plan.for_sop_class(CT).rule((), 0x0033101E, "LO", "ACME 1.0").action is Action.KEEP
    assert plan.for_sop_class(CT).rule((), 0x0033111E, "LO", "ACME 1.0").action is Action.KEEP
    assert plan.for_sop_class(CT).rule((), 0x0033101E, "LO", "OTHER").action is Action.REMOVE
    assert plan.for_sop_class(CT).rule((), 0x0033101E, "LO", None).action is Action.REMOVE
    assert plan.creators() == {(0x0033, "ACME 1.0", 0x1E)}


def test_upper_layer_decides_where_it_speaks(compiled):
    plan = compiled(
        "REMOVE endswith:Description\nADD ImageComments upper",
        "KEEP Rows\nREPLACE StudyDescription X\nADD ImageComments lower",
    )

    assert action(plan, "StudyDescription") is Action.REMOVE
    assert action(plan, "Rows") is Action.KEEP
    assert plan.additions == ((tag("ImageComments"), "LT", "upper"),)


def test_additions_know_their_vr(compiled):
    plan = compiled("ADD Rows 512\nADD ImageType DERIVED\\SECONDARY")

    assert plan.additions == (
        (tag("ImageType"), "CS", "DERIVED\\SECONDARY"),
        (tag("Rows"), "US", "512"),
    )


# --- deid as the oracle


def _dataset() -> FileDataset:
    nested = Dataset()
    nested.StudyID = "NESTED"
    nested.PatientName = "Nested^Name"
    nested.ScheduledProcedureStepID = "STEP"
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    data.SOPClassUID, data.SOPInstanceUID = CT, "1.2.3"
    data.StudyDate, data.SeriesDate, data.StudyTime = "20200102", "20200103", "101112"
    data.PatientName, data.PatientID, data.StudyID = "Smith^John", "X1", "S1"
    data.StudyDescription, data.SeriesDescription = "Chest", "Lung"
    data.InstitutionName, data.Rows = "Hospital", 4
    data.RequestAttributesSequence = Sequence([nested])
    block = data.private_block(0x0033, "ACME 1.0", create=True)
    block.add_new(0x1E, "LO", "private")
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return dcmread(stream)


ORACLE = [
    "REMOVE PatientName\nBLANK StudyID\nREPLACE PatientID NEW\nKEEP StudyDate\nJITTER SeriesDate 5",
    "REMOVE select:VR:LO\nREPLACE StudyDescription New\nKEEP startswith:Inst\nREMOVE contains:^Patient",
    "BLANK endswith:Description\nREMOVE select:group:0020\nREPLACE select:VR:PN ANON",
    'REMOVE 0033,"ACME 1.0",1E\nREPLACE RequestAttributesSequence__StudyID IN\nREMOVE (0008,0030)\nREMOVE 00080080',
    "REPLACE StudyID A\nREMOVE select:VR:SH\nREMOVE except:Patient|Study|UID|Request|Rows|Meta|Transfer|Class",
]


@pytest.mark.parametrize("lines", ORACLE)
def test_plan_does_what_deid_does(compiled, tmp_path, lines):
    plan = compiled(lines).for_sop_class(CT)
    layer = compiled(lines)._layers[0]
    before, after = _dataset(), DicomParser(_dataset(), recipe=DeidRecipe(str(tmp_path / "0.dicom")))
    after.parse()
    compared = 0

    def walk(mine: Dataset, theirs: Dataset, path: tuple[int, ...]) -> None:
        nonlocal compared
        for element in mine:
            creator = element.private_creator if element.tag.is_private else None
            said = layer.decide(Element(path, int(element.tag), element.VR, creator), Type.OPTIONAL, compiled(lines))
            left = theirs.get(element.tag)
            if said is not None:
                compared += 1
                made = plan.rule(path, int(element.tag), element.VR, creator)
                assert _done(element, left) == _expected(made, element), element.keyword
            if element.VR == "SQ" and left is not None:
                for one, other in zip(element.value, left.value, strict=True):
                    walk(one, other, (*path, int(element.tag)))

    walk(before, after.dicom, ())
    assert compared >= 4


def _done(element, left) -> str:
    if left is None:
        return "removed"
    if left.value in (None, ""):
        return "emptied"
    return "kept" if left.value == element.value else str(left.value)


def _expected(made: Rule, element) -> str:
    if made.action is Action.SHIFT_DATE:
        assert made.value == "days=5"
        return "20200108"
    return {Action.REMOVE: "removed", Action.EMPTY: "emptied", Action.KEEP: "kept"}.get(made.action, made.value)


# --- literals, codes, coded strings


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("US", "65535", True), ("US", "65536", False), ("SS", "-5", True), ("IS", "12", True), ("IS", "1.5", False),
        ("DS", "1.5e3", True), ("DS", "1.5.", False), ("DA", "20240229", True), ("DA", "20230229", False),
        ("TM", "235959", True), ("TM", "240000", False), ("DT", "20240101", True), ("DT", "20241301", False),
        ("UI", "1.2.3", True), ("UI", "1.02", False), ("CS", "CHEST", True), ("CS", "chest", False),
        ("LO", "a" * 65, False), ("AS", "045Y", True), ("SQ", "x", False), ("OB", "x", False), ("LT", "text", True),
        ("CS", "A\\B", True), ("ST", "x" * 1025, False), ("FD", "1.5", True), ("FD", "x", False),
    ],
)  # fmt: skip
def test_literal_fits_its_vr(vr, value, expected):
    assert fits(vr, value) is expected


@pytest.mark.parametrize("code", ["51185008", "T-D3000", "113014", "24627-2", "RID1301", "SCT", "[hnsf'U]", "1.0"])
def test_public_code_is_told(code):
    assert is_public_code(code)


@pytest.mark.parametrize(
    "text", ["9434765919", "4857773456", "SMITH", "99STTHOMAS", "20050110", "1234567", "", "24627-3"]
)
def test_other_text_is_no_public_code(text):
    assert not is_public_code(text)


def test_coded_strings_keep_known_terms_only():
    terms = CodedTerms(frozenset({"spi"}))

    assert terms.cleaned("ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI") == "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI"
    assert terms.cleaned("ORIGINAL\\ZZPHI0001\\AXIAL") == "ORIGINAL\\\\AXIAL"
    assert terms.cleaned("35CMX43CM") == "35CMX43CM"
    assert terms.cleaned("SMITHSON") == ""
    assert terms.cleaned("19501224") == ""
