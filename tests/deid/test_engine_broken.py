"""The engine broken on purpose, under the real profile: the final check catches every fault."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.datadict import tag_for_keyword

from bsti_submit.deid import engine, frames, staged, values
from bsti_submit.deid.certify import Gate, Harvest
from bsti_submit.deid.coded import CodedTerms
from bsti_submit.deid.descriptors import Descriptors
from bsti_submit.deid.engine import Engine
from bsti_submit.deid.named import Named
from bsti_submit.deid.plan import Action, InstancePlan, Rule
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import PatientScope, SiteKey, patient_scope
from bsti_submit.deid.staged import Staged
from bsti_submit.deid.words import KnownWords
from bsti_submit.model import Certified, InstanceRef, Outcome, Rejection
from bsti_submit.phi import Identified
from bsti_submit.sample import make_ct_slice
from bsti_submit.sample.probes import make_probes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what is planted on purpose

REF = InstanceRef(1)
PROFILE = load_profile("bsti-default")


def written(dataset):
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


SLICE = written(make_ct_slice(0, size=32))
PATIENT = pydicom.dcmread(io.BytesIO(SLICE)).PatientID
JPEG = next(probe.data for probe in make_probes(5, 1) if probe.where == "a JPEG comment")


class Changed:
    """A payload other than the engine's."""

    def __init__(self, data):
        self.data, self.size = data, len(data)

    def chunks(self):
        yield self.data


def outcome(data=SLICE, change=None):
    words = KnownWords(PROFILE.words)
    words.add_header(data)
    scope = patient_scope(SiteKey(bytes(range(32))), Identified(""), Identified(PATIENT))
    result = Engine(PROFILE).deidentify(data, scope, words)
    assert isinstance(result, Staged), result
    payload = result.payload() if change is None else Changed(change(result.to_bytes()))
    harvest = Harvest()
    harvest.add_header(data, REF)
    harvest.add_text(Identified("Whitcombe_scans"))
    gate = Gate(PROFILE.allow_list(), harvest.build(PROFILE.words), PROFILE.find_identifiers, dates="modified")
    return gate.certify(REF, payload), gate


def is_held(result):
    return isinstance(result, Rejection) and result.outcome is Outcome.HELD


def test_unbroken_it_passes():
    assert isinstance(outcome()[0], Certified)
    assert isinstance(outcome(JPEG)[0], Certified)


def keeping(monkeypatch, match):
    """Break the plan: what matches is kept as it is."""
    right = InstancePlan.rule

    def rule(self, path, tag, vr, creator=None):
        return Rule(Action.KEEP) if match(path, tag, vr, creator) else right(self, path, tag, vr, creator)

    monkeypatch.setattr(InstancePlan, "rule", rule)


TAGS = """
    PatientName PatientID PatientBirthDate OtherPatientIDs OtherPatientNames PatientBirthName PatientAddress
    PatientTelephoneNumbers PatientComments AdditionalPatientHistory AccessionNumber StudyID InstitutionName
    InstitutionAddress StationName DeviceSerialNumber ReferringPhysicianName OperatorsName PerformingPhysicianName
    StudyDate AcquisitionDateTime ContentDate StudyInstanceUID FrameOfReferenceUID DeviceUID StudyDescription
    SeriesDescription ProtocolName ImageComments DerivationDescription CurrentPatientLocation AdmissionID
    OriginalAttributesSequence RequestAttributesSequence PersonName IssuerOfPatientID PatientAge Occupation
    SoftwareVersions ContrastBolusAgent TimezoneOffsetFromUTC DateOfLastCalibration
""".split()


@pytest.mark.parametrize("keyword", TAGS)
def test_a_tag_forgotten_is_held(keyword, monkeypatch):
    tag = tag_for_keyword(keyword)
    # A name nested in items is nowhere at the top; all others must be there, or nothing would be forgotten.
    assert tag in pydicom.dcmread(io.BytesIO(SLICE)) or keyword == "PersonName"
    keeping(monkeypatch, lambda path, found, vr, creator: found == tag or tag in path)
    assert is_held(outcome()[0])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_depth_forgotten_is_held(depth, monkeypatch):
    keeping(monkeypatch, lambda path, tag, vr, creator: len(path) >= depth or vr == "SQ")
    assert is_held(outcome()[0])


