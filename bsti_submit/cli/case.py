"""`case`: one case, from a folder to a receipt."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import (
    AttestationFile,
    ClinicalFile,
    Destination,
    ExcludeList,
    LeaveOut,
    LimitRate,
    OnlyBetween,
    ProfileName,
    SourcePath,
    Study,
)
from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bsti_submit.cli.person import Person
    from bsti_submit.cli.wiring import Pace
    from bsti_submit.model import InstanceRef
    from bsti_submit.outbox import Outbox, OutboxCase
    from bsti_submit.pipeline.case import Built
    from bsti_submit.pipeline.exclusion import ExclusionList
    from bsti_submit.pipeline.known import Course
    from bsti_submit.pipeline.prepared import Prepared
    from bsti_submit.receipt import Receipt
    from bsti_submit.report.events import Event
    from bsti_submit.settings import Settings
    from bsti_submit.transport.interface import Destination as DestinationProtocol


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("case")(case)


def case(
    path: SourcePath,
    profile: ProfileName = None,
    study: Study = None,
    clinical: ClinicalFile = None,
    attestation: AttestationFile = None,
    to: Destination = "registry",
    leave_out: LeaveOut = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Send these studies once more, as a new case, even if they were sent before."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything except keeping and sending the package.")
    ] = False,
    exclude_list: ExcludeList = None,
    limit_rate: LimitRate = "",
    only_between: OnlyBetween = "",
    as_json: Json = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="At a terminal, take every answer that Enter alone would accept: the newest study, no earlier study, and age, "
            "sex and earlier imaging as the images have them. You are still asked for the hospital number, the other metrics "
            "and your confirmation.",
        ),
    ] = False,
) -> None:
    """Submit one case, from a folder to the receipt.

    At a terminal you are asked for everything: the study, the pictures that must be looked at, the clinical metrics. The images
    are de-identified on this machine, you take a last look at them, and only what you confirm is sent, encrypted, to the
    registry. If you stop half-way, run the same command again. Without a terminal, give --clinical and --attestation.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.cli.person import Person

    output.set_json(as_json)
    settings = wiring.start(path, writes=[wiring.folder_of(to)])
    person = Person(output.console(), take_prefilled=yes) if output.has_terminal() else None
    run = CaseRun(
        settings,
        person,
        profile=profile,
        study=study,
        clinical=clinical,
        attestation=attestation,
        to=to,
        leave_out=wiring.refs(leave_out),
        again=again,
        counting=dry_run,
        as_json=as_json,
        excluded=wiring.exclusions(exclude_list),
        pace=wiring.Pace(limit_rate, only_between),
    )
    run.run(path)


