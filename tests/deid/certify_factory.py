"""Inputs with an identity, and outputs as the engine makes them, for the tests of the final check."""

from __future__ import annotations

import hashlib
import io
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from bsti_submit.model import Allowed, AllowList, Form, InstanceRef

REF = InstanceRef(1)
CT = "1.2.840.10008.5.1.4.1.1.2"


def uid(*parts: object) -> str:
    return "2.25." + str(int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:16], "big"))


@dataclass
class BytesPayload:
    data: bytes
    chunk: int = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        step = self.chunk or max(len(self.data), 1)
        for start in range(0, len(self.data), step):
            yield self.data[start : start + step]


def national(text: str) -> Iterable[tuple[str, int, int]]:
    """Stand in for the national patterns: NHS numbers by shape, and e-mail addresses."""
    for match in re.finditer(r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b", text):
        digits = [int(character) for character in match.group() if character.isdigit()]
        if 11 - sum(d * (10 - i) for i, d in enumerate(digits[:9])) % 11 == (digits[9] or 11):
            yield "nhs-number", match.start(), match.end()
    for match in re.finditer(r"[\w.]+@[\w.]+\.\w+", text):
        yield "email", match.start(), match.end()


@dataclass
class Person:
    name: str = "Smithson^Jöhn^Edward^Dr"
    patient_id: str = "943 476 5919"
    birth_date: str = "19501224"
    study_date: str = "20200315"
    accession: str = "ACC-0098123"
    referrer: str = "Okonkwo^Adaeze"
    operator: str = "Bramwell^Tess"
    institution: str = "Northwick Royal Infirmary"
    address: str = "12 Larkspur Crescent, Exham"
    department: str = "Imaging Suite Ravenglass"
    station: str = "CTAWP73921"
    serial: str = "73921"
    study_uid: str = "1.2.826.0.1.3680043.9.7133.1.2020031509.77"
    charset: str = "ISO_IR 100"
    extra: dict[str, object] = field(default_factory=dict)


def input_dataset(person: Person, number: int = 1) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CT
    meta.MediaStorageSOPInstanceUID = f"{person.study_uid}.1.{number}"
    meta.ImplementationClassUID = "1.2.826.0.1.3680043.8.498.1"
    meta.SourceApplicationEntityTitle = "RAVENGLASS_AE"
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = person.charset
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = person.study_date
    ds.AcquisitionDateTime = f"{person.study_date}101530.123000+0000"
    ds.StudyTime = "101530"
    ds.AccessionNumber = person.accession
    ds.Modality = "CT"
    ds.Manufacturer = "SIEMENS"
    ds.InstitutionName = person.institution
    ds.InstitutionAddress = person.address
    ds.InstitutionalDepartmentName = person.department
    ds.StationName = person.station
    ds.ReferringPhysicianName = person.referrer
    ds.OperatorsName = person.operator
    ds.StudyDescription = "CT chest"
    ds.PatientName = person.name
    ds.PatientID = person.patient_id
    ds.PatientBirthDate = person.birth_date
    ds.OtherPatientIDs = "RWX1187204"
    ds.PatientTelephoneNumbers = "01632 960 983"
    ds.DeviceSerialNumber = person.serial
    ds.StudyInstanceUID = person.study_uid
    ds.SeriesInstanceUID = f"{person.study_uid}.1"
    ds.FrameOfReferenceUID = f"{person.study_uid}.9"
    ds.StudyID = "884213"
    request = Dataset()
    request.RequestedProcedureID = "RP550771"
    request.RequestingPhysician = "Vandersteen^Ilse"
    ds.RequestAttributesSequence = Sequence([request])
    for keyword, value in person.extra.items():
        setattr(ds, keyword, value)
    return ds


def to_bytes(ds: FileDataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def input_header(person: Person, number: int = 1) -> bytes:
    return to_bytes(input_dataset(person, number))


def _forms(*forms: Form, literals: Iterable[str] = ()) -> Allowed:
    return Allowed(frozenset(forms), frozenset(literals))


_LIST: dict[str, Allowed] = {
    **dict.fromkeys(
        """SpecificCharacterSet ImageType StudyTime SeriesTime AcquisitionTime ContentTime Modality Manufacturer
        ManufacturerModelName SoftwareVersions ScanOptions SliceThickness KVP DataCollectionDiameter
        ReconstructionDiameter DistanceSourceToDetector DistanceSourceToPatient GantryDetectorTilt TableHeight
        RotationDirection ExposureTime XRayTubeCurrent Exposure FilterType GeneratorPower FocalSpots ConvolutionKernel
        PatientPosition SingleCollimationWidth TotalCollimationWidth TableSpeed SpiralPitchFactor CTDIvol SeriesNumber
        AcquisitionNumber InstanceNumber ImagePositionPatient ImageOrientationPatient SliceLocation SamplesPerPixel
        PhotometricInterpretation Rows Columns PixelSpacing BitsAllocated BitsStored HighBit PixelRepresentation
        SmallestImagePixelValue LargestImagePixelValue WindowCenter WindowWidth RescaleIntercept RescaleSlope
        RescaleType WindowCenterWidthExplanation CodeValue CodingSchemeDesignator CodeMeaning BodyPartExamined
        BurnedInAnnotation NumberOfFrames LossyImageCompression TableTraverseDirection ReferencedSOPClassUID
        RedPaletteColorLookupTableData LUTData CodingSchemeVersion PlanarConfiguration""".split(),
        _forms(Form.KEEP),
    ),
    **dict.fromkeys(
        """StudyDescription SeriesDescription ProtocolName ImageComments DerivationDescription ContrastBolusAgent
        RequestedProcedureDescription PatientComments AdditionalPatientHistory""".split(),
        _forms(Form.TEXT),
    ),
    **dict.fromkeys(
        """StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID ReferencedSOPInstanceUID SOPClassUID
        IrradiationEventUID""".split(),
        _forms(Form.UID),
    ),
    **dict.fromkeys(
        "StudyDate SeriesDate AcquisitionDate ContentDate AcquisitionDateTime".split(),
        _forms(Form.DATE, Form.EMPTY),
    ),
    **dict.fromkeys(
        "ReferringPhysicianName PatientBirthDate PatientSex AccessionNumber StudyID".split(),
        _forms(Form.EMPTY),
    ),
    **dict.fromkeys("PatientName PatientID".split(), _forms(Form.PSEUDONYM)),
    "InstitutionName": _forms(Form.DUMMY),
    **dict.fromkeys(
        "ReferencedImageSequence ProcedureCodeSequence RequestAttributesSequence ReferencedStudySequence".split(),
        _forms(Form.SEQUENCE),
    ),
    "DeidentificationMethodCodeSequence": _forms(Form.SEQUENCE),
    "PatientIdentityRemoved": _forms(Form.LITERAL, literals=["YES"]),
    "DeidentificationMethod": _forms(Form.LITERAL, literals=["bsti-default 1.0"]),
    "LongitudinalTemporalInformationModified": _forms(Form.LITERAL, literals=["MODIFIED"]),
    "PixelData": _forms(Form.PIXELS),
}
ALLOW_LIST = AllowList(
    "bsti-default",
    "1.0",
    "0" * 64,
    {tag_for_keyword(keyword) or 0: allowed for keyword, allowed in _LIST.items()},
)


def item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def output_dataset(
    number: int = 1, seed: int = 0, *, size: int = 16, syntax: str = ExplicitVRLittleEndian
) -> FileDataset:
    rng = random.Random(seed * 100_003 + number)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = CT
    meta.MediaStorageSOPInstanceUID = uid(seed, "instance", number)
    meta.ImplementationClassUID = uid("implementation")
    meta.ImplementationVersionName = "BSTI_SUBMIT_1"
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    shift = 19980101 + rng.randrange(12) * 100 + rng.randrange(28)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = str(19980101 + seed % 12 * 100 + seed % 28)
    ds.AcquisitionDateTime = f"{shift}1015{number % 60:02}.{rng.randrange(1000):03}000"
    ds.StudyTime = ds.SeriesTime = "101530"
    ds.AcquisitionTime = ds.ContentTime = f"1015{number % 60:02}.{rng.randrange(10**6):06}"
    ds.AccessionNumber = ""
    ds.Modality = "CT"
    ds.Manufacturer = rng.choice(["SIEMENS", "GE MEDICAL SYSTEMS", "Philips", "Canon Medical Systems"])
    ds.InstitutionName = "REMOVED"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = rng.choice(["CT chest", "CT chest with contrast", "HRCT thorax", "CTPA"])
    ds.SeriesDescription = rng.choice(
        ["Lung 1.0 B60f", "Mediastinum 3.0 I30f", "Axial 1.25mm", "Coronal MPR", "Low dose"]
    )
    ds.ManufacturerModelName = rng.choice(["SOMATOM Force", "Revolution CT", "iCT 256", "Aquilion ONE"])
    ds.ReferencedImageSequence = Sequence(
        [item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=uid(seed, "ref", k)) for k in range(2)]
    )
    ds.PatientName = ds.PatientID = "BSTI-ABCDEFGHIJKLMNOP"
    ds.PatientBirthDate = ""
    ds.PatientSex = ""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "bsti-default 1.0"
    ds.DeidentificationMethodCodeSequence = Sequence(
        [
            item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning=meaning)
            for code, meaning in (
                ("113100", "Basic Application Confidentiality Profile"),
                ("113105", "Clean Descriptors Option"),
                ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
            )
        ]
    )
    ds.LongitudinalTemporalInformationModified = "MODIFIED"
    ds.BodyPartExamined = "CHEST"
    ds.ScanOptions = "HELICAL MODE"
    ds.SliceThickness = "1.25"
    ds.KVP = "120"
    ds.SoftwareVersions = rng.choice(["syngo CT VA50A", "gmp_vct.42", "4.1.6.17001"])
    ds.ProtocolName = "Thorax routine"
    ds.ReconstructionDiameter = f"{rng.uniform(300, 500):.6f}"
    ds.ExposureTime = str(rng.randrange(300, 999))
    ds.XRayTubeCurrent = str(rng.randrange(50, 700))
    ds.ConvolutionKernel = rng.choice(["B60f", "LUNG", "I30f"])
    ds.PatientPosition = "FFS"
    ds.CTDIvol = rng.random() * 20
    ds.StudyInstanceUID = uid(seed, "study")
    ds.SeriesInstanceUID = uid(seed, "series")
    ds.StudyID = ""
    ds.SeriesNumber = "3"
    ds.AcquisitionNumber = "2"
    ds.InstanceNumber = str(number)
    ds.ImagePositionPatient = [f"{rng.uniform(-250, 250):.7f}"[:16] for _ in range(3)]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.FrameOfReferenceUID = uid(seed, "frame")
    ds.SliceLocation = f"{rng.uniform(-900, 900):.6f}"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = size
    ds.PixelSpacing = ["0.9765625", "0.9765625"]
    ds.BitsAllocated = 16
    ds.BitsStored = 12
    ds.HighBit = 11
    ds.PixelRepresentation = 0
    ds.WindowCenter = ["-600", "40"]
    ds.WindowWidth = ["1500", "400"]
    ds.WindowCenterWidthExplanation = ["WINDOW1", "WINDOW2"]
    ds.RescaleIntercept = "-1024"
    ds.RescaleSlope = "1"
    ds.PixelData = np.random.default_rng(number).integers(0, 4096, size * size).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def output_bytes(number: int = 1, seed: int = 0, **options: object) -> bytes:
    return to_bytes(output_dataset(number, seed, **options))  # type: ignore[arg-type]
