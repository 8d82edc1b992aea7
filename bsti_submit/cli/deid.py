"""`deid`: de-identify to a local folder; nothing is sent, any number of patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bsti_submit.cli.options import ProfileName, SourcePath
from bsti_submit.cli.output import Json


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("deid")(deid)


def deid(
    path: SourcePath,
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="An empty or new folder for the de-identified files.", show_default=False),
    ],
    profile: ProfileName = None,
    as_json: Json = False,
) -> None:
    """De-identify images into a folder on this machine. Nothing is sent; it works with the network unplugged.

    Only images that pass the final check are written, as .dcm files under pseudonymous names. If any is held, the exit code is 3.
    """
    from bsti_submit.cli import noting, output, wiring
    from bsti_submit.errors import ExitCode, HeldError, InputError
    from bsti_submit.model import Certified, Outcome
    from bsti_submit.pipeline.prepared import Choices, prepare
    from bsti_submit.pipeline.stream import Work
    from bsti_submit.pipeline.writing import FolderWriter

    output.set_json(as_json)
    settings = wiring.start(path, writes=[out])
    rules = wiring.profile(settings, profile)
    key = wiring.local_key(settings)
    reports = []
    with (
        output.reporter(json_mode=as_json) as emit,
        prepare(path, rules, key.key, emit) as prepared,
        wiring.decisions(settings) as decided,
    ):
        if not prepared.survey.instances and not prepared.survey.rejections:
            raise InputError(
                "There are no DICOM files there.",
                details=(f"{prepared.survey.ignored} other files were found and ignored.",),
            )
        selection = prepared.select(Choices())
        reports = [rejection.report() for rejection in selection.rejections]
        work = Work(prepared, key.key, decided, compress=False)
        weak = {instance.patient_id for instance in selection.instances if prepared.identity.is_weak(instance)}
        if weak:
            output.say(
                "A patient here has no usable hospital number, and gets a random pseudonym that links to nothing else."
            )
        writer = FolderWriter(out)
        for outcome in work.run(selection.instances, emit):
            if isinstance(outcome, Certified):
                writer.write(outcome)
            reports.append(outcome.report())
        noting.note_deidentified(settings, rules, reports)
        held = [report for report in reports if report.outcome is Outcome.HELD]
        paths = {report.ref: prepared.source.locate(report.ref).reveal() for report in held}
    if as_json:
        output.write_json(
            {
                "profile": {
                    "name": rules.name,
                    "version": rules.version,
                    "recipe_sha256": rules.recipe_sha256,
                },
                "counts": output.counts_json(reports),
                "ignored": prepared.survey.ignored,
                "instances": output.instances_json(reports),
            }
        )
    else:
        for line in output.outcome_lines(reports):
            output.write(line)
    if held:
        output.say(f"Which files those are is listed, for you alone, in {wiring.keep_paths(settings, paths)}")
        if as_json:
            raise typer.Exit(int(ExitCode.HELD))
        raise HeldError(
            f"{len(held)} {'image is' if len(held) == 1 else 'images are'} held and not written.",
            hint=output.held_hint(held),
        )
