"""Finds in text what identifies people in the United Kingdom by its form alone: numbers, dates, addresses, titles.

It knows nothing of a particular patient; those words are searched first and elsewhere. What it finds is told as
kinds and positions, never as text, so that a message can't repeat an identifier.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from stdnum.gb import nhs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


class Kind(StrEnum):
    """What a piece of text looks like. The value is the name by which a profile switches the pattern on."""

    EMAIL = "email"
    URL = "url"
    IP_ADDRESS = "ip-address"
    NHS_NUMBER = "nhs-number"
    CHI_NUMBER = "chi-number"
    HSC_NUMBER = "hsc-number"
    TEN_DIGITS = "ten-digits"
    GMC = "gmc"
    UK_PHONE = "uk-phone"
    UK_POSTCODE = "uk-postcode"
    DATE = "date"
    AGE = "age"
    AGE_90_PLUS = "age-90-plus"
    HOSPITAL_NUMBER = "hospital-number"
    LONG_NUMBER = "long-number"
    TITLE_NAME = "title-name"
    PLACE = "place"

    @property
    def label(self) -> str:
        """The kind with its article, to complete "looks like …"."""
        return _LABELS[self]


_LABELS: dict[Kind, str] = {
    Kind.EMAIL: "an email address",
    Kind.URL: "a web address",
    Kind.IP_ADDRESS: "a network address",
    Kind.NHS_NUMBER: "an NHS number",
    Kind.CHI_NUMBER: "a CHI number",
    Kind.HSC_NUMBER: "a Health and Care number",
    Kind.TEN_DIGITS: "a ten-digit identifier",
    Kind.GMC: "a professional registration number",
    Kind.UK_PHONE: "a telephone number",
    Kind.UK_POSTCODE: "a postcode",
    Kind.DATE: "a date",
    Kind.AGE: "an age",
    Kind.AGE_90_PLUS: "an age of 90 or over",
    Kind.HOSPITAL_NUMBER: "a hospital number",
    Kind.LONG_NUMBER: "a long number",
    Kind.TITLE_NAME: "a person's name",
    Kind.PLACE: "the name of a hospital, ward or other place",
}


class Strength(StrEnum):
    """How hard to look."""

    STRICT = "strict"
    """Free text that a person typed: anything doubtful is refused, and the person writes it again."""
    DESCRIPTOR = "descriptor"
    """Text being cleaned, of which only allowed words stay in any case: only what those words could hide."""


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One find: what it looks like, and where. It does not hold the text."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of identifier: what it is in plain English, and how it is recognised.

    ``finder`` yields spans. ``needs_digit`` spares the search in text without digits.
    """

    kind: Kind
    description: str
    finder: Callable[[str], Iterator[tuple[int, int]]]
    strengths: frozenset[Strength]
    needs_digit: bool


# Words that follow "MR", "DR" or "SR" where these are modalities, and plain words that follow a lower-case title.
_NOT_A_NAME = frozenset(
    "abdo abdomen abdominal and angio angiogram angiography ankle aorta aortic arm arthrogram artery at breast brain "
    "cardiac cervical chest cholangiogram cine colon cord coronary contrast ct deformans diffusion dorsal elbow "
    "enterography ext extremity femur fetal finger flow foot for forearm from hand head heart hip humerus image images "
    "imaging in is kidney knee left leg lesion lesions limb liver lower lumbar lung lungs mammo mammogram mandible "
    "mediastinum mrcp mri neck of on or orbit orbits pa pancreas pelvis perfusion pituitary portable prostate rectum "
    "referral renal report request review rib ribs right sacrum scan scans screening series shoulder sinuses skull "
    "small spectroscopy spine sternum study that the thigh thoracic thorax tibia to upper urogram urography venogram "
    "venography was wb who whole with without wrist xray".split()
)
# What may stand before or after "hospital" or "ward" without naming one.
_NOT_A_PLACE = frozenset(
    "a acquired acute admission an and any arrival at attendance avoidance based bay bed care clinic community covid "
    "current day discharge discharged ed emergency field for from general geriatric hdu hospital icu in is isolation "
    "itu local medical mobile no nhs of on onset or other our outpatient patient patients post pre previous referral "
    "respiratory round side stay surgical teaching that the this to transfer unit visit was ward wards with x "
    "pneumonia covid-19 number no. trust acquisition".split()
)

