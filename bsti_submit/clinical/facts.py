"""What the headers and the folder say about patient and studies, to hold a record against.

Everything that could identify stays `Identified` or inside a callable; only age classes, day offsets and
modalities come out.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Protocol

from bsti_submit.clinical.form import AGE_CAP, AGE_LIMIT
from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bsti_submit.identifiers import Hit

SUFFIX_LENGTH = 3
SHORTEST_ID = 4
SHORTEST_WORD = 3
DAYS_PER_WEEK = 7
DAYS_PER_YEAR = 365.25
MONTHS_PER_YEAR = 12
_PLACEHOLDER_YEARS = (1800, 1900)
_AGE_STRING = re.compile(r"(\d{3})([DWMY])\Z", re.ASCII)
_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})\Z", re.ASCII)
_MODALITIES = {"CT": "CT", "CR": "CXR", "DX": "CXR", "MR": "MR", "PT": "PET-CT"}


class FindIdentifiers(Protocol):
    """Searches a text for things with the form of an identifier."""

    def __call__(self, text: str, /) -> Sequence[Hit]:
        """Return every find, in any order."""


@dataclass(frozen=True, slots=True)
class HeaderAge:
    """The age in completed years that the headers give for the index study.

    ``years`` is offered at the prompt; it is None where the headers contradict themselves or are vague.
    ``ranges`` are the ages, ends included, that do not contradict the headers. ``source`` is the schema's
    word.
    """

    years: Identified[int] | None
    ranges: Identified[tuple[tuple[int, int], ...]]
    source: str
    doubt: str = ""

    def fits(self, age: int | str) -> bool:
        """Whether an age, or ``90+``, does not contradict the headers."""
        low, high = (AGE_CAP, AGE_LIMIT) if isinstance(age, str) else (age, age)
        return any(start <= high and low <= end for start, end in self.ranges.reveal())


@dataclass(frozen=True, slots=True)
class OfferedPrior:
    """An earlier study in the folder.

    ``included``: it was chosen to go along. ``case_id``: the case as which it was sent by itself, as far as this machine
    knows.
    """

    modality: str
    days_before: int
    study_number: int
    included: bool = True
    case_id: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """The facts that a clinical record is held against. Every part may be missing; then nothing is compared.

    Parameters
    ----------
    index_modality
        ``CT``, ``CXR`` or ``MR``; empty if unknown.
    index_modalities
        All of those that the index study holds: a CT may have a radiograph in the same study.
    age, sex
        From the headers; ``sex`` is ``M``, ``F``, ``O`` or empty.
    priors
        Earlier studies of the same patient in the folder; None if there is no folder to look at.
    priors_chosen
        Whether it was decided already which of those go along; else the record itself says.
    index_date, birth_date
        For turning typed dates into days, and to refuse days before birth.
    today
        To refuse days that have not come yet; never part of any output.
    matches_patient
        Whether a text holds one of this patient's own words or numbers.
    suffix_matches
        Whether three typed characters end the hospital number; answers None where there is none to compare.
    final_check
        Whether the last search of everything that leaves would find something of this patient in a text.
    same_patient
        Whether an earlier case is one of this patient; answers None for a case that this machine does not know.
    find_identifiers
        The search for national patterns; by default that of `bsti_submit.identifiers`.
    """

    index_modality: str = ""
    index_modalities: frozenset[str] = frozenset()
    age: HeaderAge | None = None
    sex: str = ""
    priors: tuple[OfferedPrior, ...] | None = None
    priors_chosen: bool = False
    index_date: Identified[date] | None = None
    birth_date: Identified[date] | None = None
    today: date | None = field(default=None, repr=False)
    matches_patient: Callable[[str], bool] | None = field(default=None, repr=False)
    suffix_matches: Callable[[str], bool | None] | None = field(default=None, repr=False)
    final_check: Callable[[str], bool] | None = field(default=None, repr=False)
    same_patient: Callable[[str], bool | None] | None = field(default=None, repr=False)
    find_identifiers: FindIdentifiers | None = field(default=None, repr=False)

    @property
    def days_lived(self) -> int | None:
        """Days from birth to the index study, where both dates are known."""
        if self.index_date is None or self.birth_date is None:
            return None
        return days_between(self.birth_date, self.index_date)

    @property
    def days_since(self) -> int | None:
        """Days from the index study to today, where both are known."""
        if self.index_date is None or self.today is None:
            return None
        return (self.today - self.index_date.reveal()).days


@dataclass(frozen=True, slots=True)
class StudyFact:
    """One study of the patient, as the survey found it.

    ``modality`` is DICOM's Modalities in Study (0008,0061), several joined by a backslash. ``case_id`` as in `OfferedPrior`.
    """

    number: int
    modality: str
    study_date: Identified[str]
    included: bool = True
    case_id: str = ""

    @property
    def modalities(self) -> frozenset[str]:
        """The form's words for them."""
        return frozenset(modality_of(one) for one in self.modality.split("\\"))

    def best(self, order: tuple[str, ...]) -> str:
        """Return the first word of an order that the study has, or ``other``."""
        return next((word for word in order if word in self.modalities), "other")


