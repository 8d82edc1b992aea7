"""How identifiers are written: a regular expression for each kind, and finders for names and places."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What follows "MR", "DR" or "SR" where these are modalities, and plain words after a title in lower case.
NOT_A_NAME = frozenset(
    """
    abdo abdomen abdominal and angio angiogram angiography ankle aorta aortic arm arthrogram artery at
    breast brain cardiac cervical chest cholangiogram cine colon cord coronary contrast ct deformans
    diffusion dorsal elbow enterography ext extremity femur fetal finger flow foot for forearm from hand
    head heart hip humerus image images imaging in is kidney knee left leg lesion lesions limb liver
    lower lumbar lung lungs mammo mammogram mandible mediastinum mrcp mri neck of on or orbit orbits pa
    pancreas pelvis perfusion pituitary portable prostate rectum referral renal report request review
    rib ribs right sacrum scan scans screening series shoulder sinuses skull small spectroscopy spine
    sternum study that the thigh thoracic thorax tibia to upper urogram urography venogram venography
    was wb who whole with without wrist xray
    cardiology icu itu hdu mdt medics microbiology oncology physio radiology rheumatology surgeons surgery
    """.split()
)
# What stands before or after "hospital" or "ward" without naming one.
NOT_A_PLACE = frozenset(
    """
    a acquired acquisition acute admission an and any arrival at attendance avoidance based bay bed care
    clinic community covid covid-19 current day discharge discharged ed emergency field for from general
    geriatric hdu hospital icu in is isolation itu local medical mobile no nhs number of on onset or
    other our outpatient patient patients pneumonia post pre previous referral respiratory round side
    clinical long out stay surgical teaching that the this to transfer trust unit visit was ward wards with x
    """.split()
)

_BEFORE_WORD = r"(?<![^\W\d_])"
_AFTER_WORD = r"(?![^\W\d_])"

_YEAR = r"(?:19\d\d|20[0-4]\d)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_DAY2 = r"(?:0[1-9]|[12]\d|3[01])"
_NUMBER_OF_MONTH = r"(?:0?[1-9]|1[0-2])"
_MONTH2 = r"(?:0[1-9]|1[0-2])"
_ORDINAL = r"(?:st|nd|rd|th)?"
_GAP = r" ?[/\-._ ] ?"
_LOOSE = r"[ /.,_'’\-]*"
_CLOCK = r"(?:[T ]\d\d:\d\d(?::\d\d)?)?"
# English, French, German, Spanish, Italian, Dutch and Portuguese
_MONTH = (
    r"(?:jan(?:uary|vier|uar|eiro|uari)?|ene(?:ro)?|gen(?:naio)?"
    r"|feb(?:ruary|ruar|brero|braio|ruari)?|f[eé]v(?!1(?!\d))(?:rier|ereiro)?"
    r"|mar(?:ch|s|zo|[cç]o)?|m[aä]r(?:z|t|rt)|apr(?:il|ile)?|avr(?:il)?|abr(?:il)?"
    r"|may|mai|maggio|mayo|maio|mei|june?|juni?|juin|junio|giugno|junho"
    r"|july?|juli|juil(?:let)?|julio|luglio|julho|aug(?:ust|ustus)?|ao[uû]t|ago(?:sto)?"
    r"|sept?(?:ember|embre|iembre|tembre)?|set(?:tembre|embro)?"
    r"|oct(?:ober|obre|ubre)?|okt(?:ober)?|out(?:ubro)?|ott(?:obre)?|nov(?:ember|embre|iembre|embro)?"
    r"|dec(?:ember)?|d[eé]c(?:embre)?|dez(?:ember|embro)?|dic(?:iembre|embre)?)" + _AFTER_WORD
)
# Months as much of Europe writes them: 3.IV.2003
_ROMAN = r"(?:x?i{1,3}|i?[vx]|vi{1,3}|xi{1,2})"

DATE = re.compile(
    r"(?<!\d)(?:"
    + "|".join(
        (
            rf"{_YEAR}{_GAP}{_NUMBER_OF_MONTH}{_GAP}{_DAY}{_CLOCK}(?!\d)",
            rf"{_YEAR}{_MONTH2}{_DAY2}(?!\d)",
            rf"{_DAY2}{_MONTH2}{_YEAR}(?!\d)",
            rf"(?:{_DAY}{_GAP}{_NUMBER_OF_MONTH}|{_NUMBER_OF_MONTH}{_GAP}{_DAY}){_GAP}{_YEAR}(?!\d)",
            rf"(?:{_DAY}[/.\-]{_NUMBER_OF_MONTH}|{_NUMBER_OF_MONTH}[/.\-]{_DAY})[/.\-]\d\d(?![\d.])",
            rf"{_DAY}(?:[/.\-_] ?{_ROMAN}[/.\-_] ?(?:{_YEAR}|\d\d)| {_ROMAN} {_YEAR})(?!\d)",
            rf"{_YEAR}[/.\-]{_NUMBER_OF_MONTH}(?![\d.])",
            rf"{_NUMBER_OF_MONTH}[/\-]{_YEAR}(?!\d)",
            rf"{_DAY}{_ORDINAL}(?: of)?{_LOOSE}{_MONTH}(?:{_LOOSE}\d{{2,4}}(?!\d))?",
            rf"{_BEFORE_WORD}{_MONTH}{_LOOSE}{_DAY}{_ORDINAL}(?!\d)(?:{_LOOSE}{_YEAR})?",
            rf"{_BEFORE_WORD}{_MONTH}{_LOOSE}(?:{_YEAR}|['’]?\d\d)(?!\d)",
            rf"(?<![\d.,/\-]){_YEAR}(?![\d.,]?\d)",
        )
    )
    + rf")|{_BEFORE_WORD}(?:dob|d\.o\.b|born|n[ée]e? le|geb){_AFTER_WORD}[ .:=]*(?:in |on )?\d[\d /.\-]*(?:{_ROMAN}[ /.\-]*\d+)?",
    re.IGNORECASE,
)
DAY_AND_MONTH = re.compile(
    rf"(?<![\d/.])(?:{_DAY}/0[1-9]|(?:(?<=on )|(?<=since )|(?<=from ))\d\d?/\d\d?)(?![\d/])", re.IGNORECASE
)
POSTCODE = re.compile(
    r"(?<![A-Z0-9])(?:GIR ?0AA|ZZ99 ?\d[A-Z]{2}"
    r"|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d{1,2}|\d[A-HJKPSTUW]|[A-HK-Y]\d[ABEHMNPRVWXY])"
    r"[ _-]{0,2}\d[ABD-HJLNP-UW-Z]{2})(?![A-Z0-9])",
    re.IGNORECASE,
)
PHONE = re.compile(
    r"(?<![\d.])(?:(?:\+|00) ?44[ ().\-]*(?:0\)?)?(?:[ .\-()]*\d){9,10}"
    r"|\+[1-9](?:[ .\-()]*\d){7,14}"
    r"|\(?0(?=[1235789])(?:[ \-()]{0,2}\d){9,10})(?!\d)"
    rf"|{_BEFORE_WORD}(?:ext|extension|bleep|pager|tel|telephone|phone|mob|mobile|fax){_AFTER_WORD}"
    r"[ .:#]*(?:no\.?|number)?[ .:#]*\d[\d ]{2,}",
    re.IGNORECASE,
)
EMAIL = re.compile(r"[\w.+'’-]+ ?@ ?[\w-]+(?:\.[\w-]+)*", re.IGNORECASE)
URL = re.compile(
    r"(?:https?|ftp|file|smb)://\S+|\bwww\.\S+|\\\\[\w.$-]+\\\S+|\b[a-z]:\\\S+"
    r"|(?<![\w.@])(?:[a-z0-9-]+\.)+"
    r"(?:nhs\.uk|co\.uk|org\.uk|ac\.uk|gov\.uk|nhs\.scot|uk|com|org|net|info|eu|local)\b(?:/\S*)?",
    re.IGNORECASE,
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
IP_ADDRESS = re.compile(
    rf"(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\d.])"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![\w:])"
    r"|(?<![\w:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:-])",
    re.IGNORECASE,
)
REGISTRATION = re.compile(
    r"(?:gmc|nmc|hcpc)[^\d\n]{0,20}\d[\dA-Z ]{4,9}|(?<!\d)\d{7}(?!\d)(?=[^\d\n]{0,15}gmc)"
    r"|\b\d\d[A-L]\d{4}[ESWNO]\b|\bRA ?\d{5,6}\b",
    re.IGNORECASE,
)
_NUMBER_LABEL = (
    rf"{_BEFORE_WORD}(?:mrn|pid|hosp(?:ital)?[ .]*(?:no|num|number|id)|unit[ .]*no|pas[ .]*no"
    rf"|acc(?:ession)?[ .]*(?:no|number)|pat(?:ient)?[ .]*(?:id|no)){_AFTER_WORD}"
    r"[ .:#=]*[A-Z]{0,4}[-/ ]?\d[\dA-Z/-]*"
)
_LETTERS_AND_NUMBER = r"[A-Z]{1,3}[-/ ]?\d{5,10}[A-Z]?|\d{5,10}[A-Z]{1,2}"
HOSPITAL_NUMBER = re.compile(
    rf"(?<![A-Z0-9])(?:{_LETTERS_AND_NUMBER}|[A-Z]{{1,2}}\d{{4}})(?![A-Z0-9])|{_NUMBER_LABEL}", re.IGNORECASE
)
HOSPITAL_NUMBER_IN_DESCRIPTOR = re.compile(
    rf"(?<![A-Z0-9])(?:{_LETTERS_AND_NUMBER})(?![A-Z0-9])|{_NUMBER_LABEL}", re.IGNORECASE
)
LONG_NUMBER = re.compile(r"\d{5,}")
_AGE_UNIT = (
    r"(?:[ _-]?(?:y/?o|y\.o\.?|yrs?|years?|year|jahre|ans|a[nñ]os|anni|(?:mlwydd )?oed)(?:[ _-]?(?:of age|old))?|[ ]?[/,]?[ ]?[MF])"
    + _AFTER_WORD
)
_SEX_AND_AGE = r"[MF](?:[ ]?[/,][ ]?\d{2,3}|[ ](?:9\d|1[01]\d))(?![\d./])" + _AFTER_WORD
AGE_90_PLUS = re.compile(
    r"(?<![^\W_])(?<!\.)(?:(?:aged?|age of|age is)[ .:=]*(?:9\d|1[0-2]\d)(?!\d)"
    rf"|(?:9\d|1[0-2]\d){_AGE_UNIT}|[MF][ ]?[/,]?[ ]?(?:9\d|1[01]\d)(?![\d./]){_AFTER_WORD})|nonagenarian|centenarian",
    re.IGNORECASE,
)
AGE = re.compile(
    rf"(?<![^\W_])(?<![.,])(?:aged?[ .:=_]*\d{{1,3}}(?![\d.])|\d{{1,3}}{_AGE_UNIT}|{_SEX_AND_AGE})", re.IGNORECASE
)

_PARTICLE = r"(?:(?:van|von|de|der|den|del|della|di|da|do|dos|la|le|el|al|bin|ibn|ap|ab|ter|ten|zu|zum)[ _'’-]+)*"
_NAME = rf"(?:{_PARTICLE}[A-ZÀ-ÖØ-Þ][\w'’-]*(?:\.(?!\w))?)"
_NAMES = rf"((?:{_NAME}[ _^,-]*){{1,3}})"
# Capitalised or all capitals, so that "miss" and "sister" as plain words are left.
_TITLES = "|".join(
    f"{title}|{title.upper()}"
    for title in """
        Dr Doctor Mr Mrs Ms Miss Mx Prof Professor Sir Lady Lord Dame Rev Revd Sr Sister Nurse Matron Mme Mlle
        Herr Frau Señor Señora Sra Dott Dra Radiographer Operator Consultant GP
    """.split()
)
TITLE = re.compile(
    rf"(?<![^\W_])(?:(?:{_TITLES})[ ._:^]+(?:and +|& +)?(?:(?:Dr|DR|Mr|MR|Mrs|Prof)[ ._]+)?{_NAMES}"
    r"|(?:dr|mrs|prof|doctor|professor|mr|miss|ms|nurse|sister)\.?[ _^]+([^\W\d_][\w'’-]+))"
)
ROLE = re.compile(
    r"(?<![^\W_])(?i:name|pt|patient|ref|refd|referr?(?:ed|er)?|reported|signed|seen|d/w|discussed|per|nok"
    r"|next of kin|wife|husband|son|daughter|mother|father|carer|gp|c/o)(?i: name| by| is| of| with)?"
    rf"(?: *[:=] *| (?<=by )| (?<=with )| (?<=of )){_NAMES}"
)
_PLACE_WORD = (
    r"(?:hospital|infirmary|trust|hospice|clinic|surgery|health centre|medical centre|care home|nursing home"
    r"|general practice)"
)
PLACE = re.compile(
    rf"((?:(?:St|ST)\.? +)?(?:{_NAME} +(?:of +|and +|& +)?){{1,4}})"
    rf"(?i:(?:nhs +|foundation +|general +|university +|district +)*{_PLACE_WORD})\b"
    rf"|\b(?i:{_PLACE_WORD})\b(?: +(?:of|at|for|in))? *[:,-]? *({_NAME})"
)
WARD = re.compile(
    r"(?<![^\W_])(?i:ward|wd|bay|bed|theatre|flat|house)[ :#_-]*(?:[A-Z]?\d{1,3}[A-Z]?\b|([A-Z][\w'’-]+))"
)


def spans(regex: re.Pattern[str]) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Return a finder of all that `regex` matches."""

    def find(text: str) -> Iterator[tuple[int, int]]:
        for match in regex.finditer(text):
            yield match.span()

    return find


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_][\w'’-]*", text.lower())


def titles(text: str) -> Iterator[tuple[int, int]]:
    """Find names by the title or the role before them; "MR BRAIN" and "DR CHEST" are modalities."""
    for regex in (TITLE, ROLE):
        for match in regex.finditer(text):
            group = next(number for number, value in enumerate(match.groups(), 1) if value)
            words = _words(match[group])
            sure = match[0].startswith(("Dr", "Mr", "Mrs", "Ms", "Prof"))  # never a modality
            if words and (sure or (words[0] not in NOT_A_NAME and words[0].rstrip("s") not in NOT_A_NAME)):
                yield match.start(), match.start(group) + len(match[group].rstrip(" _^,-"))


def places(text: str) -> Iterator[tuple[int, int]]:
    """Find named places; "hospital acquired" and "COVID ward" name none."""
    for regex in (PLACE, WARD):
        for match in regex.finditer(text):
            name = next((value for value in match.groups() if value), None)
            if name is None or any(word.rstrip(".") not in NOT_A_PLACE for word in _words(name)):
                yield match.span()
