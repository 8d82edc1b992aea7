"""Made-up people, and how their names, numbers and dates get written into images."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stdnum.gb import nhs

if TYPE_CHECKING:
    import random

Day = tuple[int, int, int]

_FAMILIES = (
    "Whitcombe O'Sullivan Llewellyn-Price Achebe Nwosu Ng Kaur Begum Szczepański Dvořák Thornbury Bone Long Young "
    "Black Legg Wall Bell Scott De'Ath MacGregor Björnsson Fitzwilliam Post Ward Bishop Walker Ferreira Yılmaz"
).split()
_GIVEN = (
    "Aled Siobhán Oluwaseun Nia Gwendolyn Tariq Jean-Luc Rose May Hope Will Mark Jo Zoë Renée François Mohammed "
    "Priya Xiu-Ying Angus Bronwen Iris Violet Rob Pat Dale Axel Iona Peter"
).split()
_STRANGERS = (
    "Hargreaves Pemberton Ogunleye Chaudhry Wiśniewski Trevithick McAllister Featherstone Blenkinsop Rahman Abdullahi "
    "Quigley Nakamura Galbraith Patel Khan Jones Williams Evans Roberts Hughes Davies Cooper Turner Baker Bennett"
).split()
_STRANGERS_GIVEN = (
    "Margaret Deborah Kayode Imran Zofia Demelza Hamish Clementine Niamh Elif Callum Gertrude Susan".split()
)
PLACES = "Wetherby Llandudno Inverness Penzance Ballymena Aberystwyth Pontefract Basingstoke Kirkcaldy".split()
_HOSPITALS = ("General Hospital", "Royal Infirmary", "Heart and Lung Hospital", "District Hospital NHS Trust")
_STREETS = ("Larkspur Crescent", "Gasworks Lane", "Marmalade Row", "Tannery Close")
_MONTHS = "January February March April May June July August September October November December".split()


def bare(text: str) -> str:
    """Return letters and digits alone, without case and accents."""
    folded = unicodedata.normalize("NFKD", text.replace("ı", "i")).casefold()
    return "".join(character for character in folded if character.isalnum() and not unicodedata.combining(character))


def plain(text: str) -> str:
    """Return a text without accents."""
    folded = unicodedata.normalize("NFKD", text)
    return "".join(character for character in folded if not unicodedata.combining(character))


@dataclass(frozen=True)
class Someone:
    """A patient, those around them, and where they were seen."""

    family: str
    given: str
    patient_id: str
    nhs_number: str
    accession: str
    born: Day
    studied: Day
    referrer: tuple[str, str]
    operator: tuple[str, str]
    stranger: tuple[str, str]
    place: str
    hospital: str
    elsewhere: str
    street: str
    station: str
    serial: str
    uid: str

    @property
    def own_words(self) -> frozenset[str]:
        """The words of everybody's names, for which no text is blamed to have lost them."""
        names = [self.family, self.given, *self.referrer, *self.operator, *self.stranger, self.hospital]
        return frozenset(bare(word) for name in names for word in re.split(r"[ '-]", name))


def invent(rng: random.Random) -> Someone:
    """Invent a patient."""
    place, elsewhere = rng.sample(PLACES, 2)
    studied = (rng.randrange(2019, 2022), rng.randrange(1, 13), rng.randrange(1, 29))
    seven = rng.randrange(1_000_000, 9_999_999)
    people = rng.sample(_STRANGERS, 3)
    given = rng.sample(_STRANGERS_GIVEN, 3)
    return Someone(
        family=rng.choice(_FAMILIES),
        given=rng.choice(_GIVEN),
        patient_id=rng.choice([f"{seven}", f"R{seven}", f"RXK{seven}", f"{seven // 10_000}-{seven % 100_000:05}"]),
        nhs_number=_nhs_number(rng),
        accession=rng.choice([f"RA{seven}1", f"{seven}42", f"E-{seven}"]),
        born=(rng.randrange(1915, 2012), rng.randrange(1, 13), rng.randrange(1, 29)),
        studied=studied,
        referrer=(people[0], given[0]),
        operator=(people[1], given[1]),
        stranger=(people[2], given[2]),
        place=place,
        hospital=f"{place} {rng.choice(_HOSPITALS)}",
        elsewhere=elsewhere,
        street=f"{rng.randrange(1, 200)} {rng.choice(_STREETS)}",
        station=f"CT{place.upper()[:6]}{rng.randrange(1, 9)}",
        serial=str(rng.randrange(100_000, 999_999)),
        uid=f"1.3.12.2.1107.5.1.4.{seven}.3000{da(studied)}{rng.randrange(10**8, 10**9)}",
    )


def strangers(rng: random.Random, who: Someone, count: int) -> list[tuple[str, str]]:
    """Return people who stand nowhere in a patient's header."""
    known = {who.referrer[0], who.operator[0]}
    families = rng.sample([family for family in _STRANGERS if family not in known], count)
    return [(family, rng.choice(_STRANGERS_GIVEN)) for family in families]


def _nhs_number(rng: random.Random) -> str:
    while True:
        number = "999" + "".join(rng.choice("0123456789") for _ in range(7))
        if nhs.is_valid(number):
            return number


def da(day: Day) -> str:
    """Return a date as DICOM writes it."""
    return f"{day[0]:04}{day[1]:02}{day[2]:02}"


def dates(day: Day) -> list[str]:
    """Return the ways in which people write a date."""
    year, month, number = day
    name = _MONTHS[month - 1]
    return [
        da(day),
        f"{number:02}/{month:02}/{year}",
        f"{number:02}.{month:02}.{year % 100:02}",
        f"{number:02}-{name[:3]}-{year}",
        f"{number} {name} {year}",
        f"{name} {number}, {year}",
        f"{year}-{month:02}-{number:02}",
        f"{number:02}{month:02}{year}",
        f"{number}{name[:3].upper()}{year}",
        f"{month:02}/{number:02}/{year}",
        f"{number:02}_{month:02}_{year}",
        f"{number:02} {month:02} {year}",
        f"{da(day)}T101112",
        f"{name} {year}",
    ]


def names(family: str, given: str) -> list[str]:
    """Return the ways in which people write a name."""
    first = given[0]
    return [
        f"{given} {family}",
        f"{family}, {given}",
        f"{family}^{given}",
        f"{family.upper()} {given.upper()}",
        f"{first} {family}",
        f"{first}. {family}",
        f"{family} {first}",
        f"{family}_{given}",
        f"{given}.{family}",
        f"{family}{given}",
        f"{first}{family}",
        f"{family}/{given}",
        family,
        given,
        plain(family).lower(),
        f"{family}={given}",
        f"'{family}'",
        re.sub("['-]", " ", family),
        re.sub("['-]", "", family),
        f"Mrs {family}",
        f"{family}1",
        f"{family}'s",
    ]


def numbers(number: str) -> list[str]:
    """Return the ways in which people write a number."""
    return [number, number.lower(), f"no {number}", f"#{number}", f"MRN {number}", re.sub("[-/]", "", number)]


def spaced(number: str) -> list[str]:
    """Return the ways in which people write an NHS number."""
    first, second, third = number[:3], number[3:6], number[6:]
    return [number, f"{first} {second} {third}", f"{first}-{second}-{third}", f"NHS {number}", " ".join(number)]