class CaseRun:
    """One run of `case`."""

    def __init__(
        self,
        settings: Settings,
        person: Person | None,
        *,
        profile: str | None,
        study: int | None,
        clinical: Path | None,
        attestation: Path | None,
        to: str,
        leave_out: frozenset[InstanceRef],
        again: bool,
        counting: bool,
        as_json: bool,
        excluded: ExclusionList | None,
        pace: Pace,
    ) -> None:
        from bsti_submit import attestation as attesting
        from bsti_submit.cli import flow, wiring

        self.settings = settings
        self.person = person
        self.study = study
        self.clinical = clinical
        self.to = to
        self.leave_out = leave_out
        self.again = again
        self.counting = counting
        self.as_json = as_json
        self.contributor = flow.contributor(settings)
        self.excluded = excluded
        self.pace = pace
        pace.options()  # a mistake in it is told before the long work
        if person is not None and not counting:
            wiring.require_destination(settings, to)
        self.profile = wiring.earned_profile(settings, profile)
        self.key = wiring.site_key(settings, person=person is not None, must=True).key
        self.attestation = attesting.read(attestation) if attestation is not None else None
        if person is None:
            flow.require_clinical(clinical)
            if not counting:
                self._require_attestation()
                wiring.require_destination(settings, to)

    def _require_attestation(self) -> None:
        from bsti_submit.errors import ApprovalError

        if self.attestation is None:
            raise ApprovalError(
                "Without a terminal a signed attestation is needed to send anything.",
                hint="Give --attestation FILE; bsti-submit attestation template writes one to complete.",
            )

    def run(self, path: Path) -> None:
        """Do the whole case and tell its result."""
        from bsti_submit.cli import flow, output, wiring
        from bsti_submit.errors import ExitCode
        from bsti_submit.model import Outcome
        from bsti_submit.pipeline.case import CaseHeldError
        from bsti_submit.pipeline.prepared import prepare

        with (
            output.reporter(json_mode=self.as_json) as emit,
            wiring.outbox(self.settings) as outbox,
            prepare(path, self.profile, self.key, emit, wiring.identifier_search(self.settings)) as prepared,
        ):
            try:
                self._run(prepared, outbox, emit)
            except CaseHeldError as error:
                refs = [report.ref for report in error.reports if report.outcome is Outcome.HELD]
                line = flow.tell_held(self.settings, prepared, refs)
                if not self.as_json:
                    error.details = (*error.details, line)
                    raise
                output.write_json(
                    {
                        "case_id": None,
                        "state": "held",
                        "counts": output.counts_json(error.reports),
                        "instances": output.instances_json(error.reports),
                    }
                )
                output.say(error.message)
                output.say(line)
                raise typer.Exit(int(ExitCode.HELD)) from None

    def _run(self, prepared: Prepared, outbox: Outbox, emit: Callable[[Event], None]) -> None:
        from bsti_submit.cli import flow, held, output, wiring
        from bsti_submit.cli.survey import show_survey
        from bsti_submit.model import new_case_id
        from bsti_submit.pipeline.case import build
        from bsti_submit.pipeline.exclusion import require_no_objection
        from bsti_submit.pipeline.known import Course, course
        from bsti_submit.pipeline.submission import build_and_keep

        prepared.require_one_patient()
        require_no_objection(prepared, self.excluded)
        prepared.require_images()
        flow.require_known(prepared, self.leave_out)
        if self.person is not None:
            show_survey(self.person, prepared, flow.refused_kinds(prepared, self.leave_out))
        record = None
        if self.person is not None:
            chosen = flow.choose_attended(prepared, self.person, self.study, self.leave_out)
            if self.clinical is not None:
                context = prepared.context(chosen.index, included=chosen.numbers, outbox=outbox)
                record = flow.read_record(self.clinical, context)
        else:
            clinical = flow.require_clinical(self.clinical)
            chosen, record = flow.choose_unattended(
                prepared, self.study, lambda context: flow.read_record(clinical, context), outbox
            )
        tag = prepared.tag(chosen.numbers)
        choices = chosen.choices(self.leave_out)
        if not self.counting:
            flow.require_plain_destination(prepared, self.to)
        with wiring.decisions(self.settings) as decided:
            work = flow.work_for(prepared, self.key, decided)
            earlier = None if self.counting else outbox.find(tag)
            todo = course(earlier, record, lambda: prepared.origin_today(choices, work), to=self.to, again=self.again)
            if earlier is not None and todo in {Course.SENT_BEFORE, Course.GO_ON}:
                self._go_on_with(earlier, todo, outbox, emit)
                return
            if earlier is not None and todo is Course.REBUILD:
                output.say(
                    f"Case {earlier.case_id} of these studies waits, but would be another one today: it is made anew."
                )
            flow.require_told_apart(prepared, self.person)
            if self.person is not None:
                known = [rejection.report() for rejection in prepared.select(choices).rejections]
                choices = held.settle_held(prepared, choices, known, self.person)
                looked = held.review_held(prepared, work, choices, self.person, emit)
                choices = replace(choices, leave_out=choices.leave_out | looked.left_out)
                choices = held.settle_held(prepared, choices, looked.held, self.person)
                context = prepared.context(chosen.index, included=chosen.numbers, outbox=outbox)
                if record is None:
                    record = self.person.metrics(context, outbox, tag, keeping=not self.counting)
                else:
                    self.person.confirm_patient(context)
            if self.counting:
                built = build(
                    prepared,
                    work,
                    choices,
                    chosen.index,
                    record,
                    new_case_id(),
                    None,
                    self.key,
                    emit,
                    self.contributor,
                )
                self._tell_counted(built)
                return
            built = build_and_keep(
                outbox,
                tag,
                prepared,
                work,
                choices,
                chosen.index,
                record,
                self.key,
                emit,
                self.contributor,
                after=earlier,
                anew=todo is Course.REBUILD,
            )
        with wiring.destination(self.settings, self.to, self.pace) as destination:
            document = self._attest(built, destination, outbox)
            self._send(built.package.case_id, document, destination, outbox, emit, built)

    def _attest(self, built: Built, destination: DestinationProtocol, outbox: Outbox) -> Mapping[str, object]:
        from bsti_submit import attestation as attesting
        from bsti_submit.cli import approve, wiring

        if self.attestation is not None:
            attesting.check(
                self.attestation, wiring.release(self.profile, built.package.sha256, destination.identity())
            )
            return self.attestation
        if self.person is None:
            self._require_attestation()
            raise AssertionError
        kept = outbox.get(built.package.case_id)
        refs = {name: certified.ref for certified, name in built.members}
        return approve.confirmed(self.person, self.settings, kept, self.to, verb="send", refs=refs)

    def _go_on_with(self, earlier: OutboxCase, todo: Course, outbox: Outbox, emit: Callable[[Event], None]) -> None:
        """Report or finish an earlier case of the same studies."""
        from bsti_submit.cli import output, wiring
        from bsti_submit.pipeline.known import Course
        from bsti_submit.receipt import Receipt

        if todo is Course.SENT_BEFORE:
            output.say(f"These studies were sent before, as case {earlier.case_id}. Nothing was sent again.")
            output.say(
                f"To correct the clinical record: bsti-submit amend {earlier.case_id} --clinical FILE. "
                "To send the studies once more as a new case, add --again."
            )
            self._tell(Receipt.parse(earlier.receipt), outbox, earlier.case_id, None)
            return
        output.say(f"Case {earlier.case_id} of these studies is in the outbox already; going on with it.")
        if self.person is not None:
            output.say(f"To begin afresh with other answers: bsti-submit outbox drop {earlier.case_id}")
        with wiring.destination(self.settings, self.to, self.pace) as destination:
            document = self._approval_of(earlier, destination)
            self._send(earlier.case_id, document, destination, outbox, emit, None)

    def _approval_of(self, earlier: OutboxCase, destination: DestinationProtocol) -> Mapping[str, object]:
        from bsti_submit import attestation as attesting
        from bsti_submit.cli import approve
        from bsti_submit.pipeline.submission import release_of

        release = release_of(earlier, destination.identity())
        if self.attestation is not None:
            attesting.check(self.attestation, release)
            return self.attestation
        if earlier.attestation and (earlier.destination, earlier.registry) == (self.to, destination.origin):
            document: Mapping[str, object] = json.loads(earlier.attestation)
            attesting.check(document, release)
            return document
        if self.person is None:
            self._require_attestation()
            raise AssertionError
        return approve.confirmed(self.person, self.settings, earlier, self.to, verb="send")

    def _send(
        self,
        case_id: str,
        document: Mapping[str, object],
        destination: DestinationProtocol,
        outbox: Outbox,
        emit: Callable[[Event], None],
        built: Built | None,
    ) -> None:
        from bsti_submit.cli import wiring
        from bsti_submit.pipeline.case import deliver
        from bsti_submit.pipeline.submission import release

        release(outbox, case_id, document, self.to, destination)
        with wiring.last_check(self.settings) as last_check:
            receipt = deliver(outbox, case_id, destination, last_check, emit)
        self._tell(receipt, outbox, case_id, built)

    def _tell(self, receipt: Receipt, outbox: Outbox, case_id: str, built: Built | None) -> None:
        from bsti_submit.cli import output

        case = outbox.get(case_id)
        if self.as_json:
            reports = built.reports if built is not None else ()
            output.write_json(
                {
                    "case_id": case_id,
                    "state": str(case.state),
                    "package": {"sha256": case.package_sha256, "size": case.size, "objects": case.objects},
                    "receipt": dict(receipt.document),
                    "counts": output.counts_json(reports),
                    "instances": output.instances_json(reports),
                }
            )
            return
        output.write(f"Case:     {case_id}")
        output.write(
            f"Receipt:  {receipt.id}{'' if receipt.is_signed else '  (a copy in a folder; nobody signed for it)'}"
        )
        output.write(f"Images:   {case.objects}")
        output.write(f"SHA-256:  {case.package_sha256}")
        if receipt.is_signed:
            output.say(f"Thank you. Follow the case with: bsti-submit status {case_id}")
        else:
            output.say("The package is kept in the outbox as well, since nobody has signed for it.")

    def _tell_counted(self, built: Built) -> None:
        from bsti_submit.cli import output
        from bsti_submit.pipeline.case import counted_shipment
        from bsti_submit.transport.destinations.counting import CountingDestination

        with CountingDestination() as destination:
            destination.deliver(counted_shipment(built, {}), lambda _done, _total: None, lambda _url: None)
        if self.as_json:
            output.write_json(
                {
                    "case_id": None,
                    "state": "dry-run",
                    "package": {
                        "sha256": built.package.sha256,
                        "size": built.package.size,
                        "objects": built.package.objects,
                    },
                    "counts": output.counts_json(built.reports),
                    "instances": output.instances_json(built.reports),
                }
            )
            return
        for line in output.outcome_lines(built.reports):
            output.write(line)
        output.write(
            f"Would send {built.package.objects} images in {built.package.size} bytes. Nothing was sent, no package kept."
        )
