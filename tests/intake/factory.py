"""Small DICOM files made from code, nobody in them real."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

if TYPE_CHECKING:
    from pathlib import Path

CT = "1.2.840.10008.5.1.4.1.1.2"
CR = "1.2.840.10008.5.1.4.1.1.1"
ROOT = "1.2.826.0.1.3680043.10.1"


def dataset(
    number: int = 1, *, study: str = "1", series: str = "1", sop_class: str = CT, side: int = 16, **attributes
) -> Dataset:
    """Return a slice; attributes override, and None removes."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.SOPClassUID = sop_class
    made.SOPInstanceUID = f"{ROOT}.{study}.{series}.{number}"
    made.StudyDate = "20200403"
    made.StudyTime = "101112"
    made.Modality = "CR" if sop_class == CR else "CT"
    made.StudyDescription = "CT chest"
    made.SeriesDescription = "Lung 1.0"
    made.PatientName = "Example^Erika"
    made.PatientID = "ABC12345"
    made.PatientBirthDate = "19500101"
    made.PatientSex = "F"
    made.BodyPartExamined = "CHEST"
    made.StudyInstanceUID = f"{ROOT}.{study}"
    made.SeriesInstanceUID = f"{ROOT}.{study}.{series}"
    made.SeriesNumber = series
    made.InstanceNumber = str(number)
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.Rows = made.Columns = side
    made.BitsAllocated = 16
    made.BitsStored = 12
    made.HighBit = 11
    made.PixelRepresentation = 0
    made.PixelData = bytes((number + place) % 251 if place % 2 == 0 else 3 for place in range(side * side * 2))
    for keyword, value in attributes.items():
        if value is None:
            del made[keyword]
        else:
            setattr(made, keyword, value)
    return made


def encode(made: Dataset, syntax: str = ExplicitVRLittleEndian, *, part10: bool = True) -> bytes:
    """Return a data set as a file; without ``part10`` with neither preamble nor file meta."""
    syntax = UID(syntax)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = made.get("SOPClassUID") or "1.2.3"
    meta.MediaStorageSOPInstanceUID = made.get("SOPInstanceUID") or "1.2.3"
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = ROOT
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if part10:
            made.file_meta = meta
            made.save_as(written, enforce_file_format=True, implicit_vr=None, little_endian=None)
            del made.file_meta
        else:
            made.save_as(written, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return written.getvalue()


def put(path: Path, made: Dataset | bytes, syntax: str = ExplicitVRLittleEndian) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made if isinstance(made, bytes) else encode(made, syntax))
    return path
