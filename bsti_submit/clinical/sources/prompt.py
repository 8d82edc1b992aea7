"""A person at a terminal → a clinical record, in about twenty short lines.

Plain lines in and out, nothing is redrawn and nothing depends on colour, so that a dumb terminal, a pipe or a
screen reader will do. Dates that are typed become day offsets and are dropped at once; only de-identified
answers ever reach a draft.
"""

from __future__ import annotations

import textwrap
from copy import deepcopy
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text

from bsti_submit.clinical import lines, rules
from bsti_submit.clinical.entry import read_absent
from bsti_submit.clinical.form import CONFIRMATIONS
from bsti_submit.clinical.problem import Problem, ProblemError, error_for
from bsti_submit.clinical.questions import GROUPS, REASONS, questions
from bsti_submit.clinical.record import ClinicalRecord, suffix_form_problem, suffix_problem, validate
from bsti_submit.clinical.structure import plain_tree, structural_problems
from bsti_submit.clinical.summary import SHORT_LABELS, describe
from bsti_submit.errors import BstiError, ExitCode, StoppedError
from bsti_submit.phi import Identified
from bsti_submit.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console

    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.questions import Question
    from bsti_submit.clinical.rules import Doubt
    from bsti_submit.clinical.structure import Json, Tree

SUFFIX_ATTEMPTS = 3
MAX_LINE = 500
DRAFT_VERSION = "clinical-draft/1.0"
LEAVE_OUT = "leave out"
UNIT_AGAIN = "po2-no-fio2"
"""The doubt that a wrong unit is the likeliest cause of."""
_BACK, _HELP = "<", "?"