def modality_of(dicom_modality: str) -> str:
    """Return the form's word for a DICOM modality: ``CR`` and ``DX`` are ``CXR``."""
    return _MODALITIES.get(dicom_modality, "other")


def read_date(text: Identified[str]) -> Identified[date] | None:
    """Read a DICOM DA (PS3.5 6.2), the older ``YYYY.MM.DD`` included; None if it is empty or no date."""
    found = _DATE.match(text.reveal().strip("\0 "))
    if found is None:
        return None
    try:
        return Identified(date(int(found[1]), int(found[2]), int(found[3])))
    except ValueError:
        return None


def days_between(start: Identified[date], end: Identified[date]) -> int:
    """Return whole days from start to end; negative if the end comes first."""
    return (end.reveal() - start.reveal()).days


def age_at(birth: Identified[date], day: Identified[date]) -> int:
    """Return completed years. Who was born on 29 February is a year older on 1 March of other years."""
    born, then = birth.reveal(), day.reveal()
    return then.year - born.year - ((then.month, then.day) < (born.month, born.day))


def parse_age_string(text: Identified[str]) -> int | None:
    """Read PatientAge (0010,1010), VR AS (PS3.5 6.2), as completed years.

    Returns
    -------
    int or None
        ``045Y`` → 45, ``018M`` → 1, ``011M`` → 0. None for ``000Y``, which is a dummy, and for anything
        malformed.
    """
    found = _AGE_STRING.match(text.reveal().strip("\0 "))
    if found is None:
        return None
    count, unit = int(found[1]), found[2]
    if unit == "Y":
        return count if 0 < count <= AGE_LIMIT else None
    if unit == "M":
        return count // MONTHS_PER_YEAR
    return int(count * (DAYS_PER_WEEK if unit == "W" else 1) / DAYS_PER_YEAR)


def header_age(
    birth_date: Identified[str], patient_age: Identified[str], study_date: Identified[date] | None
) -> HeaderAge | None:
    """Work out the age at the index study from the headers.

    Parameters
    ----------
    birth_date
        PatientBirthDate (0010,0030).
    patient_age
        PatientAge (0010,1010).
    study_date
        StudyDate (0008,0020) of the index study.

    Returns
    -------
    HeaderAge or None
        None if the headers give no usable age. A birth date on 1 January may be a year only, so the age may
        be one less; the person is asked. So it is when birth date and age differ by more than a year.
    """
    stated = parse_age_string(patient_age)
    born = read_date(birth_date)
    computed = age_at(born, study_date) if born is not None and study_date is not None else None
    # Years such as 1900 are what a system writes when it does not know.
    if computed is not None and born is not None and born.reveal().year in _PLACEHOLDER_YEARS:
        computed = None
    if computed is not None and not 0 <= computed <= AGE_LIMIT:
        computed = None
    if computed is None or born is None:
        if stated is None:
            return None
        return HeaderAge(Identified(stated), Identified(((stated, stated),)), "dicom-age")
    year_only = (born.reveal().month, born.reveal().day) == (1, 1)
    low = max(computed - 1, 0) if year_only else computed
    ranges = ((low, computed),)
    if stated is not None and abs(stated - computed) > 1:
        doubt = "The birth date and the age in the headers contradict each other."
        return HeaderAge(None, Identified((*ranges, (stated, stated))), "dicom-birthdate", doubt)
    if year_only:
        doubt = "The birth date in the headers is 1 January, which often stands for an unknown day."
        return HeaderAge(None, Identified(ranges), "dicom-birthdate", doubt)
    return HeaderAge(Identified(computed), Identified(ranges), "dicom-birthdate")


