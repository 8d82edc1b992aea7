"""What this machine's outbox knows of a patient's earlier cases, by the keyed pseudonym alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsti_submit.errors import InputError
from bsti_submit.outbox import State

if TYPE_CHECKING:
    from bsti_submit.deid.pseudonyms import PatientScope, SiteKey
    from bsti_submit.outbox import Outbox


class EarlierCases:
    """The cases that were packaged here before, seen from one patient.

    Parameters
    ----------
    outbox
        Where they are.
    scope
        The patient's pseudonyms.
    key
        The site key: a case that was made under another key cannot be compared.
    """

    def __init__(self, outbox: Outbox, scope: PatientScope, key: SiteKey) -> None:
        self._outbox = outbox
        self._scope = scope
        self._key_id = key.key_id

    def same_patient(self, case_id: str) -> bool | None:
        """Whether a case is one of this patient; None where that is not known."""
        try:
            record = self._outbox.get(case_id).record()
        except InputError:
            return None
        if not self._scope.linked or not record.get("patient") or record.get("key_id") != self._key_id:
            return None
        return record["patient"] == self._scope.pseudonym

    def of_study(self, study_set: str) -> str:
        """Return the id of the delivered case that was one study alone, by the study's keyed tag; else nothing."""
        case = self._outbox.find(study_set)
        return case.case_id if case is not None and case.state is State.DELIVERED else ""
