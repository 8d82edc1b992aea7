"""The last question about an approved case: whether what was approved still holds, here and now.

It is asked by the one sender before the first byte goes, whichever command sends, for days or weeks may lie between an approval
and the sending. It needs no source: what it compares is kept with the case.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bsti_submit import attestation as attesting
from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.errors import ApprovalError, HeldError
from bsti_submit.pipeline.submission import release_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.deid.pixels.decisions import DecisionStore
    from bsti_submit.outbox import OutboxCase
    from bsti_submit.transport.interface import Destination


class ApprovalStands:
    """See that a case may still go where it is about to go.

    Parameters
    ----------
    decided
        What people decided about pictures.
    """

    def __init__(self, decided: DecisionStore) -> None:
        self._decided = decided

    def __call__(self, case: OutboxCase, destination: Destination) -> None:
        """Check one approved case.

        Raises
        ------
        ApprovalError
            If it was approved for another registry, or its attestation has expired or covers other rules.
        HeldError
            If somebody took back that one of its pictures may go.
        """
        document: Mapping[str, object] = json.loads(case.attestation)
        if document["scope"] == "standing":
            # It names the registry itself, by its id: the registry may move to another address.
            identity = destination.identity()
        else:
            identity = ""
            require_same_registry(case, destination)
        manifest = str(document.get("manifest_sha256", ""))  # held against the manifest when the batch released it
        attesting.check(document, release_of(case, identity, manifest))
        require_cleared(case, self._decided)


def require_same_registry(case: OutboxCase, destination: Destination) -> None:
    """See that a case goes to the registry that it was approved for.

    Raises
    ------
    ApprovalError
        If not.
    """
    if case.registry != destination.origin:
        raise ApprovalError(
            "The approval is for another registry, so the case was not sent to this one.",
            details=(f"approved for {case.registry or 'no registry'}; set up now is {destination.origin or 'none'}",),
            hint=f"Set BSTI_REGISTRY back; or approve it for this one: bsti-submit approve {case.case_id}",
        )


def require_cleared(case: OutboxCase, decided: DecisionStore) -> None:
    """See that every picture that a person had cleared for a package is still cleared.

    Raises
    ------
    HeldError
        If one was rejected, left out, its clearance taken back, or cleared with other regions to blank.
    """
    held = [picture for picture in case.origin.pictures if not _still_cleared(picture, decided)]
    if held:
        shown = (
            "a picture had been cleared that no longer is"
            if len(held) == 1
            else (f"{len(held)} pictures had been cleared that no longer are")
        )
        raise HeldError(
            f"In case {case.case_id} {shown}, so it may not go.",
            hint="Look again: bsti-submit review PATH. Or remove the case and make it without such a picture: "
            f"bsti-submit outbox drop {case.case_id}",
        )


def _still_cleared(picture: str, decided: DecisionStore) -> bool:
    decision = decided.find(picture.partition(":")[0])
    return decision is not None and decision.verdict is Verdict.CLEARED and decision.mark == picture