@pytest.mark.parametrize("vr", ["PN", "LO", "SH", "LT", "ST", "DA", "DT", "UI", "AE"])
def test_a_vr_forgotten_is_held(vr, monkeypatch):
    keeping(monkeypatch, lambda path, tag, found, creator: found == vr)
    assert is_held(outcome()[0])


@pytest.mark.parametrize("creator", ["GEMS_IDEN_01", "ARCHIVE 1.0", "SIEMENS CSA HEADER", "ARCHIVE INNER"])
def test_a_creator_forgotten_is_held(creator, monkeypatch):
    keeping(
        monkeypatch, lambda path, tag, vr, found: found == creator or (tag >> 16 & 1 and vr == "SQ") or (path and found)
    )
    assert is_held(outcome()[0])


@pytest.mark.parametrize("group", [0x6000, 0x0088, 0x0400])
def test_a_group_forgotten_is_held(group, monkeypatch):
    keeping(monkeypatch, lambda path, tag, vr, creator: tag >> 16 == group or any(each >> 16 == group for each in path))
    assert is_held(outcome()[0])


def same(_self, text, *_args, **_more):
    return text


FAULTS = {
    "free text is not cleaned": (Descriptors, "clean", same),
    "dates are not shifted": (values, "shifted", lambda text, vr, days: text),
    "UIDs are not replaced": (PatientScope, "_uid", same),
    "every UID is taken for a registered one": (values, "is_registered", lambda uid: True),
    "flags are not written": (engine._Instance, "_write", lambda self, kept, codes: None),
    "the bits above are not cleared": (frames, "_cleared", lambda block, layout: block),
    "file meta is not written": (Staged, "_file_meta", lambda self: b""),
    "group lengths are wrong": (staged, "IMPLEMENTATION_VERSION", "ZZ OF SOMEBODY"),
    "the implementation is another": (staged, "IMPLEMENTATION_CLASS_UID", "1.2.826.0.1.3680043.8.498.1"),
}


@pytest.mark.parametrize(("where", "name", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_part_is_held(where, name, fault, monkeypatch):
    monkeypatch.setattr(where, name, fault)
    assert is_held(outcome()[0])


def test_names_in_coded_strings_are_held(monkeypatch):
    monkeypatch.setattr(CodedTerms, "cleaned", same)
    monkeypatch.setattr(Named, "somebody", lambda *_: False)
    dataset = pydicom.dcmread(io.BytesIO(SLICE))
    dataset.BodyPartExamined = str(dataset.PatientName).split("^")[1].upper().replace("Â", "A")[:16]
    assert is_held(outcome(written(dataset))[0])


def test_a_comment_segment_that_stays_is_held(monkeypatch):
    monkeypatch.setattr(frames, "clean_jpeg", lambda frame, layout, *, jpeg_ls: ([frame], 8))
    result, _ = outcome(JPEG)
    assert is_held(result)


PIECES = {
    "the input's preamble": lambda out: SLICE[:128] + out[128:],
    "bytes behind the pixels": lambda out: out + b"JONES^MARY",
    "the input itself": lambda out: SLICE,
    "nothing": lambda out: b"",
    "a character set that is not its own": lambda out: out.replace(b"Thorax", b"Th\xf6rax", 1),
}


@pytest.mark.parametrize("change", PIECES.values(), ids=PIECES.keys())
def test_a_wrong_file_is_held(change):
    assert is_held(outcome(change=change)[0])


def test_names_in_file_names_and_clinical_text_are_held():
    _, gate = outcome()
    family = str(pydicom.dcmread(io.BytesIO(SLICE)).PatientName).split("^")[0]
    assert gate.check_text("file name", f"{family}_0001.dcm".encode())
    assert gate.check_text("file name", b"whitcombe/0001.dcm")
    assert gate.check_text("clinical.json", f'{{"notes": "seen by {family}"}}'.encode())
    assert gate.check_text("clinical.json", b'{"notes": "NHS 943 476 5919"}')
    assert not gate.check_text("clinical.json", b'{"notes": "cough"}')
