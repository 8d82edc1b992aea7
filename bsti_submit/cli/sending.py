"""Prepared rows → their destination, one after another, under the attestation of the batch."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bsti_submit import attestation as attesting
from bsti_submit.cli import output, wiring
from bsti_submit.cli.rows import faulted
from bsti_submit.errors import ApprovalError, BstiError, NotDeliveredError
from bsti_submit.outbox import State
from bsti_submit.pipeline.case import deliver
from bsti_submit.pipeline.submission import release, release_of
from bsti_submit.report.rows import RowOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bsti_submit.deid.profile import Profile
    from bsti_submit.outbox import Outbox
    from bsti_submit.receipt import Receipt
    from bsti_submit.report.events import Event
    from bsti_submit.report.rows import RowReport
    from bsti_submit.settings import Settings
    from bsti_submit.transport.interface import Destination

PAUSE: Final = 60.0
"""Seconds for which nothing is tried after the line failed."""
PATIENCE: Final = 600.0
"""Seconds to wait while another process of this machine is sending."""


class RowSender:
    """Delivers prepared rows one after another.

    After a failure of the line nothing is tried for a while, and then with a fresh connection, whose patience is short: so a
    registry that is down costs a long batch little, and one that comes back is noticed.
    """

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        attestation: Mapping[str, object],
        to: str,
        manifest_sha256: str,
        pace: wiring.Pace,
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._attestation = attestation
        self._to = to
        self._manifest_sha256 = manifest_sha256
        self._pace = pace
        self._opened = ExitStack()
        self._current: Destination | None = None
        self._registry = ""
        self._failure: NotDeliveredError | None = None
        self._not_before = 0.0

    def close(self) -> None:
        """Let go of the connection."""
        self._opened.close()
        self._current = None

    def require_valid_attestation(self, profile: Profile) -> None:
        """Stop before any work if the attestation cannot cover what this batch makes.

        Raises
        ------
        ApprovalError
            If it is void. A registry that cannot be asked for its id now is asked again for each row.
        SettingsError
            If no row could be sent as this machine is set up.
        """
        if self._attestation["scope"] == "package":
            raise ApprovalError(
                "An attestation of one package does not cover a batch.",
                hint="Make a standing one: bsti-submit attestation template. "
                "Or one of this very manifest: bsti-submit attestation template --manifest FILE.",
            )
        try:
            identity = self._identity()
        except NotDeliveredError as error:
            self._pause(error)
            output.say("The registry cannot be reached now. What is prepared meanwhile waits in the outbox.")
            identity = str(self._attestation.get("registry", ""))
        covered = replace(wiring.release(profile, "", identity), manifest_sha256=self._manifest_sha256)
        attesting.check(self._attestation, covered)

    def deliver(self, report: RowReport, emit: Callable[[Event], None]) -> RowReport:
        """Release and deliver the case of a prepared row, in the hours of sending."""
        self._pace.wait()
        try:
            receipt = self._delivered(report.case_id, emit)
        except NotDeliveredError as error:
            self._pause(error)
            return report.failed(error, hint=self._advice(report.case_id))
        except ApprovalError as error:
            return report.failed(
                error,
                hint="Give an attestation that covers it. If it was packaged under other rules than today's, remove it, so that "
                f"the next run builds it anew: bsti-submit outbox drop {report.case_id}.",
            )
        except BstiError as error:
            return report.failed(error)
        except Exception as fault:  # noqa: BLE001 - a fault in one row stops no other, and its text may hold a value
            return faulted(report, fault)
        message = (
            "" if receipt.is_signed else "Nobody has signed for the copy, so the package is kept in the outbox too."
        )
        return replace(report, outcome=RowOutcome.DELIVERED, receipt_id=receipt.id, message=message)

    def _delivered(self, case_id: str, emit: Callable[[Event], None]) -> Receipt:
        is_pause = time.monotonic() < self._not_before
        if is_pause and not self._registry and self._failure is not None:
            raise self._failure
        case = self._outbox.get(case_id)
        attesting.check(self._attestation, release_of(case, self._identity(), self._manifest_sha256))
        self._wait_for_another_sender()
        release(self._outbox, case_id, self._attestation, self._to, self._destination())
        if is_pause and self._failure is not None:
            raise self._failure
        with wiring.last_check(self._settings) as last_check:
            return deliver(self._outbox, case_id, self._destination(), last_check, emit)

    def _wait_for_another_sender(self) -> None:
        """Let a case that somebody sends by hand at this moment go first."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with self._outbox.sending():
                    return
            except NotDeliveredError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.2)

    def _pause(self, failure: NotDeliveredError) -> None:
        self.close()
        if failure is not self._failure:
            self._failure = failure
            self._not_before = time.monotonic() + PAUSE

    def _advice(self, case_id: str) -> str:
        released = self._outbox.get(case_id).state in {State.READY, State.SENDING}
        return "It is safe in the outbox. Run the batch again" + (", or: bsti-submit outbox send." if released else ".")

    def _destination(self) -> Destination:
        if self._current is None:
            self._current = self._opened.enter_context(wiring.destination(self._settings, self._to, self._pace))
        return self._current

    def _identity(self) -> str:
        """Return the destination's id, which it is asked for once."""
        self._registry = self._registry or self._destination().identity()
        return self._registry
