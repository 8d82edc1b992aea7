"""What the final check knows of attributes: their VRs, and which of them identify a person, place or device.

The lists are the final check's own, by keyword of PS3.6; it takes nothing from the recipe or from the plan.
"""

from __future__ import annotations

from enum import IntEnum

from pydicom.datadict import DicomDictionary, keyword_for_tag, tag_for_keyword


class Kind(IntEnum):
    """What a harvested identifier is. The lower, the more it says about the patient."""

    PATIENT_NAME = 0
    IDENTIFIER = 1
    PERSON = 2
    DATE = 3
    UID = 4
    PLACE = 5
    DEVICE = 6
    CONTACT = 7
    PATH = 8
    NATIONAL = 9

    @property
    def word(self) -> str:
        """The kind in lower case, as findings tell it."""
        return self.name.lower().replace("_", "-")


def _tags(keywords: str) -> frozenset[int]:
    found = {keyword: tag_for_keyword(keyword) for keyword in keywords.split()}
    return frozenset(tag for tag in found.values() if tag is not None)


PATIENT_NAMES = _tags("PatientName OtherPatientNames PatientBirthName PatientMotherBirthName ResponsiblePerson")
STRONG_IDENTIFIERS = _tags("PatientID OtherPatientIDs RETIRED_OtherPatientIDs MedicalRecordLocator")
"""Compared from four characters on; the others from six."""
IDENTIFIERS = STRONG_IDENTIFIERS | _tags(
    "AccessionNumber StudyID RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID AdmissionID "
    "ServiceEpisodeID PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest "
    "PlacerOrderNumberProcedure FillerOrderNumberProcedure InsurancePlanIdentification OperatorIdentification "
    "ClinicalTrialSubjectID ClinicalTrialSubjectReadingID SpecimenIdentifier ContainerIdentifier "
    "SpecimenAccessionNumber ReferencedAccessionNumber IssuerOfServiceEpisodeID RequestedProcedureIDCodeSequence "
    "BarcodeValue TimeOfDocumentCreationOrVerbalTransactionTrial UniqueIdentifier InventoryID"
)
PLACES = _tags(
    "InstitutionName InstitutionAddress InstitutionalDepartmentName IssuerOfPatientID IssuerOfAdmissionID "
    "RequestingService CurrentPatientLocation PatientInstitutionResidence ScheduledStudyLocation "
    "ScheduledProcedureStepLocation PerformedLocation ReferringPhysicianAddress PersonAddress PatientAddress "
    "CountryOfResidence RegionOfResidence Occupation MilitaryRank BranchOfService PatientReligiousPreference "
    "ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialCoordinatingCenterName OrderEntererLocation "
    "OrderEntererOrganization InterpretationIDIssuer ResponsibleOrganization DistributionAddress "
    "TreatmentSite LocalNamespaceEntityID UniversalEntityID NamesOfIntendedRecipientsOfResults"
)
DEVICES = _tags(
    "StationName DeviceSerialNumber DetectorID PlateID CassetteID GantryID GeneratorID DeviceID DeviceLabel "
    "UniqueDeviceIdentifier DeviceUserDefinedLabel ScheduledStationName PerformedStationName DetectorManufacturerName "
    "ScheduledStudyLocationAETitle SecondaryCaptureDeviceID HardcopyDeviceID XRaySourceID SourceSerialNumber "
    "LensSerialNumber SystemSerialNumber AssetIdentifier"
)
CONTACTS = _tags(
    "ReferringPhysicianTelephoneNumbers PersonTelephoneNumbers PatientTelephoneNumbers PatientTelecomInformation "
    "PersonTelecomInformation ReferringPhysicianTelecomInformation OrderCallbackPhoneNumber "
    "OrderCallbackTelecomInformation"
)
EQUIPMENT = _tags(
    "Manufacturer ManufacturerModelName SoftwareVersions ConvolutionKernel FilterType FilterMaterial "
    "AcquisitionDeviceProcessingDescription AcquisitionDeviceProcessingCode ImplementationVersionName "
    "DetectorDescription DetectorManufacturerModelName PatientOrientation CodeMeaning CodeValue LongCodeValue "
    "CodingSchemeDesignator CodingSchemeVersion CodingSchemeName CodingSchemeResponsibleOrganization"
)
"""Text that names a device model or a code: compared with people and ids only, not with places or devices."""

TABLES = _tags(
    "LUTData RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData "
    "AlphaPaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData "
    "SegmentedGreenPaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData"
)
"""Tables of grey values and colours, which pass through the values of letters."""

KIND_OF_TAG: dict[int, Kind] = {
    **dict.fromkeys(PATIENT_NAMES, Kind.PATIENT_NAME),
    **dict.fromkeys(IDENTIFIERS, Kind.IDENTIFIER),
    **dict.fromkeys(PLACES, Kind.PLACE),
    **dict.fromkeys(DEVICES, Kind.DEVICE),
    **dict.fromkeys(CONTACTS, Kind.CONTACT),
}
KIND_OF_VR: dict[bytes, Kind] = {
    b"PN": Kind.PERSON,
    b"DA": Kind.DATE,
    b"DT": Kind.DATE,
    b"UI": Kind.UID,
    b"AE": Kind.DEVICE,
}

LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""VRs with a 32-bit length in Explicit VR (PS3.5 7.1.2)."""
SHORT_VRS = frozenset(
    (
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT"),
        *(b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    )
)
TEXT_VRS = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT", b"UR", b"AE", b"AS", b"CS"))
NUMBER_VRS = frozenset((b"DA", b"DS", b"DT", b"IS", b"TM"))
BINARY_SIZES: dict[bytes, int] = {
    **dict.fromkeys((b"US", b"SS", b"OW"), 2),
    **dict.fromkeys((b"UL", b"SL", b"FL", b"AT", b"OL", b"OF"), 4),
    **dict.fromkeys((b"FD", b"SV", b"UV", b"OD", b"OV"), 8),
    **dict.fromkeys((b"OB", b"UN"), 1),
}


def _vr_bytes(text: str) -> tuple[bytes, ...]:
    return tuple(part.encode("ascii") for part in text.split(" or ") if len(part) == 2)


VRS_OF_TAG: dict[int, tuple[bytes, ...]] = {tag: _vr_bytes(entry[0]) for tag, entry in DicomDictionary.items()}
"""The VRs that PS3.6 gives each tag, the one that an implicit syntax implies first."""


def name_of(tag: int) -> str:
    """Return the keyword of a tag, or the tag as ``(gggg,eeee)``. Never a value."""
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
