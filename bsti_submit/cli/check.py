"""`check`: everything but the sending."""

from __future__ import annotations

import typer

from bsti_submit.cli.options import ClinicalFile, ProfileName, SourcePath
from bsti_submit.cli.output import Json


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(path: SourcePath, profile: ProfileName = None, clinical: ClinicalFile = None, as_json: Json = False) -> None:
    """Check whether these images would pass.

    Everything is done except the packaging and sending. Nothing is sent, and no image, package or answer is written. The exit
    code is 0 if all would pass and 3 if any is held.
    """
    from bsti_submit.cli import flow, output, wiring
    from bsti_submit.errors import ExitCode
    from bsti_submit.model import Outcome
    from bsti_submit.pipeline.prepared import Choices, prepare

    output.set_json(as_json)
    settings = wiring.start(path)
    rules = wiring.profile(settings, profile)
    key = wiring.local_key(settings)
    with (
        output.reporter(json_mode=as_json) as emit,
        prepare(path, rules, key.key, emit, wiring.identifier_search(settings)) as prepared,
        wiring.decisions(settings) as decided,
    ):
        prepared.require_images()
        if clinical is not None:
            flow.read_record(clinical, prepared.context(1))
        selection = prepared.select(Choices())
        work = flow.work_for(prepared, key.key, decided)
        reports = [rejection.report() for rejection in selection.rejections]
        size = 0
        for outcome in work.run(selection.instances, emit):
            reports.append(outcome.report())
            size += getattr(outcome, "size", 0)
        held = any(report.outcome is Outcome.HELD for report in reports)
        searched = prepared.identity.matcher().describe()
    verdict = "held" if held else "pass"
    if as_json:
        output.write_json(
            {
                "verdict": verdict,
                "profile": {"name": rules.name, "version": rules.version, "recipe_sha256": rules.recipe_sha256},
                "patients": len(prepared.survey.patients),
                "bytes": size,
                "searched_for": searched,
                "counts": output.counts_json(reports),
                "instances": output.instances_json(reports),
            }
        )
    else:
        for line in output.outcome_lines(reports):
            output.write(line)
        whose = "this patient" if len(prepared.survey.patients) == 1 else "these patients"
        output.write(f"Searched for {sum(searched.values())} identifiers of {whose} in every byte.")
        output.write("Verdict: some images are held." if held else "Verdict: all images would pass.")
    if held:
        for line in output.held_hint(reports).splitlines():
            output.say(line)
        raise typer.Exit(int(ExitCode.HELD))
