"""A person at a terminal → a clinical record, by plain lines that work on any console and with a screen reader.

Every answer is read by the same functions as a manifest's cell and a JSON file. Nothing is redrawn; `?` explains a field,
`<` goes back, and after every answer the de-identified answers so far are handed to ``keep``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from bsti_submit.clinical import entry, rules
from bsti_submit.clinical.form import CHOICES, EXPLAIN, INDICATIONS, LABELS, QUANTITIES
from bsti_submit.clinical.problem import Problem, ProblemError
from bsti_submit.clinical.record import ClinicalRecord, suffix_form_problem, suffix_problem, validate
from bsti_submit.clinical.screen import screen_text
from bsti_submit.errors import HeldError
from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from rich.console import Console

    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.structure import Tree

ReadLine: TypeAlias = Callable[[str], str]
Keep: TypeAlias = Callable[[Mapping[str, object]], None]

SUFFIX_TRIES: Final = 3
REQUIRED: Final = ("age", "sex", "indication", "rt_pcr", "white_cell_count", "crp", "po2", "prior_imaging")
ORDER: Final = (
    *("age", "sex", "indication", "rt_pcr", "symptom_onset", "white_cell_count", "crp", "po2", "spo2"),
    *("prior_imaging", "reporting", "outcome"),
)
MISSING: Final = "nd not done, p pending, u unknown, w withheld, na not applicable"


class _Back(Exception):  # noqa: N818 - a signal
    pass


def ask(
    console: Console,
    context: Context,
    *,
    draft: Mapping[str, object] | None = None,
    read_line: ReadLine | None = None,
    keep: Keep | None = None,
) -> ClinicalRecord:
    """Ask for a whole record.

    Parameters
    ----------
    context
        The facts of the headers: prefilled answers, and the wrong-patient check.
    draft
        De-identified answers of an interrupted dialogue, offered again.
    read_line
        Reads one line after showing a prompt; by default that of the terminal.
    keep
        Called with the de-identified answers so far after each of them.

    Raises
    ------
    HeldError
        If the hospital number's end does not match the images.
    KeyboardInterrupt
        On Ctrl-C, after saying that the answers are kept.
    """
    dialogue = _Dialogue(console, context, read_line or input, keep)
    try:
        return dialogue.run(dict(draft or {}))
    except (KeyboardInterrupt, EOFError):
        dialogue.say("")
        if keep is not None:
            dialogue.say("Stopped. Your answers are kept on this machine; the same command offers them again.")
        raise KeyboardInterrupt from None


class _Dialogue:
    def __init__(self, console: Console, context: Context, read_line: ReadLine, keep: Keep | None) -> None:
        self._console = console
        self._context = context
        self._read_line = read_line
        self._keep = keep
        self.tree: Tree = {}
        self._confirmed: set[str] = set()

    def say(self, text: str) -> None:
        """Write lines a console of any code page can show."""
        self._console.print(text, markup=False, highlight=False)

    def run(self, draft: dict[str, object]) -> ClinicalRecord:
        """Hold the whole dialogue."""
        self.say("Type ? for help on a question, < to go back, Ctrl-C to stop and keep your answers.")
        self.say(f"Where something is missing, say why: {MISSING}.")
        self._right_patient()
        self.tree = {
            "schema_version": "1.0",
            "index_imaging": {"modality": self._context.index_modality or self._modality()},
        }
        if draft and self._yes("Answers from an earlier start of this case are here. Go on with them? [y/n] "):
            for name in ORDER:
                if name in draft:
                    self.tree[name] = draft[name]  # type: ignore[assignment]
            self._confirmed = {str(rule) for rule in _list(draft.get("confirmed"))}
        waiting = [name for name in ORDER if name not in self.tree]
        self._ask_all(waiting)
        return self._finish()

    def _ask_all(self, names: list[str]) -> None:
        position = 0
        while position < len(names):
            try:
                self._question(names[position])
            except _Back:
                position = max(0, position - 1)
                continue
            position += 1

    def _question(self, name: str) -> None:
        """Ask one question until its answer stands, then keep it."""
        asked = getattr(self, f"_ask_{name}")
        while True:
            try:
                part = asked()
            except ProblemError as error:
                self.say(str(error.problem))
                continue
            before = self.tree.pop(name, None)
            if part is not None:
                self.tree[name] = part
            doubt = next(
                (found for found in rules.doubts(self.tree, self._context) if found.path.split(".")[0] == name), None
            )
            if doubt is not None and not self._sure(doubt.text):
                self.tree.pop(name, None)
                if before is not None:
                    self.tree[name] = before
                continue
            self._confirmed -= {found for found in self._confirmed if _belongs(found, name)}
            if doubt is not None:
                self._confirmed.add(doubt.rule)
            wrong = [problem for problem in rules.problems(self.tree, self._context) if problem.group == name]
            if wrong:
                for problem in wrong:
                    self.say(str(problem))
                self.tree.pop(name, None)
                continue
            break
        if self._keep is not None:
            self._keep({**self.tree, "confirmed": sorted(self._confirmed)})

    def _sure(self, text: str) -> bool:
        self.say(f"{text[0].upper()}{text[1:]}")
        return self._line("If that is right, type yes; anything else asks again: ").casefold() == "yes"

    def _line(self, prompt: str, explain: str = "") -> str:
        while True:
            typed = self._read_line(prompt).strip()
            if typed == "?":
                self.say(EXPLAIN.get(explain, "Answer the question, or type < to go back."))
                continue
            if typed == "<":
                raise _Back
            return typed

    def _required(self, prompt: str, explain: str) -> str:
        while True:
            typed = self._line(prompt, explain)
            if typed:
                return typed
            self.say(f"An empty answer is not taken. If it is missing, say why: {MISSING}.")

    def _yes(self, prompt: str) -> bool:
        while True:
            typed = self._read_line(prompt).strip().casefold()
            if typed in {"y", "yes"}:
                return True
            if typed in {"n", "no"}:
                return False

    def _modality(self) -> str:
        while True:
            try:
                return entry.read_choice(
                    self._required("Index imaging: CT, CXR or MR? ", "index_imaging"), "index_imaging.modality"
                )
            except ProblemError as error:
                self.say(str(error.problem))
            except _Back:
                continue

    def _right_patient(self) -> None:
        """Compare the end of the hospital number, typed, with the headers; nothing of it is kept."""
        check = self._context.suffix_matches
        if check is None or check("") is None:
            self.say("The images hold no hospital number to compare with. Make sure that they are your patient's.")
            return
        for left in range(SUFFIX_TRIES - 1, -1, -1):
            typed = self._read_line("Last three characters of the hospital number: ").strip()
            if typed == "?":
                self.say("They are compared with the images in memory, so that answers and images are of one patient.")
            elif (form := suffix_form_problem(typed)) is not None:
                self.say(str(form))
            elif suffix_problem(Identified(typed), self._context) is None:
                return
            else:
                self.say("That is not how the hospital number in these images ends." + (" Try again." if left else ""))
        raise HeldError(
            "The images may be of another patient, so nothing was done.",
            hint="Check which folder you gave, and the patient's hospital number.",
        )

    # one question each; None leaves an optional metric out

    def _ask_age(self) -> Tree | None:
        known = self._context.age
        if known is not None and known.doubt:
            self.say(known.doubt)
        years = known.years.reveal() if known is not None and known.years is not None else None
        if years is None or known is None:
            part, notes = entry.read_age(self._required(f"{LABELS['age']}: ", "age"))
        else:
            typed = self._line(f"{LABELS['age']} [{years}, from the images' headers; Enter to accept]: ", "age")
            part, notes = entry.read_age(typed or str(years))
            if not typed:
                part["source"] = known.source
        for note in notes:
            self.say(f"{LABELS['age']}: {note.message}")
        return part

    def _ask_sex(self) -> Tree | None:
        known = self._context.sex
        if not known:
            return entry.read_sex(self._required("Sex, M, F or O: ", "sex"))
        typed = self._line(f"Sex, M, F or O [{known}, from the images' headers; Enter to accept]: ", "sex")
        part = entry.read_sex(typed or known)
        if not typed:
            part["source"] = "dicom-sex"
        return part

    def _ask_indication(self) -> Tree | None:
        codes = list(INDICATIONS)
        self.say(f"{LABELS['indication']}:")
        for number, code in enumerate(codes, 1):
            self.say(f"  {number:>2}  {INDICATIONS[code]}")
        typed = self._required("Number: ", "indication")
        if (reason := entry.read_absent(typed)) is not None:
            return {"absent": reason}
        if typed.isascii() and typed.isdigit() and 1 <= int(typed) <= len(codes):
            code = codes[int(typed) - 1]
        else:
            code = entry.read_choice(typed, "indication.code")
        if code != "other":
            return {"code": code}
        text = entry.read_text(self._required("In a few words, without names, dates or places: ", "indication.text"))
        if (problem := screen_text(text, "indication.text", self._context)) is not None:
            raise ProblemError(problem)
        return {"code": code, "text": text}

    def _ask_rt_pcr(self) -> Tree | None:
        typed = self._required(
            f"{LABELS['rt_pcr']}: tests such as neg -4, pos +1; or nd, p, u: ", "rt_pcr.tests"
        )
        if (reason := entry.read_absent(typed)) is not None:
            if reason not in {"not-done", "pending", "unknown"}:
                raise ProblemError(Problem("E-CHOICE", "rt_pcr", "it can be not done, pending or unknown."))
            return {"status": reason}
        tests = []
        for number, piece in enumerate(filter(None, re.split(r"[,;]", typed))):
            tests.append(self._pcr_test(piece, number))
        results = [str(test["result"]) for test in tests]
        status = next(
            (found for found in ("positive", "indeterminate", "pending", "negative") if found in results), "unknown"
        )
        self.say(f"RT-PCR status: {status}")
        return {"status": status, "tests": tests}

    def _pcr_test(self, piece: str, number: int) -> Tree:
        words = piece.replace("@", " ").split()
        path = f"rt_pcr.tests[{number}]"
        test: Tree = {"result": entry.read_result_word(words[0] if words else "", f"{path}.result")}
        rest = words[1:]
        if rest and not re.match(r"[+-]?\d", rest[-1]):
            test["specimen"] = entry.read_specimen(rest.pop(), f"{path}.specimen")
        day = " ".join(rest) or self._required(
            "On which day, from the imaging: -1 the day before, 0 the same day, or a date? ", "rt_pcr.tests"
        )
        test["day"] = entry.read_days(day, f"{path}.day", self._context.index_date)
        if entry.looks_like_date(day):
            self.say(f"  {entry.describe_days(test['day'])}; the date itself is forgotten")
        return test

    def _ask_symptom_onset(self) -> Tree | None:
        typed = self._line(f"{LABELS['symptom_onset']} (or none; Enter to leave out): ", "symptom_onset")
        if not typed:
            return None
        if (reason := entry.read_absent(typed)) is not None:
            return {"absent": reason}
        if typed.casefold() in {"none", "asymptomatic"}:
            return {"asymptomatic": True}
        days = entry.read_days(typed, "symptom_onset", self._context.index_date)
        # A date gives days after the imaging; onset is counted the other way round.
        return {"value": -days if entry.looks_like_date(typed) else days}

    def _ask_white_cell_count(self) -> Tree | None:
        return self._laboratory("white_cell_count")

    def _ask_crp(self) -> Tree | None:
        return self._laboratory("crp")

    def _laboratory(self, metric: str) -> Tree:
        quantity = QUANTITIES[metric]
        typed = self._required(
            f"{LABELS[metric]} in {quantity.shown} (reference {quantity.reference}), or nd p u w na: ", metric
        )
        value, unit, day = _split(typed)
        absent = entry.read_absent(value) is not None
        part = entry.read_result(metric, value, unit or ("" if absent else quantity.unit))
        if day and not absent:
            part["day"] = entry.read_days(day, f"{metric}.day", self._context.index_date)
        self.say(f"  {entry.describe_result(metric, part)}{_flag(metric, part)}")
        return part

    def _ask_po2(self) -> Tree | None:
        typed = self._required("pO2 of a blood gas in kPa, or with mmHg behind it; or nd p u w na: ", "po2")
        value, unit, day = _split(typed)
        if entry.read_absent(value) is not None:
            return entry.read_result("po2", value, unit)
        part = entry.read_result("po2", value, unit or "kPa")
        part["sample"] = entry.read_choice(
            self._required("Sample: arterial, capillary, venous or unknown? ", "po2.sample"),
            "po2.sample",
            {"a": "arterial", "c": "capillary", "v": "venous", "u": "unknown", "art": "arterial"},
        )
        fio2 = self._line("FiO2: air, 0.28 or 28%; Enter if not known: ", "po2.fio2")
        if fio2 and entry.read_absent(fio2) is None:
            part["fio2"] = entry.read_fio2(fio2, "po2.fio2")
        if day:
            part["day"] = entry.read_days(day, "po2.day", self._context.index_date)
        self.say(f"  {entry.describe_result('po2', part)}{_flag('po2', part)}")
        return part

    def _ask_spo2(self) -> Tree | None:
        typed = self._line("SpO2 in %, with the oxygen given: 91 air, 94 0.28, 94 2 l/min (Enter to leave out): ", "spo2")
        if not typed:
            return None
        if (reason := entry.read_absent(typed)) is not None:
            return {"absent": reason}
        first, _, rest = typed.partition(" ")
        part = entry.read_result("spo2", first.rstrip("%"), "%")
        rest = rest.strip()
        if flow := re.fullmatch(r"([\d.]+) ?l(?:/min)?", rest, re.I):
            from bsti_submit.clinical.units import read_number  # noqa: PLC0415

            part["oxygen_flow_l_min"] = read_number(flow[1], "spo2.oxygen_flow_l_min")
        elif rest:
            part["fio2"] = entry.read_fio2(rest, "spo2.fio2")
        return part

    def _ask_prior_imaging(self) -> Tree | None:
        offered = [prior for prior in self._context.priors or () if prior.included]
        if offered:
            found = ", ".join(f"{prior.modality} {prior.days_before} days before" for prior in offered)
            typed = self._line(f"Earlier chest imaging [{found}, from the folder; Enter to accept]: ", "prior_imaging")
            if not typed:
                return {
                    "value": "yes",
                    "studies": [
                        {"modality": prior.modality, "days_before": prior.days_before, "included": True}
                        for prior in offered
                    ],
                }
        else:
            typed = self._required("Earlier chest imaging: no, u, or such as CXR 4, CT 400: ", "prior_imaging")
        folded = typed.casefold()
        if folded in {"n", "no", "none"}:
            return {"value": "no"}
        if folded in {"u", "unknown"}:
            return {"value": "unknown"}
        studies = []
        for number, piece in enumerate(filter(None, re.split(r"[,;]", typed))):
            studies.append(self._prior(piece, number))
        return {"value": "yes", "studies": studies}

    def _prior(self, piece: str, number: int) -> Tree:
        words = piece.replace("@", " ").split()
        path = f"prior_imaging.studies[{number}]"
        study: Tree = {"modality": entry.read_modality(words[0] if words else "", f"{path}.modality")}
        rest = words[1:]
        if rest and re.fullmatch(r"[A-Za-z2-7]{4}-?[A-Za-z2-7]{4}-?[A-Za-z2-7]{4}", rest[-1]):
            study["case_id"] = entry.read_case_id(rest.pop(), f"{path}.case_id")
        days = " ".join(rest) or self._required("How many days before the imaging, or its date? ", "prior_imaging")
        found = entry.read_days(days, f"{path}.days_before", self._context.index_date)
        study["days_before"] = abs(found)
        return study

    def _ask_reporting(self) -> Tree | None:
        path = "reporting.ct_bsti" if self.tree["index_imaging"] == {"modality": "CT"} else "reporting.cxr_bsti"
        part: Tree = {}
        typed = self._line(f"BSTI category: {', '.join(CHOICES[path])} (Enter to leave out): ", path)
        if typed:
            part[path.partition(".")[2]] = entry.read_choice(typed, path)
        typed = self._line("Severity: mild, moderate, severe (Enter to leave out): ", "reporting.severity")
        if typed:
            part["severity"] = entry.read_choice(typed, "reporting.severity")
        return part or None

    def _ask_outcome(self) -> Tree | None:
        typed = self._line(f"Outcome: {', '.join(CHOICES['outcome.status'])} (Enter to leave out): ", "outcome")
        if not typed:
            return None
        part: Tree = {"status": entry.read_choice(typed, "outcome.status", {"u": "unknown"})}
        day = self._line("Days after the imaging, or the date (Enter to leave out): ", "outcome.day")
        if day:
            part["day"] = entry.read_days(day, "outcome.day", self._context.index_date)
        for name, label in (("itu_admission", "Intensive care"), ("intubation", "Intubated")):
            typed = self._line(f"{label}: yes, no, unknown (Enter to leave out): ", "outcome.itu_admission")
            if typed:
                part[name] = entry.read_choice(typed, f"outcome.{name}", {"y": "yes", "n": "no", "u": "unknown"})
        return part

    def _finish(self) -> ClinicalRecord:
        """Show everything on one screen, and let the person mend it by number."""
        while True:
            self._summary()
            typed = self._read_line("Enter to go on, or the number of a line to change: ").strip()
            if typed.isascii() and typed.isdigit() and 1 <= int(typed) <= len(ORDER):
                self._again([ORDER[int(typed) - 1]])
                continue
            if typed:
                continue
            tree: Tree = {**self.tree}
            if self._confirmed:
                tree["confirmed"] = sorted(self._confirmed)
            result = validate(tree, self._context)
            if isinstance(result, ClinicalRecord):
                for note in result.notes:
                    self.say(f"{LABELS.get(note.path, note.path)}: {note.message}")
                return result
            for problem in result:
                self.say(str(problem))
            groups = [name for name in ORDER if any(problem.group == name for problem in result)]
            self._again(groups or ["age"])

    def _again(self, names: list[str]) -> None:
        try:
            for name in names:
                self._question(name)
        except _Back:
            return

    def _summary(self) -> None:
        self.say("")
        for number, name in enumerate(ORDER, 1):
            self.say(f"  {number:>2}  {LABELS[name]}: {_shown(name, self.tree.get(name))}")


def _split(typed: str) -> tuple[str, str, str]:
    """Split ``6.4 10*3/uL @-1`` into value, unit and day."""
    rest, _, day = typed.partition("@")
    found = re.match(r"\s*([<>]=?\s*)?([+-]?[\d.,]+|[A-Za-z-]+)\s*(.*)", rest)
    if found is None:
        return rest.strip(), "", day.strip()
    return (found[1] or "").strip() + found[2], found[3].strip(), day.strip()


def _flag(metric: str, part: Tree) -> str:
    quantity = QUANTITIES[metric]
    value = part.get("value")
    if value is None or isinstance(value, str | bool | list | dict):
        return ""
    if metric == "po2" and part.get("sample") == "venous":
        return "  (venous: not used for severity)"
    low = quantity.reference_low is not None and value < quantity.reference_low
    high = quantity.reference_high is not None and value > quantity.reference_high
    return "  low" if low else "  high" if high else ""


def _belongs(rule: str, name: str) -> bool:
    starts = {"white_cell_count": "wcc", "crp": "crp", "po2": "po2", "age": "age", "sex": "sex"}
    return name in starts and rule.startswith(starts[name])


def _shown(name: str, part: object) -> str:
    if not isinstance(part, dict):
        return "-"
    if name in QUANTITIES:
        return entry.describe_result(name, part)
    if name == "indication":
        code = str(part.get("code", part.get("absent", "")))
        return f"{INDICATIONS.get(code, code)}{': ' + str(part['text']) if 'text' in part else ''}"
    pieces = []
    for key, value in part.items():
        if key == "source":
            continue
        if isinstance(value, list):
            pieces += [" ".join(str(piece) for piece in item.values()) for item in value if isinstance(item, dict)]
        else:
            pieces.append(str(value))
    return ", ".join(pieces)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
