"""One surveyed instance: the few facts about it that people and later stages choose by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bsti_submit.model import InstanceRef
    from bsti_submit.phi import Identified


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KNOWN_MODALITIES: Final = _words(
    """
    ANN AR ASMT AU BDUS BI BMD CD CF CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD
    IO IOL IVOCT IVUS KER KO LEN LS M3D MG MR OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS OT PA PLAN
    POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG
    SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC
    """
)
"""Defined Terms of Modality (0008,0060), PS3.3 section C.7.3.1.1.1."""

KNOWN_BODY_PARTS: Final = _words(
    """
    ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BODY BRAIN BREAST BRONCHUS
    CALCANEUS CALF CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS
    CLAVICLE COCCYX COLON CORNEA CORONARYARTERY CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY
    EYE EYELID FACE FEMUR FINGER FOOT GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS IAC ILEUM ILIUM
    JAW JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUMEN LUNG MAXILLA MEDIASTINUM MOUTH NECK
    NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE OPTICCANAL ORBIT OVARY PANCREAS PARATHYROID PAROTID
    PATELLA PELVIS PENIS PHARYNX PROSTATE RECTUM RIB RIBS SCAPULA SCLERA SCROTUM SHOULDER SINUS SKULL
    SPINE SPLEEN SSPINE STERNUM STOMACH TESTIS THIGH THORAX THUMB THYMUS THYROID TLSPINE TMJ TOE TONGUE
    TRACHEA TRUNK TSPINE UMBILICUS URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY WRIST ZYGOMA
    """
)
"""Defined Terms of Body Part Examined (0018,0015), PS3.16 annex L, and a few that equipment writes."""

KNOWN_IMAGE_WORDS: Final = _words(
    """
    ORIGINAL DERIVED PRIMARY SECONDARY AXIAL LOCALIZER LOCALISER SCOUT TOPOGRAM REFORMATTED REFORMAT MPR
    MIP MINIP AVERAGE AVG MAX MIN PROJECTION VOLUME RENDERED VRT SSD 3D CPR MIXED MULTIPLANAR CORONAL
    SAGITTAL OBLIQUE CURVED CT SOM5 SOM7 SOM8 SPI SEQ TOP HELIX HELICAL SPIRAL CINE DYNAMIC PERFUSION
    SUBTRACTED SUBTRACTION MONOCHROMATIC IODINE VNC PROT PROTOCOL SCREEN SAVE SCREENSAVE SCREENSHOT
    CAPTURE DOSE INFO REPORT RESULT RESULTS CSA IMAGE PIXEL FUSION POSDISP OTHER PRESENTATION PROCESSING
    POST PROCESSED NONE FILTERED ADDITION RESAMPLED QUANTITY MEASURED NORMALIZED ISOTROPIC STACK
    GENERATED LOSSY COLOR COLOUR RGB TEXT PAGE SHEET SUMMARY
    """
)
"""Words of Image Type (0008,0008). Any other word is shown as ``OTHER``: it could be anything."""

_REGISTERED_UID: Final = re.compile(r"1\.2\.840\.10008(\.\d{1,10}){1,12}")
PRIVATE_CLASS: Final = "private"
"""Stands for a SOP class that the standard does not know: its digits could be anything."""


def safe_uid(text: str) -> str:
    """Return a UID of the standard's own root as it is, "" for none, and `PRIVATE_CLASS` for any other."""
    if not text:
        return ""
    return text if _REGISTERED_UID.fullmatch(text) else PRIVATE_CLASS


def safe_image_type(values: list[str]) -> tuple[str, ...]:
    """Return Image Type with all but well-known words masked, word by word: PROT counts in ``CT_SOM20 PROT`` as well."""
    return tuple(map(_safe_words, values))


def _safe_words(value: str) -> str:
    words = [word for word in re.split(r"[^A-Z0-9]+", value) if word]
    bare = [word if word in KNOWN_IMAGE_WORDS else word.strip("0123456789") for word in words]
    known = [word for word in bare if word in KNOWN_IMAGE_WORDS]
    return " ".join(known if words and known == words else [*known, "OTHER"])


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedInstance:
    """What the survey knows of one instance.

    Plain members hold terms of the standard or numbers and are safe to print; what may identify the patient
    is `Identified`. Text is decoded by the instance's character set. Absent numbers are 0, absent text is "".

    Attributes
    ----------
    size
        Of the file, in bytes.
    body_part
        A known term of Body Part Examined, or "". `body_part_text` is what was written.
    image_type
        Known words; ``OTHER`` stands for any others of a value.
    burned_in
        Burned In Annotation: ``NO``, "", or ``YES`` for whatever else is said.
    pixels
        Whether there are pixel data. An image without any cannot be sent.
    regions
        Code values and meanings of the anatomic regions, functional groups included.
    procedure_texts
        Requested and performed procedure descriptions, protocol names and procedure code meanings.
    """

    ref: InstanceRef
    size: int
    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str
    body_part: str
    image_type: tuple[str, ...]
    burned_in: str
    photometric: str
    frames: int
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    pixels: bool
    patient_id: Identified[str]
    issuer: Identified[str]
    patient_name: Identified[str]
    birth_date: Identified[str]
    sex: Identified[str]
    patient_age: Identified[str]
    study_uid: Identified[str]
    series_uid: Identified[str]
    instance_uid: Identified[str]
    accession_number: Identified[str]
    study_date: Identified[str]
    study_time: Identified[str]
    series_number: Identified[str]
    instance_number: Identified[str]
    study_description: Identified[str]
    series_description: Identified[str]
    protocol_name: Identified[str]
    body_part_text: Identified[str]
    regions: Identified[tuple[str, ...]]
    procedure_texts: Identified[tuple[str, ...]]
