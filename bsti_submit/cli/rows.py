"""One row of a manifest through the same stages as `case`, as far as the outbox.

Nothing that goes wrong with a row is raised: it is in the row's report, and the batch goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bsti_submit.cli import flow, output, wiring
from bsti_submit.errors import BstiError, ExitCode
from bsti_submit.model import Outcome, Reason, new_case_id
from bsti_submit.pipeline.case import CaseHeldError, build, counted_shipment
from bsti_submit.pipeline.exclusion import require_no_objection
from bsti_submit.pipeline.known import Course, RefusedBeforeError, WithdrawnError, course
from bsti_submit.pipeline.prepared import prepare
from bsti_submit.pipeline.submission import build_and_keep
from bsti_submit.printable import printable
from bsti_submit.receipt import Receipt
from bsti_submit.report.rows import RowOutcome, RowReport
from bsti_submit.transport.destinations.counting import CountingDestination

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bsti_submit.cli.flow import Chosen
    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.clinical.sources.manifest import Row
    from bsti_submit.deid.profile import Profile
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.outbox import Outbox, OutboxCase
    from bsti_submit.pipeline.exclusion import ExclusionList
    from bsti_submit.pipeline.prepared import Prepared
    from bsti_submit.report.events import Event
    from bsti_submit.settings import Settings

LOOK = "Look at the pictures with bsti-submit review PATH, PATH being this row's study, then run the batch again."
AT_A_TERMINAL = "Do this row at a terminal, where it can be decided and the files are named: bsti-submit case PATH."


@dataclass(frozen=True, slots=True)
class RowPreparer:
    """Takes a row as far as the outbox, or only counts it.

    Attributes
    ----------
    base
        The folder of the manifest.
    to
        Where the cases will go: a case that is done there is not built again.
    outbox
        None for a dry run, which keeps nothing.
    excluded
        The patients who object; None where there is no list.
    """

    settings: Settings
    profile: Profile
    key: SiteKey
    base: Path
    to: str
    outbox: Outbox | None
    excluded: ExclusionList | None = None

    def prepare(self, row: Row, claim: Callable[[str, int], int], emit: Callable[[Event], None]) -> RowReport:
        """Survey, check, build and keep a row.

        Parameters
        ----------
        claim
            Given the keyed tag of the row's studies and the row's number, returns the number of the row of this
            run that has those studies: another one if they occur twice.

        Returns
        -------
        RowReport
            `RowOutcome.PACKAGED` if the case is in the outbox and to be delivered, else what the row came to.
        """
        report = RowReport(row.number)
        try:
            with prepare(
                row.folder(self.base).reveal(), self.profile, self.key, emit, wiring.identifier_search(self.settings)
            ) as prepared:
                prepared.require_one_patient()
                require_no_objection(prepared, self.excluded)
                prepared.require_images()
                chosen, record = flow.choose_unattended(prepared, None, row.accept, self.outbox)
                # Until here nobody can say whether the reference holds a name, or is of the same patient at all.
                report = replace(report, local_ref=printable(row.local_ref).strip())
                flow.require_plain_destination(prepared, self.to)
                tag = prepared.tag(chosen.numbers)
                if (first := claim(tag, row.number)) != row.number:
                    return _duplicate(report, first)
                if self.outbox is None:
                    return self._counted(report, prepared, chosen, record, emit)
                return self._kept(report, prepared, chosen, record, tag, emit)
        except CaseHeldError as error:
            return report.failed(error, hint=_advice(error))
        except BstiError as error:
            return report.failed(error)
        except Exception as fault:  # noqa: BLE001 - a fault in one row stops no other, and its text may hold a value
            return faulted(report, fault)

    def _kept(
        self,
        report: RowReport,
        prepared: Prepared,
        chosen: Chosen,
        record: ClinicalRecord,
        tag: str,
        emit: Callable[[Event], None],
    ) -> RowReport:
        """See that the row's case is in the outbox, or say what became of the case that an earlier run made."""
        assert self.outbox is not None  # noqa: S101 - for the type checker; a dry run does not come here
        with wiring.decisions(self.settings) as decided:
            work = flow.work_for(prepared, self.key, decided)
            choices = chosen.choices(frozenset())
            earlier = self.outbox.find(tag)
            try:
                todo = course(earlier, record, lambda: prepared.origin_today(choices, work), to=self.to)
            except (WithdrawnError, RefusedBeforeError) as error:
                assert earlier is not None  # noqa: S101 - for the type checker
                return _closed(of_case(report, earlier), error)
            if earlier is not None and todo is Course.SENT_BEFORE:
                return replace(
                    of_case(report, earlier),
                    outcome=RowOutcome.SENT_BEFORE,
                    receipt_id=Receipt.parse(earlier.receipt).id,
                    message="It was sent by an earlier run.",
                )
            if earlier is not None and todo is Course.GO_ON:
                return of_case(report, earlier)
            flow.require_told_apart(prepared, None)
            built = build_and_keep(
                self.outbox,
                tag,
                prepared,
                work,
                choices,
                chosen.index,
                record,
                self.key,
                emit,
                flow.contributor(self.settings),
                after=earlier,
                anew=todo is Course.REBUILD,
            )
        return of_case(report, self.outbox.get(built.package.case_id))

    def _counted(
        self,
        report: RowReport,
        prepared: Prepared,
        chosen: Chosen,
        record: ClinicalRecord,
        emit: Callable[[Event], None],
    ) -> RowReport:
        flow.require_told_apart(prepared, None)
        with wiring.decisions(self.settings) as decided, CountingDestination() as destination:
            work = flow.work_for(prepared, self.key, decided)
            choices = chosen.choices(frozenset())
            contributor = flow.contributor(self.settings)
            case_id = new_case_id()
            built = build(prepared, work, choices, chosen.index, record, case_id, None, self.key, emit, contributor)
            destination.deliver(counted_shipment(built, {}), lambda _done, _total: None, lambda _url: None)
        return replace(
            report,
            outcome=RowOutcome.COUNTED,
            objects=built.package.objects,
            size=built.package.size,
            message="It would be sent.",
        )


