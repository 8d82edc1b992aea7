"""What was found, for the person's own screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsti_submit.cli.person import counted
from bsti_submit.model import Outcome
from bsti_submit.report.console import readable

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from bsti_submit.cli.person import Person
    from bsti_submit.model import Reason
    from bsti_submit.pipeline.prepared import Prepared


def show_survey(person: Person, prepared: Prepared, refused: Mapping[Outcome, Counter[Reason]]) -> None:
    """Show what was found, for this screen alone."""
    survey, studies = prepared.survey, prepared.studies
    files = counted(len(survey.instances) + len(survey.rejections), "DICOM file")
    person.say(
        f"Found {files}, {readable(survey.total_bytes)}, in {counted(len(studies), 'study', 'studies')} to send."
    )
    for study in studies:
        date = study.date.reveal()
        when = f"{date[6:8]}/{date[4:6]}/{date[:4]}" if date else "no date"
        kinds = " and ".join(study.modalities) or "kind not stated"
        person.say()
        person.say(
            f"{study.number:>3}  {when}  {kinds}, {counted(len(study.instances), 'image')}, {readable(study.size)}"
        )
        person.say(f"     {study.description.reveal() or 'no description'}")
        for series in study.series:
            part = (series.body_part or "body part not stated").capitalize()
            person.say(
                f"       {series.modality} series {series.number.reveal() or '?'}, "
                f"{counted(len(series.instances), 'image')}, {part}: "
                f"{series.description.reveal() or 'no description'}",
                hanging=9,
            )
    for outcome, title in ((Outcome.LEFT_OUT, "Left out:"), (Outcome.HELD, "Held, until you decide:")):
        if refused[outcome]:
            person.say()
            person.say(title)
        for reason, count in refused[outcome].most_common():
            person.say(f"{count:>5}  {reason.text}", hanging=7)
    if survey.ignored:
        person.say()
        person.say(f"{counted(survey.ignored, 'other file')} here: not DICOM, and ignored.")
