"""Synthetic CT slices, made from code, with an identity planted in many places."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.826.0.1.3680043.9.7133.1.2020031509"


@lru_cache(maxsize=4)
def _pixels(rows: int) -> np.ndarray:
    grid = np.add.outer(np.arange(rows), np.arange(rows))
    return (grid * 7 % 4096).astype("<u2")


def ct_dataset(number: int = 1, rows: int = 512, *, private: bool = True) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CT
    meta.MediaStorageSOPInstanceUID = f"{STUDY}.2.{number}"
    meta.ImplementationClassUID = "1.2.826.0.1.3680043.8.498.1"
    meta.SourceApplicationEntityTitle = "ZQPLANTAE"
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"ZQPLANTPREAMBLE".ljust(128, b"\0"))
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = f"{STUDY}.2.{number}"
    ds.StudyInstanceUID = STUDY
    ds.SeriesInstanceUID = f"{STUDY}.2"
    ds.FrameOfReferenceUID = f"{STUDY}.9"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200315"
    ds.StudyTime = ds.SeriesTime = "101112"
    ds.AcquisitionTime = ds.ContentTime = f"1012{number % 60:02}.250000"
    ds.AcquisitionDateTime = "20200315101112.000000+0100"
    ds.AccessionNumber = "ZQPLANT0001"
    ds.Modality = "CT"
    ds.Manufacturer = "SIEMENS"
    ds.ManufacturerModelName = "SOMATOM Force"
    ds.InstitutionName = "Zqplant Infirmary"
    ds.StationName = "ZQPLANTST"
    ds.ReferringPhysicianName = "Zqplant^Doctor"
    ds.StudyDescription = "CT chest for Zqplant Näme"
    ds.SeriesDescription = "Thorax 1.0 B60f Zqplant"
    ds.PatientName = "Zqplant^Näme"
    ds.PatientID = "ZQPLANT12345"
    ds.PatientBirthDate = "19501224"
    ds.PatientSex = "M"
    ds.PatientAge = "069Y"
    ds.PatientComments = "Zqplant comment"
    ds.BodyPartExamined = "CHEST"
    ds.KVP = "120"
    ds.SliceThickness = "1.0"
    ds.ProtocolName = "Thorax Routine Zqplant"
    ds.ConvolutionKernel = "B60f"
    ds.PatientPosition = "FFS"
    ds.SeriesNumber = "2"
    ds.InstanceNumber = str(number)
    ds.ImagePositionPatient = [-150.0, -150.0, float(number)]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.6, 0.6]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = rows
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope = "-1024", "1"
    ds.WindowCenter, ds.WindowWidth = ["-600", "40"], ["1600", "400"]
    ds.PixelData = _pixels(rows).tobytes()
    referenced = Dataset()
    referenced.ReferencedSOPClassUID = CT
    referenced.ReferencedSOPInstanceUID = f"{STUDY}.2.1"
    request = Dataset()
    request.RequestedProcedureDescription = "CT chest Zqplant"
    request.ScheduledProcedureStepID = "ZQPLANTSPS"
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "121311", "DCM", "Localizer"
    referenced.PurposeOfReferenceCodeSequence = Sequence([purpose])
    ds.ReferencedImageSequence = Sequence([referenced])
    ds.RequestAttributesSequence = Sequence([request])
    if not private:
        return ds
    for group, creator in ((0x0019, "SIEMENS CT VA0"), (0x0021, "ZQPLANT PRIVATE"), (0x0029, "SIEMENS CSA")):
        block = ds.private_block(group, creator, create=True)
        for element in range(40):
            block.add_new(element, "LO", f"Zqplant value {element}")
    for index in range(60):
        ds.add_new(0x00091010 + index, "SH", "ZQPLANT")
    ds.add_new(0x00090010, "LO", "ZQPLANT CREATOR")
    return ds


def written(ds: Dataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def ct_slice(number: int = 1, rows: int = 512) -> bytes:
    return written(ct_dataset(number, rows))