_PARTICLE = (
    r"(?:(?:van|von|de|der|den|del|della|di|da|do|dos|la|le|el|al|bin|ibn|ap|ab|ter|ten|zu|zum)[ _'’-]+)*"
)
_NAME = rf"(?:{_PARTICLE}[A-ZÀ-ÖØ-Þ][\w'’-]*(?:\.(?!\w))?)"
_MONTH = (
    r"(?:jan(?:uary|vier|uar|eiro|uari)?|ene(?:ro)?|gen(?:naio)?|feb(?:ruary|ruar|brero|braio|ruari)?|f[eé]v(?:rier|ereiro)?"
    r"|mar(?:ch|s|zo|[cç]o)?|m[aä]r(?:z|t|rt)|apr(?:il|ile)?|avr(?:il)?|abr(?:il)?|may|mai|maggio|mayo|maio|mei"
    r"|june?|juni?|juin|junio|giugno|junho|july?|juli|juil(?:let)?|julio|luglio|julho|aug(?:ust|ustus)?|ao[uû]t|ago(?:sto)?"
    r"|sept?(?:ember|embre|iembre|tembre)?|set(?:tembre|embro)?|oct(?:ober|obre|ubre)?|okt(?:ober)?|out(?:ubro)?|ott(?:obre)?"
    r"|nov(?:ember|embre|iembre|embro)?|dec(?:ember)?|d[eé]c(?:embre)?|dez(?:ember|embro)?|dic(?:iembre|embre)?)"
)
_YEAR = r"(?:19[0-9]\d|20[0-4]\d)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MON = r"(?:0?[1-9]|1[0-2])"
_GAP = r"[ ]?[/\-._ ][ ]?"
_CLOCK = r"(?:[T ]\d\d:\d\d(?::\d\d)?)?"

_DATES = re.compile(
    rf"(?<!\d)(?:{_YEAR}{_GAP}{_MON}{_GAP}{_DAY}{_CLOCK}(?!\d)"
    rf"|{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)"
    rf"|(?:{_DAY}{_GAP}{_MON}|{_MON}{_GAP}{_DAY}){_GAP}{_YEAR}(?!\d)"
    rf"|(?:{_DAY}[/.\-]{_MON}|{_MON}[/.\-]{_DAY})[/.\-]\d\d(?![\d.])"
    rf"|{_YEAR}[/.\-]{_MON}(?![\d.])|{_MON}[/\-]{_YEAR}(?!\d)"
    rf"|{_DAY}(?:st|nd|rd|th)?(?: of)?[ /.,_\-]*{_MONTH}(?![^\W\d_])(?:[ /.,_'’\-]*\d{{2,4}}(?!\d))?"
    rf"|(?<![^\W\d_]){_MONTH}(?![^\W\d_])[ /.,_'’\-]*{_DAY}(?:st|nd|rd|th)?(?!\d)(?:[ /.,_'’\-]*{_YEAR})?"
    rf"|(?<![^\W\d_]){_MONTH}(?![^\W\d_])[ /.,_'’\-]*(?:{_YEAR}|['’]?\d\d)(?!\d)"
    rf"|(?<![\d.,/\-]){_YEAR}(?![\d.,]?\d))"
    r"|(?<![^\W\d_])(?:dob|d\.o\.b|born|n[ée]e? le|geb)(?![^\W\d_])[ .:=]*(?:in |on )?\d[\d /.\-]*",
    re.IGNORECASE,
)
_DAY_AND_MONTH = re.compile(
    rf"(?<![\d/.])(?:{_DAY}/(?:0[1-9])|(?<=on )\d\d?/\d\d?|(?<=since )\d\d?/\d\d?|(?<=from )\d\d?/\d\d?)(?![\d/])",
    re.IGNORECASE,
)

