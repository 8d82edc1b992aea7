"""Headers of the sample study: what hospitals really put there, a marker in every identifying place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.sample.markers import Planter

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
DX_IMAGE = "1.2.840.10008.5.1.4.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"
STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"

_UID_ROOT = "1.3.6.1.4.1.99999"

BIRTH_DATE = "19470312"
STUDY_DATE = "20210914"
PRIOR_DATE = "20210302"
AGE = 74
SEX = "F"


@dataclass(frozen=True)
class Person:
    """The made-up patient, and the words that say who it is."""

    family: str
    given: str
    maiden: str
    patient_id: str
    nhs_number: str
    issuer: str

    @property
    def name(self) -> str:
        """PatientName as a PN value."""
        return f"{self.family}^{self.given}^^Mrs"

    @classmethod
    def invent(cls, plant: Planter) -> Person:
        """Invent the patient of one seed."""
        return cls(
            family=plant.word("ÉVANS-PÂT", "PatientName (family name)"),
            given=plant.word("SIÂNNE", "PatientName (given name)"),
            maiden=plant.word("MAIDENNÊ", "PatientBirthName"),
            patient_id=plant.digits(7, "PatientID", prefix="H"),
            nhs_number=plant.nhs_number("OtherPatientIDsSequence (NHS number)"),
            issuer=plant.word("ISSUER", "IssuerOfPatientID"),
        )


def item(values: Mapping[str, object]) -> Dataset:
    """Build one dataset from keywords; a mapping becomes a sequence of one item, a list one of several."""
    dataset = Dataset()
    for keyword, value in values.items():
        if isinstance(value, Dataset):
            setattr(dataset, keyword, Sequence([value]))
        elif isinstance(value, dict):
            setattr(dataset, keyword, Sequence([item(value)]))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            setattr(dataset, keyword, Sequence([item(one) for one in value]))
        else:
            setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> dict[str, object]:
    """Build a code item."""
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}


class Header:
    """Writes the headers of one patient's study: the same seed, the same bytes.

    Parameters
    ----------
    plant
        Makes and remembers the markers.
    person
        The patient.
    date
        Date of the study, ``YYYYMMDD``.
    number
        Ordinal of the study, part of its UIDs.
    """

    def __init__(self, plant: Planter, person: Person, date: str = STUDY_DATE, number: int = 1) -> None:
        self.plant = plant
        self.person = person
        self.date = date
        self.number = number
        plant.plant(date, "StudyDate" if number == 1 else "StudyDate of the prior study")
        self.study_uid = self.uid("1", "StudyInstanceUID")

    def uid(self, rest: str, where: str) -> str:
        """Plant a UID of the hospital's own kind: with the date in it, as many systems make them."""
        site = sum(ord(letter) * 31**place for place, letter in enumerate(self.plant.stem)) % 100_000_000
        return self.plant.plant(f"{_UID_ROOT}.{site}.{self.number}{self.date}.{rest}.9", where)

    def patient(self) -> dict[str, object]:
        """Patient and visit modules."""
        person, word, plant = self.person, self.plant.word, self.plant.plant
        spaced = f"{person.nhs_number[:3]} {person.nhs_number[3:6]} {person.nhs_number[6:]}"
        return {
            "PatientName": person.name,
            "PatientID": person.patient_id,
            "IssuerOfPatientID": person.issuer,
            "PatientBirthDate": plant(BIRTH_DATE, "PatientBirthDate"),
            "PatientBirthTime": "041507",
            "PatientSex": SEX,
            "PatientAge": f"{AGE:03d}Y",
            "PatientSize": "1.63",
            "PatientWeight": "71",
            "OtherPatientIDs": [person.nhs_number, plant(person.patient_id + "-2", "OtherPatientIDs")],
            "OtherPatientNames": f"{word('OTHERNAME', 'OtherPatientNames')}^Anna",
            "PatientBirthName": f"{person.maiden}^{person.given}",
            "PatientMotherBirthName": f"{word('MOTHER', 'PatientMotherBirthName')}^Mary",
            "OtherPatientIDsSequence": {
                "PatientID": plant(spaced, "OtherPatientIDsSequence (NHS number with spaces)"),
                "IssuerOfPatientID": "NHS",
                "TypeOfPatientID": "TEXT",
            },
            "PatientAddress": f"14 {word('STREET', 'PatientAddress')} Road, "
            + plant("SW99 9ZX", "PatientAddress (postcode)"),
            "PatientTelephoneNumbers": [
                plant("0117 496 0917", "PatientTelephoneNumbers"),
                plant("+44 7700 900461", "PatientTelephoneNumbers (mobile)"),
            ],
            "EthnicGroup": word("ETHNIC", "EthnicGroup"),
            "Occupation": word("SCHOOL", "Occupation"),
            "PatientReligiousPreference": word("RELIGION", "PatientReligiousPreference"),
            "MilitaryRank": word("RANK", "MilitaryRank"),
            "CountryOfResidence": word("COUNTRY", "CountryOfResidence"),
            "RegionOfResidence": word("REGION", "RegionOfResidence"),
            "MedicalAlerts": f"Allergy, ask {word('ALERT', 'MedicalAlerts')}",
            "Allergies": f"Penicillin per {word('ALLERGY', 'Allergies')}",
            "SmokingStatus": "NO",
            "PregnancyStatus": 4,
            "LastMenstrualDate": plant("20210820", "LastMenstrualDate"),
            "AdditionalPatientHistory": "Cough since "
            + plant("3 September 2021", "AdditionalPatientHistory (date)")
            + "; "
            + f"daughter {word('DAUGHTER', 'AdditionalPatientHistory')} is next of kin",
            "ResponsiblePerson": f"{word('RESPONSIBLE', 'ResponsiblePerson')}^Tom",
            "ResponsibleOrganization": f"{word('CAREHOME', 'ResponsibleOrganization')} Care Home",
            "PatientComments": f"Lives with Mr {word('HUSBAND', 'PatientComments')}, "
            f"email {plant(self.plant.stem.lower() + '.pat@example.org', 'PatientComments (email)')}",
            "AdmissionID": self.plant.digits(8, "AdmissionID", prefix="V"),
            "AdmittingDate": plant("20210911", "AdmittingDate"),
            "AdmittingDiagnosesDescription": "Pneumonia, under Dr " + word("ADMITDX", "AdmittingDiagnosesDescription"),
            "CurrentPatientLocation": f"Ward {word('WARD', 'CurrentPatientLocation')}",
            "PatientInstitutionResidence": word("RESIDENCE", "PatientInstitutionResidence"),
            "VisitComments": f"Visited by {word('VISITOR', 'VisitComments')}",
            "SpecialNeeds": f"Hearing aid; call {word('NEEDS', 'SpecialNeeds')}",
        }

    def study(self, description: str) -> dict[str, object]:
        """General study, request and performed procedure, with names at several depths."""
        word, plant = self.plant.word, self.plant.plant
        accession = self.plant.digits(7, "AccessionNumber", prefix="RXA")
        person_code = {
            "PersonIdentificationCodeSequence": code(
                plant("4173692", "PersonIdentificationCodeSequence (GMC number)"),
                "99GMC",
                word("GMCNAME", "PersonIdentificationCodeSequence"),
            ),
            "PersonAddress": f"{word('PERSONADDR', 'PersonAddress')} House",
            "InstitutionName": word("PERSONINST", "Person identification (InstitutionName)"),
        }
        return {
            "StudyInstanceUID": self.study_uid,
            "StudyID": self.plant.digits(6, "StudyID", prefix="S"),
            "AccessionNumber": accession,
            "StudyDate": self.date,
            "SeriesDate": self.date,
            "AcquisitionDate": self.date,
            "ContentDate": self.date,
            "StudyTime": "094317.250000",
            "SeriesTime": "094455",
            "AcquisitionTime": "094501.113000",
            "ContentTime": "094502.900000",
            "AcquisitionDateTime": f"{self.date}094501.113000+0100",
            "TimezoneOffsetFromUTC": "+0100",
            "StudyDescription": f"{description} for J "
            + word("STUDYDESC", "StudyDescription")
            + f" NHS {self.person.nhs_number}",
            "InstitutionName": f"{word('INSTITUTE', 'InstitutionName')} Infirmary",
            "InstitutionAddress": f"1 {word('INSTADDR', 'InstitutionAddress')} Way",
            "InstitutionalDepartmentName": f"{word('DEPARTMENT', 'InstitutionalDepartmentName')} Imaging",
            "ReferringPhysicianName": f"{word('REFERRER', 'ReferringPhysicianName')}^Owen^^Dr",
            "ReferringPhysicianAddress": word("REFADDR", "ReferringPhysicianAddress"),
            "ReferringPhysicianTelephoneNumbers": plant("020 7946 0917", "ReferringPhysicianTelephoneNumbers"),
            "ReferringPhysicianIdentificationSequence": person_code,
            "ConsultingPhysicianName": f"{word('CONSULTANT', 'ConsultingPhysicianName')}^P",
            "PhysiciansOfRecord": f"{word('OFRECORD', 'PhysiciansOfRecord')}^R",
            "NameOfPhysiciansReadingStudy": f"{word('READER', 'NameOfPhysiciansReadingStudy')}^Q",
            "PerformingPhysicianName": f"{word('PERFORMER', 'PerformingPhysicianName')}^S",
            "PerformingPhysicianIdentificationSequence": person_code,
            "OperatorsName": [
                f"{word('OPERATOR', 'OperatorsName')}^A",
                f"{word('SECONDOP', 'OperatorsName (second)')}^B",
            ],
            "RequestingPhysician": f"{word('REQUESTER', 'RequestingPhysician')}^Lloyd",
            "RequestingService": word("REQSERVICE", "RequestingService"),
            "ProcedureCodeSequence": code("RCT2", "99LOCAL", f"CT {word('PROCCODE', 'ProcedureCodeSequence')}"),
            "RequestedProcedureCodeSequence": code(
                "169069000", "SCT", f"CT of chest {word('REQPROC', 'RequestedProcedureCodeSequence')}"
            ),
            "RequestedProcedureDescription": f"{description} " + word("REQDESC", "RequestedProcedureDescription"),
            "ReasonForStudy": f"?COVID, seen by Dr {word('REASON', 'ReasonForStudy')}",
            "ReasonForTheRequestedProcedure": "Hypoxic, GP Dr " + word("GPNAME", "ReasonForTheRequestedProcedure"),
            "StudyComments": f"Discussed with {word('STUDYCOMM', 'StudyComments')}",
            "ReferencedStudySequence": {
                "ReferencedSOPClassUID": STUDY_COMPONENT,
                "ReferencedSOPInstanceUID": self.uid("2", "ReferencedStudySequence"),
            },
            "ReferencedPerformedProcedureStepSequence": {
                "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.3",
                "ReferencedSOPInstanceUID": self.uid("3", "ReferencedPerformedProcedureStepSequence"),
            },
            "RequestAttributesSequence": {
                "AccessionNumber": accession,
                "RequestedProcedureID": self.plant.digits(7, "RequestedProcedureID", prefix="RP"),
                "RequestedProcedureDescription": f"{description} "
                + word("RASREQ", "RequestAttributesSequence/RequestedProcedureDescription"),
                "ScheduledProcedureStepID": self.plant.digits(7, "ScheduledProcedureStepID", prefix="SP"),
                "ScheduledProcedureStepDescription": "Thorax "
                + word("RASSTEP", "RequestAttributesSequence/ScheduledProcedureStepDescription"),
                "ReasonForTheRequestedProcedure": "Sats 88, wife of "
                + word("RASREASON", "RequestAttributesSequence/ReasonForTheRequestedProcedure"),
                "ScheduledProtocolCodeSequence": {
                    **code("THX", "99LOCAL", "Thorax"),
                    "ProtocolContextSequence": {
                        "ValueType": "PNAME",
                        "ConceptNameCodeSequence": code("121008", "DCM", "Person Observer Name"),
                        "PersonName": f"{word('DEEPNAME', 'a name three sequences deep')}^Deep",
                    },
                },
            },
            "PerformedProcedureStepStartDate": self.date,
            "PerformedProcedureStepStartTime": "094300",
            "PerformedProcedureStepEndDate": self.date,
            "PerformedProcedureStepEndTime": "095210",
            "PerformedProcedureStepID": self.plant.digits(7, "PerformedProcedureStepID", prefix="PP"),
            "PerformedProcedureStepDescription": f"{description} "
            + word("PPSDESC", "PerformedProcedureStepDescription"),
            "CommentsOnThePerformedProcedureStep": "Cannulated by Nurse "
            + word("PPSCOMM", "CommentsOnThePerformedProcedureStep"),
            "ScheduledPerformingPhysicianName": f"{word('SCHEDULED', 'ScheduledPerformingPhysicianName')}^C",
            "OriginalAttributesSequence": {
                "SourceOfPreviousValues": word("PREVSOURCE", "OriginalAttributesSequence/SourceOfPreviousValues"),
                "AttributeModificationDateTime": f"{self.date}101500",
                "ModifyingSystem": word("MODSYSTEM", "OriginalAttributesSequence/ModifyingSystem"),
                "ReasonForTheAttributeModification": "CORRECT",
                "ModifiedAttributesSequence": {
                    "PatientName": f"{word('OLDNAME', 'OriginalAttributesSequence/PatientName')}^Old",
                    "PatientID": self.plant.digits(6, "OriginalAttributesSequence/PatientID", prefix="OLD"),
                    "PatientBirthDate": plant("19460311", "OriginalAttributesSequence/PatientBirthDate"),
                },
            },
        }

    def equipment(self) -> dict[str, object]:
        """General equipment and what calibrates it."""
        word, plant = self.plant.word, self.plant.plant
        return {
            "Manufacturer": "SIEMENS",
            "ManufacturerModelName": "SOMATOM Definition AS+",
            "SoftwareVersions": ["syngo CT VA48A", f"site {word('SOFTWARE', 'SoftwareVersions')}"],
            "StationName": word("STATION", "StationName"),
            "DeviceSerialNumber": self.plant.digits(7, "DeviceSerialNumber", prefix="SN"),
            "DeviceUID": self.uid("4", "DeviceUID"),
            "GantryID": word("GANTRY", "GantryID"),
            "DateOfLastCalibration": plant("20210610", "DateOfLastCalibration"),
            "TimeOfLastCalibration": "071500",
            "PerformedStationAETitle": word("PERFAE", "PerformedStationAETitle"),
            "PerformedStationName": word("PERFSTATION", "PerformedStationName"),
            "PerformedLocation": word("PERFLOC", "PerformedLocation"),
            "StationAETitle": word("STATIONAE", "StationAETitle"),
        }

    def private(self, dataset: Dataset) -> None:
        """Add private blocks as scanners and archives write them, with names inside, also in a sequence."""
        word = self.plant.word
        csa = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        csa.add_new(0x08, "CS", "IMAGE NUM 4")
        csa.add_new(
            0x10,
            "OB",
            b"SV10\x04\x03\x02\x01PatientName\x00" + word("CSA", "SIEMENS CSA HEADER").encode() + b"\x00" * 8,
        )
        site = dataset.private_block(0x0009, "GEMS_IDEN_01", create=True)
        site.add_new(0x01, "LO", word("GEMSIDEN", "GEMS_IDEN_01"))
        site.add_new(0x02, "SH", "CT01")
        archive = dataset.private_block(0x0011, "ARCHIVE 1.0", create=True)
        archive.add_new(0x01, "PN", f"{word('PRIVATEPN', 'private person name')}^X")
        archive.add_new(0x02, "DA", self.plant.plant("19470313", "private date"))
        nested = item(
            {
                "PatientName": f"{word('PRIVATESQ', 'name in a private sequence')}^Y",
                "PatientID": self.person.patient_id,
            }
        )
        inner = nested.private_block(0x0013, "ARCHIVE INNER", create=True)
        inner.add_new(0x01, "LT", f"See {word('INNERPRIV', 'private text in a private sequence')}")
        archive.add_new(0x03, "SQ", Sequence([nested]))
        archive.add_new(0x04, "UN", word("PRIVATEUN", "private UN").encode())
        archive.add_new(0x05, "UT", word("PRIVATEUT", "private text in UTF-16").encode("utf-16-le").decode("latin-1"))

    def file(self, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> FileDataset:
        """Wrap a dataset into a Part 10 file with AE titles in its meta and a preamble that is not empty."""
        word = self.plant.word
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = UID(syntax)
        meta.ImplementationClassUID = UID(self.uid("5", "ImplementationClassUID"))
        meta.ImplementationVersionName = word("IMPLEM", "ImplementationVersionName")
        meta.SourceApplicationEntityTitle = word("SOURCEAE", "SourceApplicationEntityTitle")
        meta.SendingApplicationEntityTitle = word("SENDAE", "SendingApplicationEntityTitle")
        meta.ReceivingApplicationEntityTitle = word("RECEIVEAE", "ReceivingApplicationEntityTitle")
        meta.PrivateInformationCreatorUID = UID(self.uid("6", "PrivateInformationCreatorUID"))
        meta.PrivateInformation = word("METAPRIVATE", "PrivateInformation").encode()
        preamble = f"exported for {word('PREAMBLE', 'preamble')}".encode().ljust(128, b"\x00")
        return FileDataset("", dataset, preamble=preamble, file_meta=meta)