class DraftSaved(BstiError):  # noqa: N818 - not a fault: the person stopped
    """The person stopped before the end.

    ``draft`` holds the de-identified answers so far, as plain JSON values.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERRUPTED

    def __init__(self, draft: Mapping[str, object], *, kept: bool) -> None:
        super().__init__(
            "Stopped. Your answers so far are kept." if kept else "Stopped, and nothing was sent.",
            hint="Run the same command again to go on where you stopped. Nothing was sent." if kept else "",
        )
        self.draft = draft


class _Back(Exception):  # noqa: N818 - a word that was typed
    """The person typed ``<``."""


def ask(
    console: Console,
    context: Context,
    *,
    draft: Mapping[str, object] | None = None,
    read_line: Callable[[str], str] | None = None,
    keep: Callable[[Mapping[str, object]], None] | None = None,
    take_prefilled: bool = False,
) -> ClinicalRecord:
    """Hold the dialogue.

    Parameters
    ----------
    console
        Where to write.
    context
        The facts of the images, for the wrong-patient guard and for prefilled answers.
    draft
        An earlier draft of the same case; an unusable one is passed over.
    read_line
        Shows a prompt and returns the line typed; by default the console's own.
    keep
        Is given the draft after every answer, so that nothing is lost whatever happens.
    take_prefilled
        Whether what Enter alone would accept is taken without asking. The hospital number is asked for all the same,
        and the summary still lets every line be changed.

    Raises
    ------
    HeldError
        If the typed end of the hospital number is not that of the images, three times.
    DraftSaved
        On Ctrl-C, at the end of the input, or when the person chose to stop.
    """
    dialogue = _Dialogue(console, context, read_line or (lambda prompt: console.input(Text(printable(prompt)))), keep)
    dialogue.take_prefilled = take_prefilled
    dialogue.resume(draft)
    try:
        return dialogue.run()
    except (KeyboardInterrupt, EOFError):
        console.print()
        raise dialogue.stopped() from None


def confirm_patient(console: Console, context: Context, read_line: Callable[[str], str]) -> None:
    """Have the end of the hospital number typed and compared, where there is no dialogue.

    Raises
    ------
    HeldError
        If it is not that of the images, three times.
    StoppedError
        On Ctrl-C or at the end of the input.
    """
    try:
        _Dialogue(console, context, read_line, None).check_suffix()
    except (KeyboardInterrupt, EOFError):
        console.print()
        raise StoppedError("Stopped, and nothing was sent.") from None


class _Dialogue:
    """The state of one dialogue: answers by metric, the questions that were answered, the rules confirmed."""

    def __init__(
        self,
        console: Console,
        context: Context,
        read_line: Callable[[str], str],
        keep: Callable[[Mapping[str, object]], None] | None,
    ) -> None:
        self._console = console
        self._context = context
        self._read_line = read_line
        self._keep = keep
        self._questions = questions(context)
        self._answers: dict[str, Tree] = {}
        self._done: set[str] = set()
        self._confirmed: dict[str, str] = {}
        self._resumed = False
        self.take_prefilled = False
        self._taken: set[str] = set()
        self._take_from_images()

    def _take_from_images(self) -> None:
        if self._context.index_modality:
            self._answers["index_imaging"] = {"modality": self._context.index_modality}

    def _begin_again(self) -> None:
        """Forget every answer: what is wrong belongs to no question."""
        self._say("  The questions begin again.")
        self._answers.clear()
        self._done.clear()
        self._confirmed.clear()
        self._take_from_images()

    # The draft

    def draft(self) -> dict[str, object]:
        """Return the answers so far as plain JSON values. The hospital number's end is no part of them."""
        answers = {group: _plain(part) for group, part in self._answers.items()}
        return {
            "draft": DRAFT_VERSION,
            "answers": answers,
            "done": sorted(self._done),
            "confirmed": dict(self._confirmed),
        }

    def stopped(self) -> DraftSaved:
        """Return what is raised when the person stops."""
        return DraftSaved(self.draft(), kept=self._keep is not None and bool(self._done))

    def resume(self, draft: Mapping[str, object] | None) -> None:
        """Take over the metrics of a draft that are complete and still sound."""
        if not isinstance(draft, dict) or draft.get("draft") != DRAFT_VERSION:
            return
        tree, problems = plain_tree(draft)
        if problems or not isinstance(tree, dict):
            return
        answers, done, confirmed = tree.get("answers"), tree.get("done"), tree.get("confirmed")
        if not isinstance(answers, dict) or not isinstance(done, list) or not isinstance(confirmed, dict):
            return
        known = {question.key: question for question in self._questions}
        self._done = {str(key) for key in done if key in known}
        for group, part in answers.items():
            if group in GROUPS and isinstance(part, dict) and group not in self._answers:
                self._answers[group] = part
        self._confirmed = {
            rule: str(group) for rule, group in confirmed.items() if rule in CONFIRMATIONS and group in GROUPS
        }
        self._resumed = bool(self._done)
        for group in GROUPS:
            asked = [question for question in self._questions if question.group == group and question.key in self._done]
            doubts = {doubt.rule for doubt in self._doubts(group)}
            if asked and (self._group_problems(group) or doubts - self._confirmed.keys()):
                self._reset(group)

    # Writing and reading

    def _say(self, text: str = "", style: str = "", *, hanging: int = 4) -> None:
        """Show a paragraph; lines after the first are indented."""
        width = max(self._console.width - 1, 40)
        for line in textwrap.wrap(printable(text), width, subsequent_indent=" " * hanging) or [""]:
            self._console.print(Text(line, style=style), soft_wrap=True)

    def _tell(self, problem: Problem) -> None:
        """Show a problem in the words that every way in uses, without its code and path."""
        self._say(f"  {problem.message[:1].upper()}{problem.message[1:]}", "bold")
        if problem.hint:
            self._say(f"  {problem.hint}")

    def _line(self, prompt: str, explanation: str = "") -> str:
        """Return a line typed; ``?`` explains and asks again.

        Raises
        ------
        _Back
            If ``<`` was typed.
        """
        while True:
            try:
                typed = self._read_line(prompt).strip()
            except UnicodeDecodeError:
                typed = "\0"  # bytes that the terminal's encoding does not know
            if typed == _HELP:
                self._say(f"  {explanation}")
            elif typed == _BACK:
                raise _Back
            elif len(typed) > MAX_LINE or not typed.isprintable():
                self._say("  That line holds characters that cannot be read. Type it again.")
            else:
                return typed

    # The course of the dialogue

    def run(self) -> ClinicalRecord:
        """Ask until the record is complete and the person is content."""
        self._say("Clinical metrics", "bold")
        self._say(
            "? explains a question, < goes back, Ctrl-C stops" + (" and keeps your answers." if self._keep else ".")
        )
        self._say(f"For a missing value type: {REASONS}.")
        self.check_suffix()
        if self._resumed:
            self._say("Your earlier answers are here again.")
        if self._context.index_modality:
            self._say(f"Imaging: {self._context.index_modality}, from the images.")
        while True:
            question = self._next()
            if question is not None:
                self._ask(question)
            elif (record := self._summary()) is not None:
                return record

    def check_suffix(self) -> None:
        """Guard against the wrong patient: compare the typed end of the hospital number, and forget it."""
        matches = self._context.suffix_matches
        if matches is None or matches("") is None:
            self._say("The images hold no hospital number to compare with. Make sure that they are this patient's.")
            return
        wrong = 0
        explanation = "It shows that your sheet and the images are of one patient, and is not stored."
        self._say()
        self._say("Last three characters of the patient's hospital number, from your sheet")
        while wrong < SUFFIX_ATTEMPTS:
            try:
                typed = self._line("> ", explanation)
            except _Back:
                continue
            if problem := suffix_form_problem(typed):
                self._tell(problem)
                continue
            mismatch = suffix_problem(Identified(typed), self._context)
            if mismatch is None:
                self._say("  The same as in the images.")
                return
            wrong += 1
            left = SUFFIX_ATTEMPTS - wrong
            if left:
                self._say(
                    "  That is not the hospital number in the images. Is it the right patient?",
                    "bold",
                )
                self._say(f"  {left} more {'try' if left == 1 else 'tries'}.")
        raise error_for((mismatch,) if mismatch else ())

    def _next(self) -> Question | None:
        return next(
            (
                question
                for question in self._questions
                if question.key not in self._done and question.applies(self._answers)
            ),
            None,
        )

    def _ask(self, question: Question) -> None:
        if self.take_prefilled and question.prefill is not None and question.key not in self._taken:
            self._taken.add(question.key)  # once: after `<`, or a doubt, it is asked
            self._take(question, "")
            return
        self._say()
        self._say(question.title, "bold")
        for line in question.choices:
            self._say(line)
        if question.example:
            self._say(f"  e.g. {question.example}")
        doubt = self._context.age.doubt if question.key == "age" and self._context.age is not None else ""
        if doubt:
            self._say(f"  {doubt} Type the age.")
        offered = question.prefill.shown if question.prefill else LEAVE_OUT if question.optional else ""
        prompt = f"[{offered}] Enter accepts > " if offered else "> "
        if len(prompt) > self._console.width - 20:
            self._say(f"  [{offered}]")
            prompt = "Enter accepts > "
        while True:
            try:
                typed = self._line(prompt, question.explanation)
            except _Back:
                self._go_back(question)
                return
            try:
                if self._take(question, typed):
                    return
            except ProblemError as error:
                if question.optional and read_absent(typed) is not None:
                    self._say("  Enter alone leaves this out.")
                else:
                    self._tell(error.problem)

    def _take(self, question: Question, typed: str) -> bool:
        """Take an answer over, and close its metric if it was the last question of it."""
        part: Tree = {} if question.key == question.group else dict(self._answers.get(question.group, {}))
        if typed:
            part, notes = question.read(typed, part)
        elif question.prefill is not None:
            part, notes = deepcopy(question.prefill.part), ()
        elif question.optional:
            notes = ()
        else:
            self._say("  Enter alone is no answer here" + self._how_to_leave_out(question))
            return False
        wrong = [
            problem
            for problem in structural_problems({question.group: part})
            if problem.group == question.group and problem.code not in question.tolerates
        ]
        if wrong and part:
            for problem in wrong:
                self._tell(problem)
            return False
        for note in notes:
            self._say(f"  {SHORT_LABELS[question.group]}: {note.text}")
        if part:
            self._answers[question.group] = part
        else:
            self._answers.pop(question.group, None)
        self._done.add(question.key)
        self._close(question.group)
        if self._keep is not None:
            self._keep(self.draft())
        return True

    @staticmethod
    def _how_to_leave_out(question: Question) -> str:
        if question.group in {"white_cell_count", "crp", "po2", "indication"} and question.key == question.group:
            return f"; if it is missing, say why: {REASONS}."
        if question.group in {"age", "sex"}:
            return "; type u if it is not known, w if it may not be shared."
        return "; ? explains the question."

    def _close(self, group: str) -> None:
        """Close a metric that has no question left: rules, doubts to confirm, and what is stored."""
        following = self._next()
        if following is not None and following.group == group:
            return
        if wrong := self._group_problems(group):
            for problem in wrong:
                self._tell(problem)
            if any(problem.held for problem in wrong):
                self._say("  Is this the right patient?")
            self._reset(group)
            return
        for doubt in self._doubts(group):
            if not self._confirm(group, doubt):
                self._reset(group)
                return
            self._confirmed[doubt.rule] = group
        if group in self._answers:
            self._say(f"  {SHORT_LABELS[group]}: {describe(group, self._answers)}")

    def _group_problems(self, group: str) -> list[Problem]:
        part = self._answers.get(group)
        if part is None:
            return []
        wrong = [problem for problem in structural_problems({group: part}) if problem.group == group]
        return wrong or [problem for problem in rules.problems(self._tree(), self._context) if problem.group == group]

    def _doubts(self, group: str) -> list[Doubt]:
        return [doubt for doubt in rules.doubts(self._tree(), self._context) if doubt.path == group]

    def _confirm(self, group: str, doubt: Doubt) -> bool:
        """Have a suspicious value typed again."""
        question = next(question for question in self._questions if question.key == group)
        self._say(f"  {doubt.text[:1].upper()}{doubt.text[1:]}", "bold")
        if doubt.rule.endswith("-differs"):
            self._say("  Is this the right patient?")
        with_unit = " with its unit" if doubt.rule == UNIT_AGAIN else ""
        self._say(f"  Type the value again{with_unit} if it is right, or < to change it.")
        try:
            typed = self._line("again > ", question.explanation)
        except _Back:
            return False
        try:
            again, _ = question.read(typed, {})
        except ProblemError:
            again = {}
        if doubt.rule == UNIT_AGAIN and again and not lines.names_unit(typed):
            self._say("  The unit is missing, so the question is asked again.")
            return False
        same = [self._answers[group].get(name) == again.get(name) for name in ("value", "unit", "comparator")]
        if not all(same):
            self._say("  That is another value, so the question is asked again.")
        return all(same)

    def _reset(self, group: str) -> None:
        """Forget the answers to one metric, so that it is asked again."""
        self._answers.pop(group, None)
        self._done -= {question.key for question in self._questions if question.group == group}
        self._confirmed = {rule: owner for rule, owner in self._confirmed.items() if owner != group}

    def _go_back(self, question: Question) -> None:
        """Open the question before this one again. Within a metric that is its first one."""
        before = [
            earlier for earlier in self._questions[: self._questions.index(question)] if earlier.key in self._done
        ]
        if not before:
            self._say("  This is the first question.")
            return
        self._reset(before[-1].group)

    # The end

    def _tree(self) -> Tree:
        tree: Tree = {"schema_version": "1.0", **deepcopy(self._answers)}
        if self._confirmed:
            listed: list[Json] = [*sorted(self._confirmed)]
            tree["confirmed"] = listed
        return tree

    def _summary(self) -> ClinicalRecord | None:
        """Show everything on one screen; return the record, or None if something is to be asked again."""
        shown = [
            group
            for group in GROUPS
            if group in {question.group for question in self._questions} | self._answers.keys()
        ]
        self._say()
        self._say("Summary", "bold")
        for number, group in enumerate(shown, start=1):
            label = f"{number:>3}  {SHORT_LABELS[group] + ':':<17}"
            self._say(f"{label}{describe(group, self._answers)}", hanging=len(label))
        result = validate(self._tree(), self._context)
        if not isinstance(result, ClinicalRecord):
            for problem in result:
                self._tell(problem)
                self._reset(problem.group)
            if self._next() is None:
                self._begin_again()
            return None
        while True:
            try:
                typed = self._line(
                    "Number to change, done, or stop > ",
                    "A number asks that line again; done goes on; stop keeps your answers.",
                )
            except _Back:
                self._reset(self._last_group())
                return None
            word = typed.casefold().removeprefix("edit").strip()
            if word in {"done", "submit"}:
                return result
            if word in {"stop", "save", "save and stop"}:
                raise self.stopped()
            if word.isascii() and word.isdigit() and 1 <= int(word[:3]) <= len(shown):
                self._edit(shown[int(word[:3]) - 1])
                return None
            self._say(f"  Type a number from 1 to {len(shown)}, done or stop.")

    def _edit(self, group: str) -> None:
        if group == "index_imaging" and self._context.index_modality:
            self._say("  This comes from the images and cannot be changed here.")
            return
        self._reset(group)

    def _last_group(self) -> str:
        return next(question.group for question in reversed(self._questions) if question.key in self._done)


def _plain(value: Json) -> Json:
    """Return JSON values without decimals."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    return float(value)