def _squash(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def suffix_matcher(patient_id: Identified[str]) -> Callable[[str], bool | None]:
    """Return a check of the last three letters or digits of the hospital number.

    The returned function answers None where PatientID is too short to be anybody's number.
    """
    whole = Identified(_squash(patient_id.reveal()))

    def matches(typed: str) -> bool | None:
        if len(whole.reveal()) < SHORTEST_ID:
            return None
        tail = whole.reveal()[-SUFFIX_LENGTH:]
        return hmac.compare_digest(_squash(typed).encode(), tail.encode())

    return matches


def own_words_matcher(values: Iterable[Identified[str]]) -> Callable[[str], bool]:
    """Return a search for this patient's own words.

    Every run of three or more letters or digits of some headers.

    Parameters
    ----------
    values
        PatientName, PatientID and other ids, AccessionNumber, the names of physicians and operators,
        InstitutionName, StationName and so on.
    """
    words: set[str] = set()
    runs: set[str] = set()
    for value in values:
        parts = _words(value.reveal())
        words.update(part for part in parts if len(part) >= SHORTEST_WORD)
        if any(character.isdigit() for character in value.reveal()):
            runs.add(_squash(value.reveal()))
    held = Identified((frozenset(words), frozenset(run for run in runs if len(run) >= SHORTEST_ID)))

    def matches(text: str) -> bool:
        own, numbers = held.reveal()
        squashed = _squash(text)
        return not own.isdisjoint(_words(text)) or any(number in squashed for number in numbers)

    return matches


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(character for character in folded if not unicodedata.combining(character))
    return re.findall(r"[^\W_]+", bare)


def build_context(
    *,
    birth_date: Identified[str],
    patient_age: Identified[str],
    sex: str,
    patient_id: Identified[str],
    studies: Sequence[StudyFact],
    index_number: int,
    priors_chosen: bool = False,
    today: date | None = None,
    matches_patient: Callable[[str], bool] | None = None,
    final_check: Callable[[str], bool] | None = None,
    same_patient: Callable[[str], bool | None] | None = None,
    find_identifiers: FindIdentifiers | None = None,
) -> Context:
    """Gather the facts of one case.

    Parameters
    ----------
    birth_date, patient_age, sex, patient_id
        The headers of the index study, as they stand.
    studies
        Every study of the patient in the folder, the index among them.
    index_number
        The number of the index study.
    priors_chosen, today, matches_patient, final_check, same_patient, find_identifiers
        As in `Context`.

    Raises
    ------
    StopIteration
        If the index is not among the studies, which is a fault of the caller.

    Notes
    -----
    A study without a date, or newer than the index, cannot be told as earlier imaging and is not offered.
    """
    index = next(study for study in studies if study.number == index_number)
    index_date = read_date(index.study_date)
    priors: list[OfferedPrior] = []
    for study in studies:
        when = read_date(study.study_date)
        if study.number == index_number or when is None or index_date is None:
            continue
        days = days_between(when, index_date)
        if 0 <= days <= LONGEST_PRIOR_DAYS:
            modality = study.best(("PET-CT", *INDEX_MODALITIES))
            priors.append(OfferedPrior(modality, days, study.number, study.included, study.case_id))
    age = header_age(birth_date, patient_age, index_date)
    born = read_date(birth_date)
    # A birth date that the age does not rest on is a placeholder, and says nothing about days before birth.
    trusted = age is not None and age.source == "dicom-birthdate" and not age.doubt
    return Context(
        index_modality=index.best(INDEX_MODALITIES) if index.modalities & set(INDEX_MODALITIES) else "",
        index_modalities=index.modalities & set(INDEX_MODALITIES),
        age=age,
        sex=sex.strip().upper() if sex.strip().upper() in {"M", "F", "O"} else "",
        priors=tuple(sorted(priors, key=lambda prior: (prior.days_before, prior.study_number))),
        priors_chosen=priors_chosen,
        index_date=index_date,
        birth_date=born if trusted else None,
        today=today,
        matches_patient=matches_patient,
        suffix_matches=suffix_matcher(patient_id),
        final_check=final_check,
        same_patient=same_patient,
        find_identifiers=find_identifiers,
    )


LONGEST_PRIOR_DAYS = 3650
INDEX_MODALITIES = ("CT", "CXR", "MR")