_POSTCODE = re.compile(
    r"(?<![A-Z0-9])(?:GIR ?0AA|ZZ99 ?\d[A-Z]{2}|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d{1,2}|\d[A-HJKPSTUW]|[A-HK-Y]\d[ABEHMNPRVWXY])"
    r"[ _-]{0,2}\d[ABD-HJLNP-UW-Z]{2})(?![A-Z0-9])",
    re.IGNORECASE,
)
_PHONE = re.compile(
    r"(?<![\d.])(?:(?:\+|00) ?44[ ().\-]*(?:0\)?)?(?:[ .\-()]*\d){9,10}"
    r"|\+[1-9](?:[ .\-()]*\d){7,14}"
    r"|\(?0(?=[1235789])(?:[ \-()]{0,2}\d){9,10})(?!\d)"
    r"|(?<![^\W\d_])(?:ext|extension|bleep|pager|tel|telephone|phone|mob|mobile|fax)(?![^\W\d_])[ .:#]*(?:no\.?|number)?[ .:#]*\d[\d ]{2,}",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+'’-]+ ?@ ?[\w-]+(?:\.[\w-]+)*", re.IGNORECASE)
_URL = re.compile(
    r"(?:https?|ftp|file|smb)://\S+|\bwww\.\S+"
    r"|(?<![\w.@])(?:[a-z0-9-]+\.)+(?:nhs\.uk|co\.uk|org\.uk|ac\.uk|gov\.uk|nhs\.scot|uk|com|org|net|info|eu|local)\b(?:/\S*)?"
    r"|\\\\[\w.$-]+\\\S+|\b[a-z]:\\\S+",
    re.IGNORECASE,
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IP = re.compile(
    rf"(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\d.])|(?<![\w:])(?:[0-9a-f]{{1,4}}:){{3,7}}[0-9a-f]{{1,4}}(?![\w:])"
    r"|(?<![\w:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:-])",
    re.IGNORECASE,
)
_GMC = re.compile(
    r"(?:gmc|nmc|hcpc)[^\d\n]{0,20}\d[\dA-Z ]{4,9}|(?<!\d)\d{7}(?!\d)(?=[^\d\n]{0,15}gmc)|\b\d\d[A-L]\d{4}[ESWNO]\b|\bRA ?\d{5,6}\b",
    re.IGNORECASE,
)
_HOSPITAL = re.compile(
    r"(?<![A-Z0-9])(?:[A-Z]{1,3}[-/ ]?\d{5,10}[A-Z]?|[A-Z]{1,2}\d{4}|\d{5,10}[A-Z]{1,2})(?![A-Z0-9])"
    r"|(?<![^\W\d_])(?:mrn|hosp(?:ital)?[ .]*(?:no|num|number|id)|unit[ .]*no|pas[ .]*no|acc(?:ession)?[ .]*(?:no|number)|pid|pat(?:ient)?[ .]*(?:id|no))"
    r"(?![^\W\d_])[ .:#=]*[A-Z]{0,4}[-/ ]?\d[\dA-Z/-]*",
    re.IGNORECASE,
)
_HOSPITAL_DESCRIPTOR = re.compile(_HOSPITAL.pattern.replace(r"|[A-Z]{1,2}\d{4}|", "|"), re.IGNORECASE)
_LONG = re.compile(r"\d{5,}")
_AGE_UNIT = (
    r"(?:[ -]?(?:y/?o|yrs?|years?|year|jahre|ans|a[nñ]os|anni)(?:[ -]?(?:of age|old))?|[ ]?[MF])(?![^\W\d_])"
)
_AGE_90 = re.compile(
    rf"(?<![\w.])(?:(?:aged?|age of|age is)[ .:=]*(?:9\d|1[0-2]\d)(?!\d)|(?:9\d|1[0-2]\d){_AGE_UNIT})|nonagenarian|centenarian",
    re.IGNORECASE,
)
_AGE = re.compile(rf"(?<![\w.,])(?:aged?[ .:=]*\d{{1,3}}(?![\d.])|\d{{1,3}}{_AGE_UNIT})", re.IGNORECASE)

_TITLES = r"Dr|DR|Doctor|DOCTOR|Mr|MR|Mrs|MRS|Ms|MS|Miss|MISS|Mx|MX|Prof|PROF|Professor|PROFESSOR|Sir|SIR|Lady|LADY|Lord|LORD"
_TITLES += r"|Dame|DAME|Rev|REV|Revd|Sr|SR|Sister|SISTER|Nurse|NURSE|Matron|MATRON|Mme|MME|Mlle|MLLE|Herr|HERR|Frau|FRAU"
_TITLES += (
    r"|Señora?|Sra|SRA|Dott|DOTT|Dra|DRA|Radiographer|RADIOGRAPHER|Operator|OPERATOR|Consultant|CONSULTANT|GP"
)
_TITLE = re.compile(
    rf"(?<![^\W_])(?:(?:{_TITLES})[ ._:^]+(?:and +|& +)?(?:(?:Dr|DR|Mr|MR|Mrs|Prof)[ ._]+)?((?:{_NAME}[ _^,-]*){{1,3}})"
    rf"|(?:dr|mrs|prof|doctor|professor|mr|miss|ms|nurse|sister)\.?[ _^]+([^\W\d_][\w'’-]+))"
)
_NAMED = re.compile(
    rf"(?<![^\W_])(?i:name|pt|patient|ref|refd|referr?(?:ed|er)?|reported|signed|seen|d/w|discussed|per|nok|next of kin"
    rf"|wife|husband|son|daughter|mother|father|carer|gp|c/o)(?i: name| by| is| of| with)?(?: *[:=] *| (?<=by )| (?<=with )| (?<=of ))"
    rf"((?:{_NAME}[ _^,-]*){{1,3}})"
)
_PLACE_WORD = r"(?:hospital|infirmary|trust|hospice|clinic|surgery|health centre|medical centre|care home|nursing home|general practice)"
_PLACE = re.compile(
    rf"((?:(?:St|ST)\.? +)?(?:{_NAME} +(?:of +|and +|& +)?){{1,4}})(?i:(?:nhs +|foundation +|general +|university +|district +)*{_PLACE_WORD})\b"
    rf"|\b(?i:{_PLACE_WORD})(?: +(?:of|at|for|in))? *[:,-]? *({_NAME})",
)
_WARD = re.compile(
    r"(?<![^\W_])(?i:ward|wd|bay|bed|theatre|flat|house)[ :#_-]*(?:[A-Z]?\d{1,3}[A-Z]?\b|([A-Z][\w'’-]+))"
)


def _plain(regex: re.Pattern[str]) -> Callable[[str], Iterator[tuple[int, int]]]:
    def find(text: str) -> Iterator[tuple[int, int]]:
        for match in regex.finditer(text):
            yield match.span()

    return find


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_][\w'’-]*", text.lower())


def _titles(text: str) -> Iterator[tuple[int, int]]:
    for regex in (_TITLE, _NAMED):
        for match in regex.finditer(text):
            group = next(number for number, value in enumerate(match.groups(), 1) if value)
            words = _words(match[group])
            if not words or words[0].rstrip("s") in _NOT_A_NAME or words[0] in _NOT_A_NAME:
                continue
            yield match.start(), match.start(group) + len(match[group].rstrip(" _^,-"))


def _places(text: str) -> Iterator[tuple[int, int]]:
    for regex in (_PLACE, _WARD):
        for match in regex.finditer(text):
            name = next((value for value in match.groups() if value), None)
            if name is None or any(word.rstrip(".") not in _NOT_A_PLACE for word in _words(name)):
                yield match.span()


_GROUPS = re.compile(r"\d+(?:[ ._/\-]{1,2}\d+)*")
_DIGITS = re.compile(r"\d+")
_CHI = re.compile(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{6}")


def _ten_digits(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """Yield start, end and digits of every ten digits that stand together, and whether their layout is an NHS number's.

    Whole groups only: the middle of a longer number isn't an NHS number.
    """
    for run in _GROUPS.finditer(text):
        groups = [(run.start() + m.start(), m[0]) for m in _DIGITS.finditer(run[0])]
        for first in range(len(groups)):
            digits = ""
            for last in range(first, len(groups)):
                digits += groups[last][1]
                if len(digits) >= 10:  # noqa: PLR2004
                    break
            if len(digits) != 10:  # noqa: PLR2004
                continue
            parts = [len(group) for _, group in groups[first : last + 1]]
            if len(parts) <= 5 or len(parts) == 10:  # noqa: PLR2004 - else numbers in a row, such as a matrix
                end = groups[last][0] + len(groups[last][1])
                yield groups[first][0], end, digits, parts in ([10], [3, 3, 4], [6, 4])


def _number_kind(digits: str) -> Kind | None:
    """Tell which of the United Kingdom's numbers ten digits with a right check digit are."""
    if not nhs.is_valid(digits):
        return None
    if _CHI.match(digits):
        return Kind.CHI_NUMBER
    return Kind.HSC_NUMBER if digits.startswith("3") else Kind.NHS_NUMBER


def _numbers(kind: Kind) -> Callable[[str], Iterator[tuple[int, int]]]:
    def find(text: str) -> Iterator[tuple[int, int]]:
        for start, end, digits, usual in _ten_digits(text):
            found = _number_kind(digits)
            if found is None and usual:
                found = Kind.CHI_NUMBER if _CHI.match(digits) else Kind.TEN_DIGITS
            if found is kind:
                yield start, end

    return find


_BOTH = frozenset(Strength)
_STRICT = frozenset({Strength.STRICT})
_DESCRIPTOR = frozenset({Strength.DESCRIPTOR})

_ALL: tuple[Pattern, ...] = (
    Pattern(Kind.EMAIL, "Email addresses.", _plain(_EMAIL), _BOTH, needs_digit=False),
    Pattern(Kind.URL, "Web addresses, host names and file paths.", _plain(_URL), _BOTH, needs_digit=False),
    Pattern(Kind.IP_ADDRESS, "IP and MAC addresses.", _plain(_IP), _BOTH, needs_digit=False),
    Pattern(
        Kind.NHS_NUMBER,
        "NHS numbers of England, Wales and the Isle of Man: ten digits in any spacing whose check digit is right"
        " (modulus 11).",
        _numbers(Kind.NHS_NUMBER),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.CHI_NUMBER,
        "CHI numbers of Scotland: ten digits that begin with a birth date.",
        _numbers(Kind.CHI_NUMBER),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.HSC_NUMBER,
        "Health and Care numbers of Northern Ireland: ten digits from 320 upwards, with a right check digit.",
        _numbers(Kind.HSC_NUMBER),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.TEN_DIGITS,
        "Any other ten digits in a row, or grouped 3-3-4.",
        _numbers(Kind.TEN_DIGITS),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.GMC,
        "Registration numbers of the GMC (seven digits near the letters GMC), NMC and HCPC.",
        _plain(_GMC),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.UK_PHONE,
        "Telephone, mobile, bleep and extension numbers, with or without +44 and spaces.",
        _plain(_PHONE),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(Kind.UK_POSTCODE, "UK postcodes.", _plain(_POSTCODE), _BOTH, needs_digit=True),
    Pattern(
        Kind.AGE_90_PLUS,
        "Ages of 90 and over, such as 'aged 93' or '93F'.",
        _plain(_AGE_90),
        _STRICT,
        needs_digit=False,
    ),
    Pattern(Kind.AGE, "Ages, such as '55F' or '7 yrs'.", _plain(_AGE), _DESCRIPTOR, needs_digit=True),
    Pattern(
        Kind.DATE,
        "Dates in figures or with the month's name, years from 1900 to 2049, and what follows 'born' or 'DOB'.",
        _plain(_DATES),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(Kind.DATE, "Day and month without a year.", _plain(_DAY_AND_MONTH), _STRICT, needs_digit=True),
    Pattern(
        Kind.HOSPITAL_NUMBER,
        "Hospital numbers: letters followed by digits, what follows 'MRN' or 'hospital no', and the site's own"
        " pattern if it gave one.",
        _plain(_HOSPITAL),
        _STRICT,
        needs_digit=True,
    ),
    Pattern(
        Kind.HOSPITAL_NUMBER,
        "Hospital numbers: letters followed by five or more digits, what follows 'MRN' or 'hospital no', and the"
        " site's own pattern if it gave one.",
        _plain(_HOSPITAL_DESCRIPTOR),
        _DESCRIPTOR,
        needs_digit=True,
    ),
    Pattern(Kind.LONG_NUMBER, "Five or more digits in a row.", _plain(_LONG), _BOTH, needs_digit=True),
    Pattern(
        Kind.TITLE_NAME,
        "Names after a title or a role: Dr, Mrs, Prof, Sister, Nurse, 'seen by', 'next of kin:' and the like.",
        _titles,
        _BOTH,
        needs_digit=False,
    ),
    Pattern(
        Kind.PLACE,
        "Names of hospitals, infirmaries, trusts, hospices, care homes, wards, bays and beds.",
        _places,
        _BOTH,
        needs_digit=False,
    ),
)

NATIONS: dict[str, tuple[str, ...]] = {"uk": tuple(kind.value for kind in Kind)}
"""Nation → names of the patterns that apply there. A profile may also list names itself."""

PATTERNS: dict[str, str] = {}
"""Name of each pattern → what it finds, in plain English."""
for _pattern in _ALL:
    PATTERNS.setdefault(_pattern.kind.value, _pattern.description)


class _AsciiForm(dict[int, str]):
    """Maps each character to one ASCII look-alike, so that positions stay: other digits, dashes, wide letters."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        plain = unicodedata.normalize("NFKC", character)
        if category == "Nd":
            result = str(unicodedata.digit(character))
        elif category == "Pd":
            result = "-"
        elif category in {"Zs", "Zl", "Zp", "Cf", "Cc"} and character not in "\n\r\t":
            result = " "
        else:
            result = plain if len(plain) == 1 else character
        self[code] = result
        return result


_ascii_form = _AsciiForm()


@lru_cache(maxsize=64)
def _selected(names: frozenset[str], strength: Strength) -> tuple[Pattern, ...]:
    unknown = names - PATTERNS.keys()
    if unknown:
        raise ValueError("unknown identifier pattern; the known ones are: " + ", ".join(PATTERNS))
    return tuple(p for p in _ALL if p.kind.value in names and strength in p.strengths)


_DEFAULT_NAMES = frozenset(NATIONS["uk"])


def find_identifiers(
    text: str,
    *,
    strength: Strength = Strength.STRICT,
    hospital_pattern: re.Pattern[str] | None = None,
    nation: str = "uk",
    patterns: Collection[str] | None = None,
) -> list[Hit]:
    """Return what in `text` looks like an identifier, in order of position.

    Parameters
    ----------
    text
        Any text; other scripts' digits and dashes are read too.
    strength
        Strict for free text that a person typed, descriptor for text that is being cleaned.
    hospital_pattern
        The site's own form of hospital number.
    nation
        Which nation's patterns apply, see `NATIONS`.
    patterns
        Names from `PATTERNS` instead of the nation's; all finds of a kind that is not named are left.

    Returns
    -------
    list of Hit
        A find that lies wholly inside one of a more telling kind is not repeated.

    Raises
    ------
    ValueError
        If `nation` or a name in `patterns` is unknown.
    """
    if patterns is not None:
        names = frozenset(patterns)
    elif nation in NATIONS:
        names = frozenset(NATIONS[nation]) if nation != "uk" else _DEFAULT_NAMES
    else:
        raise ValueError("unknown nation; the known ones are: " + ", ".join(NATIONS))
    plain = text if text.isascii() and text.isprintable() else text.translate(_ascii_form)
    has_digit = _DIGITS.search(plain) is not None
    hits: list[Hit] = []
    if hospital_pattern is not None:
        hits.extend(
            Hit(*match.span(), Kind.HOSPITAL_NUMBER) for match in hospital_pattern.finditer(plain) if match[0]
        )
    for pattern in _selected(names, strength):
        if pattern.needs_digit and not has_digit:
            continue
        for start, end in pattern.finder(plain):
            if not any(hit.start <= start and end <= hit.end for hit in hits):
                hits.append(Hit(start, end, pattern.kind))
    hits.sort()
    return hits
