"""A folder of images → the cases that were made of it before, known by the keyed tag of their studies."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from bsti_submit.errors import HeldError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bsti_submit.outbox import Outbox, OutboxCase
    from bsti_submit.pipeline.prepared import Prepared

_MOST_SELECTIONS: Final = 10_000
"""Of studies in one folder; a case is seldom made of more than three."""


def cases_of(prepared: Prepared, outbox: Outbox) -> tuple[OutboxCase, ...]:
    """Return the cases that were made of any of the studies in a folder, oldest first.

    Raises
    ------
    InputError
        If there is none.
    """
    prepared.require_images()
    tags = {tag for _, tag in _selections(prepared)}
    found = tuple(case for case in outbox.list() if case.study_set in tags)
    if not found:
        raise InputError(
            "No case was made of those images on this machine.",
            hint="With another site key they are not known again. See: bsti-submit outbox list",
        )
    return found


def studies_of(prepared: Prepared, case: OutboxCase) -> tuple[int, tuple[int, ...]]:
    """Return the number of a case's index study, and the numbers of all its studies.

    Raises
    ------
    HeldError
        If the images are not those that the case was made of, or its index study is not known again.
    """
    prepared.require_images()
    for numbers, tag in _selections(prepared):
        if tag == case.study_set:
            return _index(prepared, case, numbers), numbers
    raise HeldError(
        f"The images there are not those that case {case.case_id} was made of, so nothing was sent.",
        hint=f"Name the folder that the case was made from, or see: bsti-submit outbox show {case.case_id}",
    )


def _selections(prepared: Prepared) -> Iterator[tuple[tuple[int, ...], str]]:
    numbers = [study.number for study in prepared.studies]
    left = _MOST_SELECTIONS
    for size in range(1, len(numbers) + 1):
        for chosen in combinations(numbers, size):
            yield chosen, prepared.tag(chosen)
            left -= 1
            if not left:
                yield tuple(numbers), prepared.tag(numbers)
                return


def _index(prepared: Prepared, case: OutboxCase, numbers: tuple[int, ...]) -> int:
    """Return which study was the index: the packaged record says so under the pseudonymous UID.

    Raises
    ------
    HeldError
        If it does not; the days of a record must not be held against the wrong study.
    """
    if len(numbers) == 1:
        return numbers[0]
    studies = case.record().get("studies")
    index = {
        str(study.get("study_instance_uid"))
        for study in (studies if isinstance(studies, list) else [])
        if isinstance(study, dict) and study.get("role") == "index"
    }
    for number in numbers:
        study = prepared.study(number)
        if prepared.identity.scope(study.instances[0]).uid(study.uid.reveal()) in index:
            return number
    # A patient without a usable number gets other UIDs each time.
    raise HeldError(
        f"It cannot be told which of the studies case {case.case_id} is about, so nothing was sent.",
        hint="Without --from, a record of listed choices alone can be amended.",
    )
