"""`package`: build a case package and keep it; nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import ClinicalFile, ExcludeList, LeaveOut, ProfileName, SourcePath, Study
from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from bsti_submit.model import InstanceReport
    from bsti_submit.outbox import OutboxCase


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("package")(package)


def package(
    path: SourcePath,
    clinical: ClinicalFile = None,
    profile: ProfileName = None,
    study: Study = None,
    leave_out: LeaveOut = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Make a new case of these studies, even if they were sent or withdrawn before."),
    ] = False,
    exclude_list: ExcludeList = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Also write the package to this new ZIP file.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a case package and keep it in the outbox.

    Nothing is sent. Look at the package and release it later with `bsti-submit approve CASE`; then exactly that file is sent.
    """
    from bsti_submit.cli import flow, output, wiring
    from bsti_submit.errors import ExitCode, InputError
    from bsti_submit.pipeline.case import CaseHeldError
    from bsti_submit.pipeline.exclusion import require_no_objection
    from bsti_submit.pipeline.known import Course, course
    from bsti_submit.pipeline.prepared import prepare
    from bsti_submit.pipeline.submission import build_and_keep

    output.set_json(as_json)
    settings = wiring.start(path, writes=[out])
    contributor = flow.contributor(settings)
    rules = wiring.earned_profile(settings, profile)
    file = flow.require_clinical(clinical)
    if out is not None and out.exists():
        raise InputError("The file to write exists already, and nothing is ever overwritten.")
    excluded = wiring.exclusions(exclude_list)
    left_out = wiring.refs(leave_out)
    key = wiring.site_key(settings, person=output.has_terminal(), must=True).key
    with (
        output.reporter(json_mode=as_json) as emit,
        wiring.outbox(settings) as outbox,
        prepare(path, rules, key, emit, wiring.identifier_search(settings)) as prepared,
        wiring.decisions(settings) as decided,
    ):
        prepared.require_one_patient()
        require_no_objection(prepared, excluded)
        prepared.require_images()
        flow.require_known(prepared, left_out)
        chosen, record = flow.choose_unattended(
            prepared, study, lambda context: flow.read_record(file, context), outbox
        )
        work = flow.work_for(prepared, key, decided)
        tag = prepared.tag(chosen.numbers)
        choices = chosen.choices(left_out)
        earlier = outbox.find(tag)
        todo = course(earlier, record, lambda: prepared.origin_today(choices, work), to="registry", again=again)
        if earlier is not None and todo in {Course.SENT_BEFORE, Course.GO_ON}:
            _copy(earlier, out)
            _tell(earlier, (), as_json=as_json)
            return
        flow.require_told_apart(prepared, None)
        try:
            built = build_and_keep(
                outbox,
                tag,
                prepared,
                work,
                choices,
                chosen.index,
                record,
                key,
                emit,
                contributor,
                after=earlier,
                anew=todo is Course.REBUILD,
            )
        except CaseHeldError as error:
            if as_json:
                output.write_json({"case_id": None, "instances": output.instances_json(error.reports)})
                raise typer.Exit(int(ExitCode.HELD)) from None
            raise
        kept = outbox.get(built.package.case_id)
        _copy(kept, out)
    _tell(kept, built.reports, as_json=as_json)


def _copy(kept: OutboxCase, out: Path | None) -> None:
    """Write the package to a file of its own as well, where one is named.

    Raises
    ------
    InputError
        If it cannot be written, or is gone since the registry signed for it.
    """
    from bsti_submit.errors import InputError
    from bsti_submit.pipeline.writing import copy_new

    if out is None:
        return
    if not kept.path.exists():
        raise InputError(
            f"These studies were sent before, as case {kept.case_id}, and its package is not kept.",
            hint="To make a new case of them: bsti-submit package PATH --again",
        )
    try:
        copy_new(kept.path, out)
    except OSError:
        raise InputError("The package cannot be written there. It is kept in the outbox.") from None


def _tell(kept: OutboxCase, reports: tuple[InstanceReport, ...], *, as_json: bool) -> None:
    """Tell what is in the outbox; there are no reports where an earlier run made it."""
    from bsti_submit.cli import output
    from bsti_submit.outbox import State

    if as_json:
        output.write_json(
            {
                "case_id": kept.case_id,
                "state": str(kept.state),
                "package": {"sha256": kept.package_sha256, "size": kept.size, "objects": kept.objects},
                "counts": output.counts_json(reports),
                "instances": output.instances_json(reports),
            }
        )
        if kept.state is not State.DELIVERED:
            return
    if reports:
        for line in output.outcome_lines(reports):
            output.write(line)
    if kept.state is State.DELIVERED:
        output.say(f"These studies were sent before, as case {kept.case_id}. Nothing was packaged.")
        output.say("To make a new case of them: bsti-submit package PATH --again")
        return
    if not reports:
        output.say(f"Case {kept.case_id} of these studies is in the outbox already, just as it would be made now.")
    output.write(f"Case:     {kept.case_id}")
    output.write(f"SHA-256:  {kept.package_sha256}")
    output.say(
        f"Release it with: bsti-submit approve {kept.case_id}"
        if kept.state is State.PACKAGED
        else "It is approved. Send it with: bsti-submit outbox send"
    )
