"""What Table E.1-1 does not say, or says too mildly for this registry, and why.

Two lists, written into the shipped recipes and the default of every other one.
"""

from __future__ import annotations

from functools import cache

from bsti_submit.deid.dictionary import tag_of

_IDENTIFYING = """
    IssuerOfAccessionNumberSequence OrderPlacerIdentifierSequence OrderFillerIdentifierSequence
    PlacerOrderNumberProcedure FillerOrderNumberProcedure
    PlacerOrderNumberImagingServiceRequestRetired FillerOrderNumberImagingServiceRequestRetired
    IssuerOfPatientIDQualifiersSequence TypeOfPatientID SourcePatientGroupIdentificationSequence
    GroupOfPatientsIdentificationSequence PatientBirthDateInAlternativeCalendar
    PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar ResponsiblePersonRole
    BreedRegistrationSequence BreedRegistrationNumber StrainStockNumber StrainSource
    RequestingPhysicianIdentificationSequence EvaluatorName SecondaryReviewerName
    LocalNamespaceEntityID UniversalEntityID UniversalEntityIDType AssigningFacilitySequence
    AssigningJurisdictionCodeSequence AssigningAgencyOrDepartmentCodeSequence
    PertinentDocumentsSequence HL7InstanceIdentifier PatientClinicalTrialParticipationSequence
    DeviceID GridID SubstanceAdministrationDeviceID ProductLotIdentifier StorageMediaFileSetID
    AlternateContainerIdentifierSequence RadiationMachineName AssignedLocation OwnerID
    ContactDisplayName ContactURI NTPSourceAddress
    EncryptedAttributesSequence EncryptedContent EncryptedContentTransferSyntaxUID
    MACParametersSequence Signature
    DeidentificationActionSequence PrivateDataElementDefinitionSequence
    PrivateDataElementCharacteristicsSequence BlockIdentifyingInformationStatus
    RetrieveLocationUID RepositoryUniqueID HomeCommunityID
    DICOMRetrievalSequence DICOMMediaRetrievalSequence WADORetrievalSequence XDSRetrievalSequence
    WADORSRetrievalSequence DICOMStorageSequence STOWRSStorageSequence XDSStorageSequence
    StudyAccessEndPointsSequence FileSetAccessSequence FileAccessSequence
    ICCProfile
"""

_ANCHORS = """
    ContextGroupVersion ContextGroupLocalVersion TemplateVersion TemplateLocalVersion
    EthicsCommitteeApprovalEffectivenessStartDate EthicsCommitteeApprovalEffectivenessEndDate
    TimezoneOffsetFromUTC ProductExpirationDateTime SourceStrengthReferenceDate SourceStrengthReferenceTime
    EffectiveDateTime InformationIssueDateTime HangingProtocolCreationDateTime GPSDateStamp
    DateOfGainCalibration TimeOfGainCalibration ExpiryDate ExpirationDateTime OOIOwnerCreationTime
    ProcedureCreationDate ProcedureExpirationDate ProcedureLastModifiedDate
    ItemInventoryDateTime
"""


def _tags(keywords: str) -> frozenset[int]:
    found = [tag_of(keyword) for keyword in keywords.split()]
    return frozenset(tag for tag in found if tag is not None)


@cache
def identifying() -> frozenset[int]:
    """Return attributes that the table does not list, though they can name a person, place, order or device.

    Also what could carry the removed values along unseen: encrypted and signed content, colour profiles with
    text, addresses to retrieve the original from.
    """
    return _tags(_IDENTIFYING)


@cache
def anchors() -> frozenset[int]:
    """Return dates that are the same for many patients, or known to the public.

    Shifted with a patient's dates, they would betray the offset. They are removed, or get a dummy, even under
    Modified Dates, together with those of devices (`Row.is_device_date`).
    """
    return _tags(_ANCHORS)
