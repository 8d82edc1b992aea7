"""Studies that come again: what there is to do about the case that an earlier run made of them.

One answer for every command, so that what one of them would stop cannot go by another.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from bsti_submit.errors import HeldError, InputError, RefusedError
from bsti_submit.outbox import State
from bsti_submit.pipeline.submission import has_record, is_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.outbox import Origin, OutboxCase


class Course(Enum):
    """What to do now."""

    BUILD = auto()
    """Make a case of the studies: there is none that still counts."""
    REBUILD = auto()
    """Make the package of the waiting case again: by today's decisions it would be another, and nobody released it."""
    GO_ON = auto()
    """Go on with the kept package, which is the one that would be made today."""
    SENT_BEFORE = auto()
    """Nothing: these very images were delivered."""


class WithdrawnError(HeldError):
    """The case of the studies was taken back."""


class RefusedBeforeError(RefusedError):
    """The registry refused this very case before."""


def course(
    case: OutboxCase | None,
    record: ClinicalRecord | None,
    today: Callable[[], Origin],
    *,
    to: str,
    again: bool = False,
) -> Course:
    """Return what to do about studies of which there may be an earlier case.

    Parameters
    ----------
    record
        The clinical record that comes with the studies now; None where it is asked for later.
    today
        Returns what a package would be made of now.
    to
        Where the case is to go.
    again
        Whether a person said that the studies shall go once more, as a new case.

    Raises
    ------
    HeldError
        If the case was taken back; if the images are others than were delivered or released.
    RefusedBeforeError
        If the registry refused this very case.
    InputError
        If the same images come with another record.
    """
    if case is None or again:
        return Course.BUILD
    match case.state:
        case State.WITHDRAWN:
            raise WithdrawnError(
                f"Case {case.case_id} of these studies was withdrawn, so they are not sent again.",
                hint="If they may be sent after all, say so knowingly: bsti-submit case PATH --again",
            )
        case State.UNKNOWN:
            raise HeldError(
                f"Case {case.case_id} of these studies stands in the outbox in a way that this version does not know.",
                hint="Was it made by a newer version? Update bsti-submit on this machine.",
            )
        case State.REFUSED:
            if record is None or not has_record(case, record) or case.origin != today():
                return Course.BUILD
            raise RefusedBeforeError(
                f"The registry refused these studies before, as case {case.case_id}, and nothing about them has changed.",
                hint="Correct what it named, leave an image out, or try the very same once more with "
                "bsti-submit case PATH --again",
            )
    if is_done(case, to):
        _require_same_images(case, today())
        _require_same_record(case, record)
        return Course.SENT_BEFORE
    _require_same_record(case, record)
    if case.origin == today():
        return Course.GO_ON
    if case.state is State.PACKAGED:
        return Course.REBUILD
    raise HeldError(
        f"Case {case.case_id} of these studies was released, but by today's choices and decisions another package would be made, "
        "so it was not sent.",
        details=_differences(case, today()),
        hint=f"To make it anew, remove it and give the same command again: bsti-submit outbox drop {case.case_id}\n"
        "To send it as it was released: bsti-submit outbox send",
    )


def _require_same_images(case: OutboxCase, now: Origin) -> None:
    if case.origin.images == now.images:
        return
    raise HeldError(
        f"These studies were sent before, as case {case.case_id}, but not with these very images, so nothing was sent.",
        details=_differences(case, now),
        hint="To send them as they are now, as a new case: bsti-submit case PATH --again. "
        f"If the first case should not stand beside it: bsti-submit withdraw {case.case_id}",
    )


def _differences(case: OutboxCase, now: Origin) -> tuple[str, ...]:
    """Return what differs, in counts."""
    lines = []
    if case.origin.images != now.images:
        same = " of the same number, but not the same ones" if now.count == case.objects else ""
        lines.append(f"images: {case.objects} in the case, {now.count} now{same}")
    if case.origin.rules != now.rules:
        lines.append("rules: the profile or its recipe is another one now")
    if case.origin.images == now.images and case.origin.pictures != now.pictures:
        lines.append("pictures: other ones are cleared now")
    return tuple(lines)


def _require_same_record(case: OutboxCase, record: ClinicalRecord | None) -> None:
    """Stop where the same studies now come with other answers: which are right is for a person to say."""
    if has_record(case, record):
        return
    if case.state is State.DELIVERED:
        raise InputError(
            f"These studies were sent before, as case {case.case_id}, with another clinical record.",
            hint=f"To correct the record: bsti-submit amend {case.case_id} --clinical FILE --from PATH. "
            "To send the studies once more as a new case: bsti-submit case PATH --again.",
        )
    raise InputError(
        f"Case {case.case_id} of these studies waits in the outbox with other answers.",
        hint=f"Send it: bsti-submit outbox send. Or remove it: bsti-submit outbox drop {case.case_id}.",
    )
