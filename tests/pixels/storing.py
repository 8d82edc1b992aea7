"""Frames into DICOM files: photometric interpretations, depths, signs, planes, transfer syntaxes, headers."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from tests.pixels.phrases import Person

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "enhanced": "1.2.840.10008.5.1.4.1.1.2.1",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
}
ROOT = "1.2.826.0.1.3680043.10.1469"
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
_BY_GDCM = (JPEGLosslessSV1, JPEG2000Lossless)
GREY_SYNTAXES = (*NATIVE, ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, *_BY_GDCM)
COLOUR_SYNTAXES = (*NATIVE, RLELossless)


@dataclass(frozen=True)
class Layout:
    """How values are stored.

    Attributes
    ----------
    photometric
        Photometric Interpretation.
    offset
        Added to a value before it is stored; Rescale Intercept is its negative.
    shuffle
        Seed of the order of a palette's entries; None for a palette that rises with brightness.
    """

    photometric: str = "MONOCHROME2"
    allocated: int = 16
    stored: int = 12
    signed: bool = False
    planar: int = 0
    syntax: str = ExplicitVRLittleEndian
    offset: int = 0
    shuffle: int | None = None

    @property
    def colour(self) -> bool:
        """Whether there are three samples a pixel."""
        return self.photometric in {"RGB", "YBR_FULL"}

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the greatest value that fits."""
        half = 1 << (self.stored - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)

    def store(self, values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Return stored values, of the same shape, for values that are greater where the picture is brighter."""
        low, high = self.ends
        kept = np.clip(values + self.offset, low, high)
        if self.photometric == "MONOCHROME1":
            return low + high - kept
        if self.photometric == "PALETTE COLOR":
            return self._order()[kept]
        if self.photometric == "YBR_FULL":
            return _ybr(kept)
        return kept

    def window(self, ends: tuple[int, int]) -> tuple[float, float]:
        """Return Window Center and Width for brightnesses from black to white."""
        black, white = (end + self.offset for end in ends)
        if self.photometric == "MONOCHROME1":
            black, white = sum(self.ends) - white, sum(self.ends) - black
        return (black + white + 1) / 2 - self.offset, white - black + 1

    def _order(self) -> npt.NDArray[np.int32]:
        """Return the palette's entry for each brightness."""
        entries = np.arange(256, dtype=np.int32)
        return entries if self.shuffle is None else np.random.default_rng(self.shuffle).permutation(entries)

    def palette(self, dataset: Dataset) -> None:
        """Add the tables of a palette."""
        table = np.zeros(256, "<u2")
        table[self._order()] = np.arange(256) * 257
        for colour in ("Red", "Green", "Blue"):
            setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(dataset, f"{colour}PaletteColorLookupTableData", table.tobytes())


def _ybr(rgb: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return YBR_FULL (PS3.3 C.7.6.3.1.2)."""
    matrix = np.array(((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)))
    made = rgb @ matrix.T + np.array((0, 128, 128))
    return np.clip(np.rint(made), 0, 255).astype(np.int32)


def header(person: Person, modality: str, series: int, number: int) -> Dataset:
    """Return what surrounds the picture; Series Number and Instance Number tell an image of a run from all others."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = CLASSES[modality]
    made.SOPInstanceUID = f"{ROOT}.{series}.2.{number}"
    made.StudyInstanceUID = f"{ROOT}.{series}"
    made.SeriesInstanceUID = f"{ROOT}.{series}.2"
    made.Modality = "CT" if modality == "enhanced" else modality
    made.StudyDate = made.SeriesDate = made.AcquisitionDate = made.ContentDate = f"{person.taken:%Y%m%d}"
    made.StudyTime = made.SeriesTime = made.AcquisitionTime = made.ContentTime = "101112"
    made.AccessionNumber = person.accession
    made.InstitutionName = person.hospital
    made.PatientName = f"{person.family}^{person.given}"
    made.PatientID = person.number
    made.PatientBirthDate = f"{person.born:%Y%m%d}"
    made.PatientSex = person.sex
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = person.nhs_number, "NHS", "TEXT"
    made.OtherPatientIDsSequence = Sequence([other])
    made.ReferringPhysicianName = "Example^Doctor"
    made.Manufacturer = "Example"
    made.BodyPartExamined = "CHEST"
    made.StudyID = "1"
    made.SeriesNumber, made.InstanceNumber, made.AcquisitionNumber = str(series), str(number), "1"
    made.BurnedInAnnotation = "NO"
    made.LossyImageCompression = "00"
    if modality in {"CT", "enhanced"}:
        made.StudyDescription, made.SeriesDescription = "CT chest", "Lung 1.0"
        made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        made.PatientPosition, made.KVP, made.SliceThickness = "FFS", "120", "1.0"
        made.FrameOfReferenceUID = f"{ROOT}.{series}.9"
        made.ImagePositionPatient = [-180, -180, number]
        made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        made.PixelSpacing = [0.7, 0.7]
    else:
        made.StudyDescription = made.SeriesDescription = "Chest"
        made.ImageType = ["ORIGINAL", "PRIMARY"]
        made.ViewPosition, made.KVP, made.ImagerPixelSpacing = "AP", "85", [0.15, 0.15]
        made.PatientOrientation = ["L", "F"]
        if modality == "DX":
            made.PresentationIntentType, made.ImageLaterality = "FOR PRESENTATION", "U"
            made.PixelIntensityRelationship, made.PixelIntensityRelationshipSign = "LOG", -1
            made.PresentationLUTShape = "IDENTITY"
    return made


def fill(dataset: Dataset, values: npt.NDArray[np.int32], layout: Layout, window: tuple[int, int] | None) -> None:
    """Put frames into a data set: their description and their values, not yet coded.

    Parameters
    ----------
    values
        Shape (frames, rows, columns) or (frames, rows, columns, 3), greater where brighter.
    """
    stored = layout.store(values)
    frames, rows, columns = stored.shape[:3]
    dataset.SamplesPerPixel = 3 if layout.colour else 1
    dataset.PhotometricInterpretation = layout.photometric
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = layout.allocated, layout.stored, layout.stored - 1
    dataset.PixelRepresentation = int(layout.signed)
    if frames > 1:
        dataset.NumberOfFrames = frames
    if layout.photometric == "PALETTE COLOR":
        layout.palette(dataset)
    if not layout.colour and layout.photometric != "PALETTE COLOR":
        dataset.RescaleIntercept, dataset.RescaleSlope = str(-layout.offset), "1"
        if window is not None:
            dataset.WindowCenter, dataset.WindowWidth = (f"{value:g}" for value in layout.window(window))
    planar = layout.planar if layout.syntax in NATIVE else 0  # codecs take pixels one by one
    if layout.colour:
        dataset.PlanarConfiguration = planar
    if planar:
        stored = np.moveaxis(stored, -1, 1)
    kind = ("i" if layout.signed else "u") + str(layout.allocated // 8)
    raw = stored.astype(f"<{kind}").tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OW" if layout.allocated > 8 else "OB"


def encode(dataset: Dataset, syntax: str) -> bytes:
    """Return the file, its pixels coded losslessly as the transfer syntax says."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = ROOT
    dataset.file_meta = meta
    if syntax in _BY_GDCM:
        return _by_gdcm(dataset, syntax)
    if syntax == RLELossless:
        # GDCM is quick, and ends the process where a picture has an odd number of columns
        plugin = "gdcm" if dataset.Columns % 2 == 0 and dataset.Rows % 2 == 0 else "pydicom"
        dataset.compress(RLELossless, encoding_plugin=plugin, generate_instance_uid=False)
    elif syntax == JPEGLSLossless:
        dataset.compress(JPEGLSLossless, encoding_plugin="pyjpegls", generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian and dataset.BitsAllocated == 16:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    written = io.BytesIO()
    meta.TransferSyntaxUID = UID(syntax)
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _by_gdcm(dataset: Dataset, syntax: str) -> bytes:
    import gdcm

    known = {
        JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    }
    with tempfile.TemporaryDirectory(prefix="lettering-") as name:
        plain, coded = Path(name) / "plain.dcm", Path(name) / "coded.dcm"
        dataset.save_as(plain, enforce_file_format=True)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(known[UID(syntax)]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(coded))
        assert writer.Write()
        pixels = dcmread(coded).PixelData
    # The header is ours, without what another library adds to it.
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()
