"""`package`: build a case package and keep it; nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bsti_submit.cli.options import ClinicalFile, ExcludeList, LeaveOut, ProfileName, SourcePath, Study
from bsti_submit.cli.output import Json


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("package")(package)


def package(
    path: SourcePath,
    clinical: ClinicalFile = None,
    profile: ProfileName = None,
    study: Study = None,
    leave_out: LeaveOut = None,
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
    from bsti_submit.pipeline.prepared import prepare
    from bsti_submit.pipeline.submission import build_and_keep
    from bsti_submit.pipeline.writing import copy_new

    output.set_json(as_json)
    settings = wiring.start(path, writes=[out])
    contributor = flow.contributor(settings)
    rules = wiring.earned_profile(settings, profile)
    file = flow.require_clinical(clinical)
    if out is not None and out.exists():
        raise InputError("The file to write exists already, and nothing is ever overwritten.")
    excluded = wiring.exclusions(exclude_list)
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
        chosen, record = flow.choose_unattended(
            prepared, study, lambda context: flow.read_record(file, context), outbox
        )
        flow.require_told_apart(prepared, None)
        work = flow.work_for(prepared, key, decided)
        tag = prepared.tag(chosen.numbers)
        choices = chosen.choices(wiring.refs(leave_out))
        try:
            built = build_and_keep(outbox, tag, prepared, work, choices, chosen.index, record, key, emit, contributor)
        except CaseHeldError as error:
            if as_json:
                output.write_json({"case_id": None, "instances": output.instances_json(error.reports)})
                raise typer.Exit(int(ExitCode.HELD)) from None
            raise
        case_id = built.package.case_id
        kept = outbox.get(case_id)
        if out is not None:
            try:
                copy_new(kept.path, out)
            except OSError:
                raise InputError("The package cannot be written there. It is kept in the outbox.") from None
    if as_json:
        output.write_json(
            {
                "case_id": case_id,
                "package": {"sha256": kept.package_sha256, "size": kept.size, "objects": kept.objects},
                "counts": output.counts_json(built.reports),
                "instances": output.instances_json(built.reports),
            }
        )
        return
    for line in output.outcome_lines(built.reports):
        output.write(line)
    output.write(f"Case:     {case_id}")
    output.write(f"SHA-256:  {kept.package_sha256}")
    output.say(f"Release it with: bsti-submit approve {case_id}")
