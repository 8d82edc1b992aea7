"""The person at the terminal: what is shown, asked, and looked at during a case."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from bsti_submit.attestation import CONFIRMATION, text
from bsti_submit.errors import ApprovalError, HeldError
from bsti_submit.model import Reason
from bsti_submit.report.console import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.deid.pixels.review import ReviewItem
    from bsti_submit.outbox import Outbox
    from bsti_submit.pipeline.case import Built
    from bsti_submit.pipeline.prepared import Prepared


class Person:
    """Asks on stderr and reads plain lines, so that any terminal and a screen reader will do."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str = "") -> None:
        """Show a line."""
        self._console.print(line, markup=False, highlight=False)

    def ask(self, prompt: str) -> str:
        """Show a prompt and return the line typed."""
        self._console.print(prompt, end="", markup=False, highlight=False)
        return input().strip()

    def yes(self, question: str) -> bool:
        """Ask a question until it is answered."""
        while True:
            typed = self.ask(f"{question} [yes/no] ").casefold()
            if typed in {"y", "yes"}:
                return True
            if typed in {"n", "no"}:
                return False

    def show_survey(self, prepared: Prepared, refused: Counter[Reason]) -> None:
        """Show what was found, for this screen alone."""
        self.say(f"Found {readable(prepared.survey.total_bytes)} in {len(prepared.survey.instances)} DICOM files:")
        for study in prepared.studies:
            date = study.date.reveal()
            when = f"{date[6:8]}/{date[4:6]}/{date[:4]}" if date else "no date"
            self.say(
                f"  {study.number}  {when}  {'/'.join(study.modalities) or '?'}  {study.description.reveal() or 'no description'}"
                f"  ({len(study.instances)} images, {readable(study.size)})"
            )
            for series in study.series:
                part = series.body_part or "body part not stated"
                self.say(
                    f"       {series.modality} series {series.number.reveal() or '?'}: "
                    f"{series.description.reveal() or 'no description'}, {part}, {len(series.instances)} images"
                )
        for reason, count in refused.most_common():
            self.say(f"  left out or held: {count} × {reason.text}")
        if prepared.survey.ignored:
            self.say(f"  ignored: {prepared.survey.ignored} files that are not DICOM")

    def choose_studies(self, prepared: Prepared) -> tuple[int, tuple[int, ...]]:
        """Return the index study and the priors that go along."""
        count = len(prepared.studies)
        if count == 1:
            return 1, ()
        while True:
            typed = self.ask(f"Which study is the case about? 1 to {count} [1, the newest]: ") or "1"
            if typed.isdigit() and 1 <= int(typed) <= count:
                index = int(typed)
                break
        others = [study.number for study in prepared.studies if study.number > index]
        if not others:
            return index, ()
        while True:
            typed = self.ask(f"Which earlier studies go along? Numbers such as {others[0]}, or none [none]: ")
            if typed.casefold() in {"", "none", "no", "n"}:
                return index, ()
            pieces = typed.replace(",", " ").split()
            if all(piece.isdigit() and int(piece) in others for piece in pieces):
                return index, tuple(sorted({int(piece) for piece in pieces}))

    def confirm_body_part(self, count: int) -> bool:
        """Ask about images whose body part is not the chest, or not stated."""
        return self.yes(f"{count} images do not say that they show the chest. Do they belong to this chest case?")

    def look(
        self,
        items: Sequence[ReviewItem],
        on_decision: Callable[..., None] | None,
        *,
        notes: Sequence[str] = (),
    ) -> None:
        """Serve pictures from memory on this machine until the person is done."""
        from bsti_submit.deid.pixels.review import Ended, Mode, ReviewServer

        mode = Mode.DECIDE if on_decision is not None else Mode.LAST_LOOK
        with ReviewServer(items, on_decision, mode=mode, notes=notes) as server:
            self.say("Open this address in a browser on this machine; it works once and only here:")
            self.say(f"  {server.url}")
            if mode is Mode.LAST_LOOK:
                return_typed = self.ask("Press Enter once you have looked at the pictures: ")
                del return_typed
                return
            self.say("Press done on the page when you have decided; or Ctrl-C here.")
            while (ended := server.wait(1.0)) is None:
                pass
            if ended is Ended.IDLE:
                self.say("The page was closed after half an hour without use.")

    def metrics(self, context: Context, outbox: Outbox | None, study_set: str) -> ClinicalRecord:
        """Hold the clinical dialogue, keeping the de-identified answers as they come."""
        from bsti_submit.clinical.sources.prompt import ask

        draft: Mapping[str, object] | None = None
        if outbox is not None and (kept := outbox.draft(study_set)) is not None:
            draft = json.loads(kept, parse_float=Decimal)

        def keep(answers: Mapping[str, object]) -> None:
            if outbox is not None:
                outbox.save_draft(study_set, json.dumps(answers, default=float).encode())

        return ask(self._console, context, draft=draft, read_line=self.ask, keep=keep if outbox else None)

    def last_look(self, built: Built, items: Sequence[ReviewItem], to: str) -> None:
        """Show what leaves and have it confirmed.

        Raises
        ------
        ApprovalError
            If it is not confirmed. The package stays.
        """
        notes = (
            f"Case {built.package.case_id} to {to}",
            f"{built.package.objects} images, {readable(built.package.size)}",
            f"SHA-256 {built.package.sha256}",
        )
        self.say()
        self.say("The last look. This is what leaves:")
        for note in notes:
            self.say(f"  {note}")
        self.look(items, None, notes=notes)
        self.say()
        for line in text().splitlines():
            self.say(f"  {line}")
        if self.ask(f"Type {CONFIRMATION} to send, anything else to keep the package and stop: ") != CONFIRMATION:
            raise ApprovalError(
                "Not confirmed, so nothing was sent. The package is kept in the outbox.",
                hint=f"Send it later with bsti-submit approve {built.package.case_id}, or remove it with "
                f"bsti-submit outbox drop {built.package.case_id}.",
            )

    def must(self, question: str, otherwise: str) -> None:
        """Go on only if a question is answered by yes.

        Raises
        ------
        HeldError
            With ``otherwise``.
        """
        if not self.yes(question):
            raise HeldError(otherwise)
