"""What an instance shows, as far as its header tells: a head, a chest, something else, or nobody knows.

A face can be recognised from a CT of a head (PS3.15 E.3.2, Clean Recognizable Visual Features), so every
sign of one counts, in whatever language; a wrong alarm only asks a person.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsti_submit.phi import Identified


class Coverage(StrEnum):
    """The part of the body that an instance covers. A head outweighs all else."""

    HEAD = "head"
    CHEST = "chest"
    OTHER = "other"
    UNKNOWN = "unknown"


class Described(Protocol):
    """What the survey knows of an instance, as far as anatomy goes."""

    @property
    def image_type(self) -> tuple[str, ...]:
        """Image Type, well-known words."""

    @property
    def body_part_text(self) -> Identified[str]:
        """Body Part Examined as it was written."""

    @property
    def study_description(self) -> Identified[str]:
        """Study Description."""

    @property
    def series_description(self) -> Identified[str]:
        """Series Description."""

    @property
    def protocol_name(self) -> Identified[str]:
        """Protocol Name."""

    @property
    def regions(self) -> Identified[tuple[str, ...]]:
        """Codes and meanings of the anatomic regions."""

    @property
    def procedure_texts(self) -> Identified[tuple[str, ...]]:
        """Descriptions of the request, the procedure and the protocol."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _stems(text: str) -> tuple[str, ...]:
    """Return beginnings of words in the form that `_fold` gives to words."""
    return tuple(_without_accents(text).split())


