"""The objects of the sample study: CT slices, a radiograph, and what a profile must leave out."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from bsti_submit.sample.header import (
    CT_IMAGE,
    DOSE_REPORT,
    DX_IMAGE,
    PRIOR_DATE,
    SECONDARY_CAPTURE,
    STUDY_DATE,
    Header,
    Person,
    code,
    item,
)
from bsti_submit.sample.phantom import LungPhantom, radiograph, stamp_text

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

    from bsti_submit.sample.markers import Planter

_THICKNESS = 5.0


class StudyWriter:
    """Builds the objects of one study.

    Parameters
    ----------
    plant
        Makes and remembers the markers.
    person
        The patient.
    slices
        Number of CT slices.
    size
        Rows and columns of a CT slice.
    prior
        Whether this is the earlier study.
    """

    def __init__(self, plant: Planter, person: Person, *, slices: int, size: int = 512, prior: bool = False) -> None:
        self.plant = plant
        self.person = person
        self.slices = slices
        self.header = Header(plant, person, PRIOR_DATE if prior else STUDY_DATE, 2 if prior else 1)
        self.phantom = LungPhantom(slices, plant.seed + (1 if prior else 0), size)

    @cached_property
    def _ct_base(self) -> Dataset:
        """What all slices share. Each slice holds the same element objects, which nothing changes."""
        header, word = self.header, self.plant.word
        values: dict[str, object] = {
            "SpecificCharacterSet": "ISO_IR 100",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
            "SOPClassUID": CT_IMAGE,
            "Modality": "CT",
            "InstanceCreatorUID": header.uid("7", "InstanceCreatorUID"),
            "InstanceCreationDate": header.date,
            "InstanceCreationTime": "094503",
            **header.study("CT chest"),
            **header.patient(),
            **header.equipment(),
            "SeriesInstanceUID": header.uid("8", "SeriesInstanceUID of the CT"),
            "FrameOfReferenceUID": header.uid("10", "FrameOfReferenceUID"),
            "SynchronizationFrameOfReferenceUID": header.uid("11", "SynchronizationFrameOfReferenceUID"),
            "SeriesNumber": 2,
            "AcquisitionNumber": 2,
            "SeriesDescription": f"Thorax  5.0  B60f ref Dr {word('SERIESDESC', 'SeriesDescription')}",
            "ProtocolName": f"Thorax_Routine_{word('PROTOCOL', 'ProtocolName')}",
            "BodyPartExamined": "CHEST",
            "AnatomicRegionSequence": code("51185008", "SCT", f"Chest {word('REGIONCODE', 'AnatomicRegionSequence')}"),
            "PatientPosition": "HFS",
            "PositionReferenceIndicator": word("POSREF", "PositionReferenceIndicator"),
            "ScanOptions": "HELICAL MODE",
            "SliceThickness": str(_THICKNESS),
            "KVP": "120",
            "DataCollectionDiameter": "500",
            "ReconstructionDiameter": "360",
            "DistanceSourceToDetector": "1085.6",
            "DistanceSourceToPatient": "595",
            "GantryDetectorTilt": "0",
            "TableHeight": "142",
            "RotationDirection": "CW",
            "ExposureTime": "500",
            "XRayTubeCurrent": "143",
            "Exposure": "51",
            "ExposureInuAs": 51000,
            "FilterType": "FLAT",
            "GeneratorPower": "17",
            "FocalSpots": "1.2",
            "ConvolutionKernel": ["B60f", "3"],
            "RevolutionTime": 0.5,
            "SingleCollimationWidth": 0.6,
            "TotalCollimationWidth": 38.4,
            "TableSpeed": 92.0,
            "TableFeedPerRotation": 46.0,
            "SpiralPitchFactor": 1.2,
            "DataCollectionCenterPatient": [0.0, -142.0, -180.0],
            "ReconstructionTargetCenterPatient": [0.0, -142.0, -180.0],
            "ExposureModulationType": "XYZ_EC",
            "EstimatedDoseSaving": 31.0,
            "CTDIvol": 3.4,
            "CTDIPhantomTypeCodeSequence": code("113691", "DCM", "IEC Body Dosimetry Phantom"),
            "CalciumScoringMassFactorDevice": [0.7, 0.72, 0.75],
            "ContrastBolusAgent": f"Omnipaque 300, given by {word('CONTRAST', 'ContrastBolusAgent')}",
            "ContrastBolusAgentSequence": code(
                "109219008", "SCT", f"Iohexol {word('AGENTCODE', 'ContrastBolusAgentSequence')}"
            ),
            "ContrastBolusRoute": f"IV, {word('ROUTE', 'ContrastBolusRoute')}",
            "ContrastBolusVolume": "100",
            "ContrastFlowRate": "3",
            "ContrastBolusStartTime": "094420",
            "AcquisitionProtocolDescription": "Chest routine " + word("ACQPROT", "AcquisitionProtocolDescription"),
            "AcquisitionDeviceProcessingDescription": "Standard "
            + word("PROCESSING", "AcquisitionDeviceProcessingDescription"),
            "DerivationDescription": f"Copied for {word('DERIVATION', 'DerivationDescription')}",
            "ImageComments": f"Moved; Mrs {word('COMMENTS', 'ImageComments')}, ward 7, born "
            + self.plant.plant("12/03/1947", "ImageComments (date of birth)"),
            "WindowCenter": ["-600", "40"],
            "WindowWidth": ["1200", "400"],
            "WindowCenterWidthExplanation": ["LUNG", word("WINDOW", "WindowCenterWidthExplanation")],
            "RescaleIntercept": "-1024",
            "RescaleSlope": "1",
            "RescaleType": "HU",
            "RequestedProcedurePriority": "ROUTINE",
            "PerformedProcedureTypeDescription": word("TYPEDESC", "PerformedProcedureTypeDescription"),
            "CommentsOnTheScheduledProcedureStep": "Ring " + word("SCHEDCOMM", "CommentsOnTheScheduledProcedureStep"),
            "FrameOfReferenceTransformationComment": word("FRAMECOMM", "FrameOfReferenceTransformationComment"),
            "ReferencedImageSequence": {
                "ReferencedSOPClassUID": CT_IMAGE,
                "ReferencedSOPInstanceUID": header.uid("12", "ReferencedImageSequence (localizer)"),
            },
            "SourceImageSequence": {
                "ReferencedSOPClassUID": CT_IMAGE,
                "ReferencedSOPInstanceUID": header.uid("13", "SourceImageSequence"),
                "PurposeOfReferenceCodeSequence": code("121322", "DCM", "Source image for image processing operation"),
            },
            "PatientOrientation": ["L", "P"],
            "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
            "PixelSpacing": ["0.703125", "0.703125"],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": self.phantom.size,
            "Columns": self.phantom.size,
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
            "SmallestImagePixelValue": 0,
            "LargestImagePixelValue": 4095,
            "LossyImageCompression": "00",
            "BurnedInAnnotation": "NO",
            "IssueDateOfImagingServiceRequest": header.date,
            "ImagingServiceRequestComments": f"From {word('REQCOMM', 'ImagingServiceRequestComments')}",
            "PlacerOrderNumberImagingServiceRequest": self.plant.digits(
                8, "PlacerOrderNumberImagingServiceRequest", "PO"
            ),
            "FillerOrderNumberImagingServiceRequest": self.plant.digits(
                8, "FillerOrderNumberImagingServiceRequest", "FO"
            ),
            "OrderEnteredBy": f"{word('ORDERER', 'OrderEnteredBy')}^E",
            "OrderCallbackPhoneNumber": self.plant.plant("01632 960917", "OrderCallbackPhoneNumber"),
        }
        base = item(values)
        self._overlay(base)
        base.IconImageSequence = [self._icon()]
        header.private(base)
        base.add_new(0xFFFCFFFC, "OB", word("PADDING", "DataSetTrailingPadding").encode().ljust(64, b"\x00"))
        return base

    def _overlay(self, base: Dataset) -> None:
        """Add a graphic overlay with the patient's name drawn into it and text in its label and comments."""
        word, side = self.plant.word, self.phantom.size
        plane = np.zeros((side, side), np.uint8)
        stamp_text(plane, (self.person.family, self.person.given), 1)
        base.add_new(0x60000010, "US", side)
        base.add_new(0x60000011, "US", side)
        base.add_new(0x60000015, "IS", 1)
        base.add_new(0x60000022, "LO", f"Drawn by {word('OVERLAYDESC', 'OverlayDescription')}")
        base.add_new(0x60000040, "CS", "G")
        base.add_new(0x60000050, "SS", [1, 1])
        base.add_new(0x60000100, "US", 1)
        base.add_new(0x60000102, "US", 0)
        base.add_new(0x60001500, "LO", word("OVERLABEL", "OverlayLabel"))
        base.add_new(0x60003000, "OW", np.packbits(plane, bitorder="little").tobytes())
        base.add_new(0x60004000, "LT", word("OVERLAYCOMM", "OverlayComments"))

    def _icon(self) -> Dataset:
        icon = np.zeros((64, 64), np.uint8)
        stamp_text(icon, (self.person.family,), 255, height=9)
        return item(
            {
                "SamplesPerPixel": 1,
                "PhotometricInterpretation": "MONOCHROME2",
                "Rows": 64,
                "Columns": 64,
                "BitsAllocated": 8,
                "BitsStored": 8,
                "HighBit": 7,
                "PixelRepresentation": 0,
                "PixelData": icon.tobytes(),
            }
        )

    def ct_slice(self, index: int, syntax: str = ExplicitVRLittleEndian) -> FileDataset:
        """Return slice `index` of the CT, counted from 0 at the top of the lungs."""
        dataset = Dataset()
        dataset.update(self._ct_base)
        where = -_THICKNESS * index
        dataset.SOPInstanceUID = self.header.uid(f"14.{index + 1001}", "SOPInstanceUID of a CT slice")
        dataset.InstanceNumber = index + 1
        dataset.ImagePositionPatient = ["-180", "-322", str(where)]
        dataset.SliceLocation = str(where)
        dataset.TablePosition = float(where)
        pixels = self.phantom.slice(index)
        if index == 0:  # an old-style overlay, hidden in the bits above BitsStored
            letters = np.zeros(pixels.shape, np.uint8)
            stamp_text(letters, (self.person.family,), 1)
            pixels |= letters.astype(np.uint16) << np.uint16(12)
        dataset.PixelData = pixels.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        return self.header.file(dataset, syntax)

    def radiograph(self, *, burned_in_name: bool = True, rows: int = 1280, columns: int = 1056) -> FileDataset:
        """Return a portable chest radiograph. Its header denies the text that is burned into the picture."""
        header, word = self.header, self.plant.word
        lines: tuple[str, ...] = ("PORTABLE ERECT",)
        if burned_in_name:
            lines += (f"{self.person.family} {self.person.given}", "12/03/1947")
        values: dict[str, object] = {
            "SpecificCharacterSet": "ISO_IR 192",
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "SOPClassUID": DX_IMAGE,
            "SOPInstanceUID": header.uid("15", "SOPInstanceUID of the radiograph"),
            "Modality": "DX",
            "PresentationIntentType": "FOR PRESENTATION",
            **header.study("Chest"),
            **header.patient(),
            **header.equipment(),
            "StudyDescription": "CHEST PA/AP PORTABLE " + word("DXSTUDY", "StudyDescription of the radiograph"),
            "ContentTime": "081502",
            "AcquisitionTime": "081500",
            "SeriesTime": "081455",
            "Manufacturer": "FUJIFILM Corporation",
            "ManufacturerModelName": "FDR Go",
            "SeriesInstanceUID": header.uid("16", "SeriesInstanceUID of the radiograph"),
            "SeriesNumber": 1,
            "InstanceNumber": 1,
            "SeriesDescription": "AP PORTABLE ERECT " + word("DXSERIES", "SeriesDescription of the radiograph"),
            "ProtocolName": "CHEST AP",
            "BodyPartExamined": "CHEST",
            "ViewPosition": "AP",
            "ViewCodeSequence": code("399348003", "SCT", "antero-posterior"),
            "AnatomicRegionSequence": code("51185008", "SCT", "Chest"),
            "ImageLaterality": "U",
            "PatientOrientation": ["L", "F"],
            "KVP": "85",
            "Exposure": "2",
            "ExposureTime": "12",
            "DistanceSourceToDetector": "1200",
            "ImagerPixelSpacing": ["0.3", "0.3"],
            "DetectorType": "SCINTILLATOR",
            "DetectorID": self.plant.digits(6, "DetectorID", prefix="D"),
            "DateOfLastDetectorCalibration": self.plant.plant("20210701", "DateOfLastDetectorCalibration"),
            "DetectorDescription": f"Csl panel of {word('DETECTOR', 'DetectorDescription')}",
            "ImageComments": f"Radiographer {word('DXCOMMENTS', 'ImageComments of the radiograph')}",
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": rows,
            "Columns": columns,
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
            "PixelIntensityRelationship": "LOG",
            "PixelIntensityRelationshipSign": -1,
            "RescaleIntercept": "0",
            "RescaleSlope": "1",
            "RescaleType": "US",
            "PresentationLUTShape": "IDENTITY",
            "WindowCenter": "2048",
            "WindowWidth": "4096",
            "LossyImageCompression": "00",
            "BurnedInAnnotation": "NO",
        }
        dataset = item(values)
        header.private(dataset)
        dataset.PixelData = radiograph(self.plant.seed, rows, columns, lines).astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        return header.file(dataset)

    def dose_screen(self) -> FileDataset:
        """Return a secondary capture of the dose screen, which shows the patient's name."""
        header = self.header
        screen = np.zeros((256, 384), np.uint8)
        stamp_text(screen, (f"{self.person.family} {self.person.given}", "Total DLP 211 mGycm"), 255, height=14)
        dataset = item(
            {
                "SpecificCharacterSet": "ISO_IR 100",
                "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"],
                "SOPClassUID": SECONDARY_CAPTURE,
                "SOPInstanceUID": header.uid("17", "SOPInstanceUID of the dose screen"),
                "Modality": "CT",
                "ConversionType": "WSD",
                **header.study("CT chest"),
                **header.patient(),
                "SeriesInstanceUID": header.uid("18", "SeriesInstanceUID of the dose screen"),
                "SeriesNumber": 999,
                "InstanceNumber": 1,
                "SeriesDescription": "Dose Report",
                "SamplesPerPixel": 1,
                "PhotometricInterpretation": "MONOCHROME2",
                "Rows": 256,
                "Columns": 384,
                "BitsAllocated": 8,
                "BitsStored": 8,
                "HighBit": 7,
                "PixelRepresentation": 0,
                "PixelData": screen.tobytes(),
            }
        )
        return header.file(dataset)

    def dose_report(self) -> FileDataset:
        """Return a radiation dose structured report, whose content holds names several levels down."""
        header, word = self.header, self.plant.word
        observer = {
            "RelationshipType": "HAS OBS CONTEXT",
            "ValueType": "PNAME",
            "ConceptNameCodeSequence": code("121008", "DCM", "Person Observer Name"),
            "PersonName": f"{word('OBSERVER', 'dose report (PersonName)')}^O",
        }
        text = {
            "RelationshipType": "CONTAINS",
            "ValueType": "TEXT",
            "ConceptNameCodeSequence": code("121106", "DCM", "Comment"),
            "TextValue": f"Repeat for {word('SRTEXT', 'dose report (TextValue)')}",
        }
        dataset = item(
            {
                "SpecificCharacterSet": "ISO_IR 100",
                "SOPClassUID": DOSE_REPORT,
                "SOPInstanceUID": header.uid("19", "SOPInstanceUID of the dose report"),
                "Modality": "SR",
                **header.study("CT chest"),
                **header.patient(),
                "Manufacturer": "SIEMENS",
                "SeriesInstanceUID": header.uid("20", "SeriesInstanceUID of the dose report"),
                "SeriesNumber": 501,
                "InstanceNumber": 1,
                "CompletionFlag": "COMPLETE",
                "VerificationFlag": "UNVERIFIED",
                "ValueType": "CONTAINER",
                "ConceptNameCodeSequence": code("113701", "DCM", "X-Ray Radiation Dose Report"),
                "ContinuityOfContent": "SEPARATE",
                "ContentSequence": [
                    observer,
                    {
                        "RelationshipType": "CONTAINS",
                        "ValueType": "CONTAINER",
                        "ConceptNameCodeSequence": code("113819", "DCM", "CT Acquisition"),
                        "ContinuityOfContent": "SEPARATE",
                        "ContentSequence": [text],
                    },
                ],
            }
        )
        return header.file(dataset)