def of_case(report: RowReport, case: OutboxCase) -> RowReport:
    """Return the report of a row whose case is in the outbox."""
    return replace(
        report,
        outcome=RowOutcome.PACKAGED,
        case_id=case.case_id,
        objects=case.objects,
        size=case.size,
        package_sha256=case.package_sha256,
    )


def _closed(report: RowReport, error: WithdrawnError | RefusedBeforeError) -> RowReport:
    """Return the report of a row whose case was taken back or refused: a batch does not send it again."""
    if isinstance(error, WithdrawnError):
        return replace(
            report,
            outcome=RowOutcome.WITHDRAWN,
            message="This case was taken back, so a batch does not send it again.",
            hint="Take the row out of the manifest; or send it knowingly: bsti-submit case PATH --again.",
        )
    return replace(
        report,
        outcome=RowOutcome.REFUSED,
        exit_code=ExitCode.REFUSED,
        message="The registry refused this case before, and nothing about it has changed.",
        hint=f"Correct the row; or try it once more after bsti-submit outbox drop {report.case_id}.",
    )


def faulted(report: RowReport, fault: BaseException) -> RowReport:
    """Return the report of a row that a fault of ours stopped."""
    return replace(
        report,
        outcome=RowOutcome.FAULT,
        exit_code=ExitCode.FAULT,
        message=f"This row was stopped by {output.fault_text(fault)}.",
        hint="Please report that line; it holds nothing about the patient.",
    )


def _duplicate(report: RowReport, first: int) -> RowReport:
    return replace(
        report,
        outcome=RowOutcome.DUPLICATE,
        exit_code=ExitCode.BAD_INPUT,
        message=f"Its images are the very studies of row {first}, so they are not sent for this row.",
        hint="See which of the two rows is right, and take the other out of the manifest.",
    )


def _advice(error: CaseHeldError) -> str:
    held = {found.reason for found in error.reports if found.outcome is Outcome.HELD}
    looked = held & {Reason.NOT_LOOKED_AT, Reason.POSSIBLE_TEXT}
    advice = [LOOK] if looked else []
    if held - looked:
        advice.append(AT_A_TERMINAL)
    return " ".join(advice)
