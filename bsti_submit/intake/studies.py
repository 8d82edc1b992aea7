"""Surveyed instances grouped as a person thinks of them: patients, studies, series."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsti_submit.intake.instance import SurveyedInstance
    from bsti_submit.model import InstanceRef

_SHORTEST_ID: Final = 4
_DATE: Final = re.compile(r"\d{8}")


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """One patient as the headers tell them apart."""

    issuer: Identified[str]
    patient_id: Identified[str]
    birth_date: Identified[str]
    name: Identified[str]
    """Of the first instance; it tells patients apart only where the id is shorter than four characters."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: what a person recognises it by."""

    uid: Identified[str]
    number: Identified[str]
    description: Identified[str]
    modality: str
    body_part: str
    instances: tuple[SurveyedInstance, ...]

    @property
    def size(self) -> int:
        """Of its files, in bytes."""
        return sum(instance.size for instance in self.instances)


@dataclass(frozen=True, slots=True)
class Study:
    """One study; ``number`` counts from 1, the newest study, and is what ``--study`` takes."""

    number: int
    uid: Identified[str]
    date: Identified[str]
    """``YYYYMMDD``, or "" where no instance has a well-formed Study Date."""
    time: Identified[str]
    description: Identified[str]
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    series: tuple[Series, ...]

    @property
    def instances(self) -> tuple[SurveyedInstance, ...]:
        """All its instances, series by series."""
        return tuple(instance for series in self.series for instance in series.instances)

    @property
    def refs(self) -> tuple[InstanceRef, ...]:
        """The refs of its instances, ascending."""
        return tuple(sorted(instance.ref for instance in self.instances))

    @property
    def size(self) -> int:
        """Of its files, in bytes."""
        return sum(series.size for series in self.series)


def group_patients(instances: Iterable[SurveyedInstance]) -> tuple[PatientIdentity, ...]:
    """Return the distinct patients, in the order of their first instance.

    The same issuer and id with two different birth dates are two patients; an absent birth date agrees with
    any. An id of under four characters tells nobody apart, so the name joins in.
    """
    found: dict[tuple[str, str, str], dict[str, PatientIdentity]] = defaultdict(dict)
    for instance in instances:
        issuer = _plain(instance.issuer.reveal())
        patient_id = _plain(instance.patient_id.reveal())
        name = _plain(instance.patient_name.reveal()) if len(patient_id) < _SHORTEST_ID else ""
        births = found[issuer, patient_id, name]
        birth = instance.birth_date.reveal()
        if birth not in births:
            births[birth] = PatientIdentity(
                instance.issuer, instance.patient_id, instance.birth_date, instance.patient_name
            )
    return tuple(
        identity for births in found.values() for birth, identity in births.items() if birth or len(births) == 1
    )


def _plain(text: str) -> str:
    return "".join(text.split()).casefold()


def group_studies(instances: Iterable[SurveyedInstance]) -> tuple[Study, ...]:
    """Return the studies, newest first, undated last; equal dates and times are ordered by UID."""
    groups: dict[str, list[SurveyedInstance]] = defaultdict(list)
    for instance in instances:
        groups[instance.study_uid.reveal()].append(instance)
    dated = []
    for uid, members in groups.items():
        date, time = max(
            (_date(member.study_date.reveal()), member.study_time.reveal().replace(":", "")) for member in members
        )
        dated.append(((date, time, uid), members))
    dated.sort(key=lambda pair: pair[0], reverse=True)
    return tuple(
        Study(
            number=number,
            uid=Identified(uid),
            date=Identified(date),
            time=Identified(time),
            description=_first(member.study_description for member in members),
            modalities=tuple(sorted({member.modality for member in members} - {""})),
            body_parts=tuple(sorted({member.body_part for member in members} - {""})),
            series=_group_series(members),
        )
        for number, ((date, time, uid), members) in enumerate(dated, 1)
    )


def _group_series(members: list[SurveyedInstance]) -> tuple[Series, ...]:
    groups: dict[str, list[SurveyedInstance]] = defaultdict(list)
    for member in members:
        groups[member.series_uid.reveal()].append(member)
    ordered = sorted(groups.items(), key=lambda pair: (_number(pair[1][0].series_number.reveal()), pair[1][0].ref))
    return tuple(
        Series(
            uid=Identified(uid),
            number=members[0].series_number,
            description=_first(member.series_description for member in members),
            modality=members[0].modality,
            body_part=next((member.body_part for member in members if member.body_part), ""),
            instances=tuple(sorted(members, key=lambda member: (_number(member.instance_number.reveal()), member.ref))),
        )
        for uid, members in ordered
    )


def _first(texts: Iterable[Identified[str]]) -> Identified[str]:
    return next((text for text in texts if text), Identified(""))


def _date(text: str) -> str:
    text = text.replace(".", "").replace("-", "")  # the old form with dots, and a common fault
    return text if _DATE.fullmatch(text) and text > "19000101" else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1 << 30
