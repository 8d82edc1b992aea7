"""What machines and people write into pictures, all of it made up: identifying lines, and markers."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from stdnum.gb import nhs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

MARKERS = (
    *("L", "R", "L", "R", "AP", "PA", "LAT", "LEFT", "RIGHT", "ERECT", "SUPINE", "PRONE", "PORTABLE", "MOBILE"),
    *("AP ERECT", "PA ERECT", "AP SUPINE", "AP PORTABLE", "AP MOBILE", "MOBILE AP", "SEMI ERECT", "SITTING"),
)
"""Laterality, projection and position; the two letters most often, as in practice."""

_FAMILIES = (
    *("Smithson", "Okonkwo", "O'Sullivan", "Ní Dhomhnaill", "Mac Giolla Phádraig", "Nguyễn", "Zhang", "Adeyemi-Brown"),
    *("Kowalczyk", "Pérez-García", "Müller", "Bhattacharya", "Llewellyn", "McAllister", "Özdemir", "Tan", "Ng", "Li"),
    *("Mbeki-Dlamini", "Ramanathan", "Featherstonehaugh", "Ó Briain", "Chukwuemeka", "Al-Rashid", "Jones", "Åkesson"),
)
_GIVENS = (
    *("Erika", "Siobhán", "Chidinma", "Wei", "Mary Ann", "Oluwaseun", "José", "Padraig", "Anh", "Zoë", "Gwenllian"),
    *("Tom", "Fatima", "Ian", "Jean-Luc", "Priya", "Hyun-woo", "Agnieszka", "Ben", "Uchenna", "Kathleen", "Al"),
)
_HOSPITALS = (
    *("St Zebedee's Hospital", "Northmoor Infirmary", "Royal Fenwick Hosp", "QUEEN ADA HOSPITAL", "Ysbyty Llanfach"),
    *("Great Oakley General", "Glenmorven Royal Infirmary", "NORTHMOOR NHS TRUST", "Belltower District Hospital"),
)
_WARDS = ("WARD 7B", "Ward: Elgar", "ITU BED 4", "A&E RESUS", "CCU 2", "Ward 14 East", "HDU Bed 11")
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_TAKEN = {"AP", "PA", "LL", "RL", "LR", "RR", "LAT", "AL"}
"""Initials that could be read as a marker are not used: nobody could tell which they are."""


@dataclass(frozen=True)
class Person:
    """A patient who does not exist."""

    family: str
    given: str
    born: date
    sex: str
    number: str
    nhs_number: str
    accession: str
    taken: date
    hospital: str


def _pick(rng: Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]


def _digits(rng: Generator, count: int) -> str:
    return "".join(str(digit) for digit in rng.integers(0, 10, count))


def invent(rng: Generator) -> Person:
    """Invent a patient; the NHS number is valid and of the range 999 that is kept for tests."""
    number = ""
    while not nhs.is_valid(number):
        number = "999" + _digits(rng, 7)
    return Person(
        family=_pick(rng, _FAMILIES),
        given=_pick(rng, _GIVENS),
        born=date(1928, 1, 1) + timedelta(int(rng.integers(30_000))),
        sex=_pick(rng, "MF"),
        number=_pick(rng, "ABCHKRXZ") + str(rng.integers(3, 10)) + _digits(rng, 6),
        nhs_number=number,
        accession="RX" + _pick(rng, "ABC") + str(rng.integers(1, 10)) + _digits(rng, 7),
        taken=date(2020, 3, 1) + timedelta(int(rng.integers(700))),
        hospital=_pick(rng, _HOSPITALS),
    )


def written_date(rng: Generator, day: date) -> str:
    """Write a date in one of the many ways of wards and machines."""
    month = _MONTHS[day.month - 1]
    forms = (
        *(f"{day:%d/%m/%Y}", f"{day:%d-%m-%y}", f"{day:%d.%m.%Y}", f"{day:%Y-%m-%d}", f"{day:%Y%m%d}"),
        *(f"{day.day} {month} {day.year}", f"{day:%d}{month}{day:%y}", f"{day:%d}-{month.title()}-{day.year}"),
        *(f"{month.title()} {day.day}, {day.year}", f"{day:%d/%m/%y}", f"{day:%Y/%m/%d}"),
    )
    return _pick(rng, forms)


def _name(rng: Generator, person: Person) -> str:
    family, given = person.family, person.given
    forms = (
        *(f"{family.upper()}, {given}", f"{given} {family}", f"{family.upper()} {given.upper()}", f"{family}^{given}"),
        *(
            f"{family.upper()} {given[0]}",
            f"{given[0]}. {family}",
            family.upper(),
            f"Mr {family}",
            f"Mrs {given} {family}",
        ),
        f"{family}, {given} ({person.sex})",
    )
    return _pick(rng, forms)


def _initials(rng: Generator) -> str:
    while True:
        letters = [_pick(rng, "ABCDEFGHJKMNPSTVWY") for _ in range(int(rng.integers(2, 4)))]
        if "".join(letters) not in _TAKEN:
            return _pick(rng, ("", ".")).join(letters)


def identifying_line(rng: Generator, person: Person) -> tuple[str, str]:
    """Return one line that helps to say who the patient or the staff is, and the name of its sort."""
    grouped = f"{person.nhs_number[:3]} {person.nhs_number[3:6]} {person.nhs_number[6:]}"
    hour = f"{rng.integers(24):02}:{rng.integers(60):02}"
    born, taken = written_date(rng, person.born), written_date(rng, person.taken)
    age = (person.taken - person.born).days // 365
    match int(rng.integers(14)):
        case 0 | 1 | 2:
            return _name(rng, person), "name"
        case 3:
            return _pick(
                rng, (f"NHS {grouped}", f"NHS No: {person.nhs_number}", grouped, person.nhs_number)
            ), "nhs number"
        case 4:
            return _pick(
                rng, (person.number, f"ID: {person.number}", f"Hosp No {person.number}", f"MRN {person.number}")
            ), "hospital number"
        case 5:
            return _pick(
                rng, (f"DOB {born} {person.sex}", f"D.O.B. {born}", f"Born: {born}", f"*{born}", born)
            ), "birth date"
        case 6:
            return _pick(
                rng, (taken, f"{taken} {hour}", f"{taken} {hour}:{rng.integers(60):02}", f"Date: {taken}")
            ), "date"
        case 7:
            return _pick(rng, (f"Time {hour}", f"{hour}:{rng.integers(60):02}", f"{hour.replace(':', '')} HRS")), "time"
        case 8:
            return _pick(rng, (person.accession, f"Acc: {person.accession}", f"Acc# {person.accession}")), "accession"
        case 9:
            return person.hospital, "hospital"
        case 10:
            return _pick(rng, _WARDS), "ward"
        case 11:
            return _initials(rng), "initials"
        case 12:
            return f"{person.family.upper()} {person.number} {person.born:%d/%m/%Y}", "several"
        case _:
            return f"{_name(rng, person)} {age}Y {person.sex}", "several"


def plain_latin(text: str) -> str:
    """Return a text without accents, for typefaces that have none."""
    folded = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in folded if not unicodedata.combining(letter)).encode("ascii", "ignore").decode()
