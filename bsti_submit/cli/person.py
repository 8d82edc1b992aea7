"""The person at the terminal: what is shown, asked, and looked at during a case."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from bsti_submit.attestation import CONFIRMATION, text
from bsti_submit.cli.keyboard import typed_line
from bsti_submit.errors import ApprovalError, HeldError, StoppedError
from bsti_submit.printable import printable
from bsti_submit.report.console import readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.deid.pixels.review_items import Decide, ReviewItem
    from bsti_submit.outbox import Outbox
    from bsti_submit.pipeline.prepared import Prepared


_LONGEST_NUMBER = 6


@dataclass(frozen=True, slots=True)
class Leaving:
    """What the last look shows of a package."""

    case_id: str
    to: str
    objects: int
    size: int
    sha256: str
    note: str = ""

    def lines(self) -> tuple[str, ...]:
        """Return it for the terminal and for the page."""
        return (
            f"Case      {self.case_id}",
            f"To        {self.to}",
            f"Images    {self.objects}, in a package of {readable(self.size)}",
            f"SHA-256   {self.sha256}",
            *([self.note] if self.note else []),
        )


class Person:
    """Asks on stderr and reads plain lines, so that any terminal and a screen reader will do.

    Parameters
    ----------
    console
        Where to write.
    take_prefilled
        Whether answers that Enter alone would accept are taken without asking (``--yes``).
    """

    def __init__(self, console: Console, *, take_prefilled: bool = False) -> None:
        self._console = console
        self._take_prefilled = take_prefilled

    def say(self, line: str = "", *, hanging: int | None = None) -> None:
        """Show a paragraph; the lines after the first are indented, and long words such as links stay whole."""
        from rich.text import Text

        indent = len(line) - len(line.lstrip()) if hanging is None else hanging
        width = max(self._console.width - 1, 40)
        wrapped = textwrap.wrap(
            printable(line),
            width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for part in wrapped or [""]:
            self._console.print(Text(part), soft_wrap=True)

    def ask(self, prompt: str) -> str:
        """Show a prompt and return the line typed.

        Raises
        ------
        EOFError
            At the end of the input (Ctrl-D), which is never an answer.
        """
        from rich.text import Text

        self._console.print(Text(printable(prompt)), end="", soft_wrap=True)
        return typed_line().strip()

    def yes(self, question: str) -> bool:
        """Ask a question until it is answered."""
        self.say(question)
        while True:
            typed = self.ask("yes or no > ").casefold()
            if typed in {"y", "yes"}:
                return True
            if typed in {"n", "no"}:
                return False

    def choose_studies(self, prepared: Prepared, index: int | None = None) -> tuple[int, tuple[int, ...]]:
        """Return the index study, unless an option names it, and the priors that go along."""
        count = len(prepared.studies)
        if count > 1:
            self.say()
        if index is None:
            index = 1 if count == 1 or self._take_prefilled else self._index(count)
        prepared.study(index)
        others = [study.number for study in prepared.studies if study.number > index]
        if not others or self._take_prefilled:
            if count > 1:
                self.say(f"Study {index} is the case; no earlier study goes along.")
            return index, ()
        return index, self._priors(others)

    def _index(self, count: int) -> int:
        self.say("Which study is the case about?")
        while True:
            typed = self.ask("[1, the newest] Enter accepts > ") or "1"
            if (number := _number(typed)) is not None and 1 <= number <= count:
                return number
            self.say(f"  Type a number from 1 to {count}.")

    def _priors(self, others: Sequence[int]) -> tuple[int, ...]:
        self.say("Which earlier studies go along with it?")
        listed = ", ".join(str(number) for number in others)
        self.say(f"  {listed}, or none", hanging=4)
        while True:
            typed = self.ask("[none] Enter accepts > ").casefold()
            if typed in {"", "none", "no", "n"}:
                return ()
            if typed == "all":
                return tuple(others)
            numbers = [_number(piece) for piece in typed.replace(",", " ").split()]
            chosen = {number for number in numbers if number in others}
            if numbers and None not in numbers and len(chosen) == len(set(numbers)):
                return tuple(sorted(number for number in chosen if number is not None))
            self.say(f"  Type one or more of these numbers: {listed}; or none.")

    def confirm_body_part(self, count: int) -> bool:
        """Ask about images whose body part is not the chest, or not stated."""
        self.say()
        does, belongs = ("does", "Does it") if count == 1 else ("do", "Do they")
        return self.yes(
            f"{counted(count, 'image')} {does} not say that the chest is shown. {belongs} belong to this case?"
        )

    def leaves_out(self, lines: Sequence[str], count: int) -> bool:
        """Ask whether images that are held shall stay behind, so that the others can go."""
        self.say()
        for line in lines:
            self.say(line, hanging=4)
        it = "it" if count == 1 else "them"
        return self.yes(f"Leave {it} out and go on with the other images? No stops here, and nothing is sent.")

    def look_first(
        self,
        items: Sequence[ReviewItem],
        on_decision: Decide,
        count: int,
    ) -> None:
        """Show pictures, of which some must be looked at, with what was decided about them before."""
        self.say()
        if count:
            self.say(
                "One picture has to be looked at first: it may show a name, a date or a number."
                if count == 1
                else f"{count} pictures have to be looked at first: they may show a name, a date or a number."
            )
        self.look(items, on_decision)

    def look(
        self,
        items: Sequence[ReviewItem],
        on_decision: Decide | None,
        *,
        notes: Sequence[str] = (),
    ) -> bool:
        """Serve pictures from memory on this machine until the person is done; return whether they were opened."""
        from bsti_submit.deid.pixels.review import Ended, Mode, ReviewServer

        mode = Mode.DECIDE if on_decision is not None else Mode.LAST_LOOK
        with ReviewServer(items, on_decision, mode=mode, notes=notes) as server:
            self.say("Open this link in a browser on this computer. It works once.")
            if mode is Mode.DECIDE:
                self.say("Decide about each picture, then press Done on the page.")
            self.say()
            self.say(f"  {server.url}")
            self.say()
            if mode is Mode.LAST_LOOK:
                self.ask("Press Enter once you have looked at the pictures > ")
                if not server.opened:
                    self.say(
                        "The pictures were not opened. Open the link now, and press Enter after that. Or press Enter "
                        "without, and your confirmation will say that nobody looked at them here."
                    )
                    self.ask("Enter > ")
                return server.opened
            while (ended := server.wait(1.0)) is None:
                pass
            if ended is Ended.IDLE:
                self.say("The page was closed after half an hour without use.")
            return server.opened

    def show_package(self, items: Sequence[ReviewItem], case_id: str) -> None:
        """Show the images of a package until the person has seen them; nothing is decided by it."""
        from bsti_submit.deid.pixels.review import Mode, ReviewServer

        with ReviewServer(items, None, mode=Mode.LAST_LOOK, title="A package", notes=(f"Case {case_id}",)) as server:
            self.say(
                "Open this link in a browser on this computer. It works once. Press the button when you have seen them."
            )
            self.say()
            self.say(f"  {server.url}")
            while server.wait(1.0) is None:
                pass

    def metrics(self, context: Context, outbox: Outbox, study_set: str, *, keeping: bool) -> ClinicalRecord:
        """Hold the clinical dialogue, from the answers that are kept, and keep new ones as they come unless told not to."""
        from bsti_submit.clinical.sources.prompt import ask

        draft: Mapping[str, object] | None = None
        if (kept := outbox.draft(study_set)) is not None:
            draft = json.loads(kept, parse_float=Decimal)

        def keep(answers: Mapping[str, object]) -> None:
            outbox.save_draft(study_set, json.dumps(answers, default=float).encode())

        self.say()
        return ask(
            self._console,
            context,
            draft=draft,
            read_line=self.ask,
            keep=keep if keeping else None,
            take_prefilled=self._take_prefilled,
        )

    def confirm_patient(self, context: Context) -> None:
        """Have the end of the hospital number typed, where the metrics come from a file."""
        from bsti_submit.clinical.sources.prompt import confirm_patient

        self.say()
        confirm_patient(self._console, context, self.ask)

    def last_look(self, package: Leaving, items: Sequence[ReviewItem], terms: Sequence[str], *, verb: str) -> bool:
        """Show what leaves and have it confirmed; return whether the pictures were looked at.

        Parameters
        ----------
        terms
            What the statements call "named here": lawful basis, opt-out, credit.
        verb
            What the confirmation does: ``send`` or ``approve``.

        Raises
        ------
        ApprovalError
            If it is not confirmed. The package stays.
        StoppedError
            On Ctrl-C or at the end of the input. The package stays.
        """
        kept = f"The package is kept in the outbox as case {package.case_id}."
        hint = (
            "To look once more and send it, run the same command again.\n"
            "To begin afresh, or to leave an image out, first remove it:\n"
            f"  bsti-submit outbox drop {package.case_id}"
        )
        self.say()
        self.say("The last look. This is what leaves:")
        for note in package.lines():
            self.say(f"  {note}", hanging=12)
        self.say()
        try:
            looked = self.look(items, None, notes=package.lines())
            self.say()
            self.say("What you confirm:")
            for line in text().splitlines():
                self.say(f"  {line}", hanging=5)
            for line in terms:
                self.say(f"  {line}", hanging=16)
            self.say()
            typed = self.ask(f"Type {CONFIRMATION} to {verb} it; anything else keeps it here > ")
        except (KeyboardInterrupt, EOFError):
            self.say()
            raise StoppedError(f"Stopped, and nothing was sent. {kept}", hint=hint) from None
        if typed != CONFIRMATION:
            raise ApprovalError(f"Not confirmed, so nothing was sent. {kept}", hint=hint)
        return looked

    def must(self, question: str, otherwise: str) -> None:
        """Go on only if a question is answered by yes.

        Raises
        ------
        HeldError
            With ``otherwise``.
        """
        self.say()
        if not self.yes(question):
            raise HeldError(otherwise)


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun, in the plural where it must be."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def _number(typed: str) -> int | None:
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) <= _LONGEST_NUMBER else None
