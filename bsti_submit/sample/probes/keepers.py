"""What an image must keep to be of use, by kind: the other half of what a profile is judged by."""

from __future__ import annotations

from typing import Final

DESCRIPTIONS: Final = tuple(
    """
    CT CHEST W/O CE|Thorax  1.0  B70f|ThorRoutine  3.0  B50f|LUNG 1.25|Recon 2: CHEST|CTPA 1.0 I26f 3|SAG LUNG|MIP 10x2|
    Hodgkin lymphoma follow up|HRCT EXP|PRONE HR|Topogram  0.6  T20f|Lunge|Weichteil|THORAX SANS INJECTION|TORAX|
    Thorax^01_Thorax_Routine (Adult)|PORTABLE CHEST|Chest a.p. bedside|AP SUPINE MOBILE RESUS|W Chest P.A.|CXR|
    CT Thorax with contrast|CT Chest High resolution|CT Low dose lung screening|Covid protocol|Chest 1.25mm recon|
    Lung window|Bone window|COR 3X3|ECG gated|Vol. Lung 1.0 CE|Thorax 1.0 Br36|?PE|NG tube position|post intubation|
    3 month follow up|Lung cancer staging|pulmonary fibrosis|CT Chest/Abdo/Pelvis|Dose Record|ASIR-V 50%|AIDR3D STD|
    Monoenergetic Plus 55 keV|Expiratory|Semi-erect AP|Lateral decubitus|Soft tissue 3mm|BONEPLUS|Chest high kV
    """.replace("\n", "").split("|")
)
DESCRIPTION_PLACES: Final = ("SeriesDescription", "StudyDescription", "ProtocolName", "RequestedProcedureDescription")
EQUIPMENT: Final = {
    "Manufacturer": ("SIEMENS", "GE MEDICAL SYSTEMS", "Philips", "TOSHIBA", "Canon Inc.", "FUJIFILM Corporation"),
    "ManufacturerModelName": ("SOMATOM Definition AS+", "Revolution CT", "iCT 256", "Aquilion ONE", "DRX-Evolution"),
    "SoftwareVersions": ("syngo CT VA48A", "gmp_vct.42", "4.1.6.17001", "V10.11ER003"),
    "ConvolutionKernel": ("B60f", "BONEPLUS", "FC51", "Br40d", "LUNG", "YA"),
    "FilterType": ("WEDGE_3", "BODY FILTER", "FLAT"),
    "ContrastBolusAgent": ("OMNIPAQUE 350", "Iomeron 400", "CE"),
    "DetectorType": ("SCINTILLATOR", "DIRECT"),
}
ACQUISITION: Final = {
    "BodyPartExamined": ("CHEST", "THORAX", "LUNG"),
    "ViewPosition": ("PA", "AP", "LL"),
    "ImageLaterality": ("L", "U"),
    "PatientPosition": ("FFS", "HFP"),
    "ScanOptions": ("HELICAL MODE", "HELIX"),
    "ExposureModulationType": ("Z_EC", "NONE"),
    "RotationDirection": ("CW", "CC"),
    "PresentationIntentType": ("FOR PRESENTATION",),
    "LossyImageCompression": ("00",),
    "RescaleType": ("HU",),
}
MEASURES: Final[dict[str, object]] = {
    "SliceThickness": "1.25",
    "KVP": "120",
    "ReconstructionDiameter": "360.5",
    "DistanceSourceToDetector": "1085.6",
    "GantryDetectorTilt": "-0.5",
    "ExposureTime": "500",
    "XRayTubeCurrent": "143",
    "Exposure": "51",
    "ExposureInuAs": "51000",
    "FocalSpots": "1.2",
    "SpiralPitchFactor": 1.2,
    "TotalCollimationWidth": 38.4,
    "CTDIvol": 3.4123,
    "ImagePositionPatient": ["-180.12345", "-322.0", "1.5"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "SliceLocation": "-345.25",
    "PixelSpacing": ["0.703125", "0.703125"],
    "WindowCenter": ["-600", "40"],
    "WindowWidth": ["1500", "400"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "InstanceNumber": "12",
    "SeriesNumber": "301",
    "ExposureIndex": "412",
    "ContrastBolusVolume": "100",
    "SmallestImagePixelValue": 0,
    "DataCollectionCenterPatient": [0.0, -142.123456, -180.0],
}