def _without_accents(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = plain.replace("ł", "l").replace("\N{LATIN SMALL LETTER DOTLESS I}", "i").replace("ø", "o")
    return "".join(character for character in plain if not unicodedata.combining(character))


HEAD_TERMS: Final = _words(
    """
    BRAIN CAROTID CEREBELLUM CHEEK CIRCLEOFWILLIS CORNEA CSPINE CTSPINE EAR EYE EYELID FACE HEAD
    HEADNECK IAC JAW LARYNX MAXILLA MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE
    OPTICCANAL ORBIT PAROTID PHARYNX SCLERA SINUS SKULL TMJ TONGUE WHOLEBODY ZYGOMA
    """
)
"""Terms of Body Part Examined (PS3.16 annex L) that include a head or reach into one."""

CHEST_TERMS: Final = _words(
    """
    BRONCHUS CHEST CHESTABDOMEN CHESTABDPELVIS CORONARYARTERY HEART LUNG MEDIASTINUM RIB RIBS STERNUM
    THORAX
    """
)
VAGUE_TERMS: Final = _words(
    """
    BODY TRUNK SPINE AORTA BACK LUMEN
    """
)
"""Terms that say too little: equipment writes BODY for everything."""

HEAD_CODES: Final = _words(
    """
    1101003 110517009 11279006 113305005 117590005 122494005 123851003 12738006 128320002 15672000
    18962004 2095001 21974007 22286001 312535008 32062004 360955006 363654007 371398005 38266002
    416152001 416319003 417437006 42575006 45048000 45206002 45289007 4596009 53342003 53620006 54019009
    54066008 5713008 661005 69105007 69536005 70925003 74386004 774007 79361005 80243003 81502006
    81745001 86117002 88556005 89545001 89546000 91609006 R-FAB52 R-FAB53 R-FAB54 T-11011 T-11100
    T-11149 T-11170 T-11180 T-11501 T-15200 T-15290 T-20101 T-21000 T-21300 T-22000 T-2300C T-23050
    T-24100 T-45010 T-45100 T-45200 T-45270 T-45300 T-45510 T-45520 T-53000 T-55000 T-55300 T-61100
    T-61300 T-A0100 T-A0191 T-A6000 T-AA000 T-AA810 T-AB001 T-D0010 T-D0662 T-D0801 T-D1000 T-D1100
    T-D1200 T-D1213 T-D1400 T-D1460 T-D14AE T-D1600 T-D1603
    """
)
"""Regions with a head or neck in SNOMED CT (SCT) and SNOMED-RT (SRT), from PS3.16 CID 4, 4030 and 4031."""

CHEST_CODES: Final = _words(
    """
    113197003 113262008 39607008 416550000 416775004 43799004 50408007 56873002 72410000 78480002
    80891009 81040000 816094009 86598002 R-FAB55 R-FAB56 T-11210 T-11300 T-28000 T-280A0 T-32000 T-42070
    T-44000 T-44200 T-44400 T-D3000 T-D3200 T-D3300
    """
)
"""The same for the chest."""

# English and Latin; German, Dutch, Scandinavian; the Romance languages; Polish, Czech, Hungarian, Turkish,
# Finnish, Baltic, Greek, Russian: without accents, as the beginning of a word or of two words in a row.
_HEAD_STEMS: Final = _stems(
    """
    head brain skull crani cereb cerbr face facial maxill mandib zygom orbit sinus sinonas paranas nasal
    nose nasoph dental dentit teeth tooth jaw tmj temporomand mastoid petrous temporalbone cochlea
    pituit sella neck cervic cspine carotid willis stroke neuro vertex wholebody totalbody fullbody
    pansc panscan polytrauma larynx pharyn tongue parotid thyroid encephal encefal otolar cbct scalp eyes
    eyeball occipit wbct skullbase
    kopf schadel schaedel gehirn hirn neurocr gesicht mittelgesicht kiefer unterkiefer oberkiefer
    nasenneb felsenbein ganzkorper ganzkoerper hals hoofd schedel hersen gezicht aangezicht bijholte
    sinussen huvud hoved hjarna hjerne ansikt ansigt bihal nacke nakke helkropp helkrop
    tete crane cerveau encephale visage rachiscerv corpsentier massiffac rocher machoire cabeza craneo
    cuello cuerpoentero senosparan orbita mandibula cabeca pescoco seiosdaface corpointeiro testa
    cervello volto collo massicciof corpointero cervell caputcol creier capul
    glowa glowy czaszk mozg szyja szyi twarz zatok hlava hlavy lebka lebky mozek mozku mozog krk koponya
    nyak arckop kafa beyin boyun kranial pituiter kallo aivot aivoje kaula paanal galva smegen smadzen
    κεφαλ εγκεφαλ κρανι τραχηλ προσωπ голов мозг череп шея шеи лицо пазух
    """
)
_HEAD_WORDS: Final = _words(
    """
    eye ear hode cth ctb ctah ctch hn cow iam iams iac ent hno orl nnh hws cara cou nek paa fej agy pns opg
    tbct sdh    sah ich mca aca pca gk
    """
)
"""Short words and abbreviations that mean a head only where they stand alone."""
_HEAD_SCRIPT: Final = re.compile(
    "[头頭颅顱脑腦颈頸頚顔颜脳鼻眼]|面部|全身|머리|두부|두경부|뇌|안면|경부|رأس|دماغ|وجه|ראש|מוח"
)

_CHEST_STEMS: Final = _stems(
    """
    chest thora lung pulm bronch pleur mediast cardi coronar heart hrct ctpa covid pneumo rib ribs stern
    brust lunge borst tora torac poumon pecho torax coeur corazon pulmao polmon cuore herz klatk pluc
    hrudn plic mellkas tudo gogus akciger keuhko rinta θωρακ πνευμ грудн легк koronar
    """
)
_CHEST_WORDS: Final = _words(
    """
    cxr pe tap cap tapct ctcap cttap ctca cac tho thx ldct uip ild
    """
)
_CHEST_SCRIPT: Final = re.compile("[胸肺]|心脏|心臓|흉부|폐|صدر|חזה")
_OTHER_STEMS: Final = _stems(
    """
    abdo pelvi pelvis liver hepat renal kidney kub urogr colon bowel knee hip femur ankle foot hand
    wrist elbow shoulder humer lumb spine leg arm extrem angiorun becken bauch knie hufte fuss schulter
    bassin genou epaule rodilla cadera ginocchio spalla prostat bladder
    """
)


def coverage(instance: Described) -> Coverage:
    """Say what an instance covers.

    The Body Part Examined, the anatomic regions (functional groups included), the descriptions and the
    protocol and procedure names are all looked at. A head word in the study's description or the request
    alone does not make a head of a series whose own description says chest: ``CT Head and Chest`` names the
    study, not the series.
    """
    body_part = "".join(re.findall(r"[A-Z]", instance.body_part_text.reveal().upper()))
    codes = instance.regions.reveal()
    own = (instance.series_description.reveal(), instance.protocol_name.reveal())
    shared = (instance.study_description.reveal(), *instance.procedure_texts.reveal())
    near = (instance.body_part_text.reveal(), *codes, *own)
    chest = _is_chest(body_part, codes, near)
    if (
        body_part in HEAD_TERMS
        or not HEAD_CODES.isdisjoint(codes)
        or any(map(_names_head, near))
        or ("PERFUSION" in instance.image_type and not chest)  # of a brain, unless it says otherwise
        or (any(map(_names_head, shared)) and not any(map(_names_chest, own)))
    ):
        return Coverage.HEAD
    if chest:
        return Coverage.CHEST
    if (body_part and body_part not in VAGUE_TERMS) or any(map(_names_other, own)):
        return Coverage.OTHER
    if any(map(_names_chest, shared)):
        return Coverage.CHEST
    return Coverage.OTHER if any(map(_names_other, shared)) else Coverage.UNKNOWN


def _is_chest(body_part: str, codes: Iterable[str], texts: Iterable[str]) -> bool:
    return body_part in CHEST_TERMS or not CHEST_CODES.isdisjoint(codes) or any(map(_names_chest, texts))


@lru_cache(maxsize=4096)
def _fold(text: str) -> tuple[str, tuple[str, ...]]:
    """Return text without case and accents, and its words.

    A word is also cut where lower case turns to upper, since protocols are named ``ThoraxHeadRoutine``.
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    plain = _without_accents(apart)
    words = re.findall(r"[^\W\d_]+", plain)
    # Pairs too, so that "whole body", "c spine" and "corps entier" meet their stems.
    pairs = [first + second for first, second in pairwise(words)]
    return unicodedata.normalize("NFKC", text), tuple(words + pairs)


@lru_cache(maxsize=4096)
def _names_head(text: str) -> bool:
    whole, words = _fold(text)
    return bool(_HEAD_SCRIPT.search(whole)) or any(
        word in _HEAD_WORDS or word.startswith(_HEAD_STEMS) for word in words
    )


@lru_cache(maxsize=4096)
def _names_chest(text: str) -> bool:
    whole, words = _fold(text)
    return bool(_CHEST_SCRIPT.search(whole)) or any(
        word in _CHEST_WORDS or word.startswith(_CHEST_STEMS) for word in words
    )


@lru_cache(maxsize=4096)
def _names_other(text: str) -> bool:
    return any(word.startswith(_OTHER_STEMS) for word in _fold(text)[1])
