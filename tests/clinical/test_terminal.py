"""A person at a real pseudo-terminal, wrong answers and all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .samples import CT_RECORD

pexpect = pytest.importorskip("pexpect", reason="pseudo-terminals are not to be had here")

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from pathlib import Path
from rich.console import Console
from bsti_submit.clinical.sources.prompt import DraftSaved, ask
from tests.clinical.samples import context
draft = Path(sys.argv[1])
console = Console(stderr=True)
kept = json.loads(draft.read_text()) if draft.exists() else None
try:
    record = ask(console, context(), draft=kept, keep=lambda answers: draft.write_text(json.dumps(answers)))
except DraftSaved as stopped:
    console.print(stopped.message, stopped.hint, soft_wrap=True)
    sys.exit(int(stopped.exit_code))
Path(sys.argv[2]).write_bytes(record.canonical_json())
"""

TERMINALS = {
    "plain": {"TERM": "xterm-256color"},
    "dumb": {"TERM": "dumb"},
    "no colour": {"TERM": "xterm-256color", "NO_COLOR": "1"},
    "cp1252": {"TERM": "xterm", "PYTHONIOENCODING": "cp1252"},
}


@pytest.fixture
def start(tmp_path):
    started = []

    def run(**variables):
        child = pexpect.spawn(
            sys.executable,
            ["-c", PROGRAM, str(tmp_path / "draft.json"), str(tmp_path / "record.json")],
            cwd=str(ROOT),
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **variables},
            dimensions=(24, 80),
            encoding="utf-8",
            timeout=8,
        )
        started.append(child)
        return child

    yield run
    for child in started:
        child.close(force=True)


def talk(child, *turns):
    """Wait for a text, then type a line."""
    for expected, line in turns:
        child.expect_exact(expected)
        child.sendline(line)


WRONG_AND_RIGHT = [
    ("hospital number", "999"),
    ("Is it the right patient?", "437"),
    ("Enter accepts >", "45"),
    ("Is this the right patient?", "<"),
    ("Enter accepts >", ""),
    ("Sex: M, F or O", "1"),
    ("is ambiguous", ""),
    ("Indication for the imaging", "12"),
    ("in a few words", "NHS 943 476 5919, worse"),
    ("Looks like an NHS number", "<"),
    ("Indication for the imaging", "?"),
    ("Why the imaging was asked for", "2"),
    ("RT-PCR for SARS-CoV-2", ""),
    ("Enter alone is no answer here", "pos"),
    ("Each test", "neg 03/04/2020 upper, pos +1 lower"),
    ("Days from symptom onset", "9"),
    ("White cell count", "6400"),
    ("This looks like cells/uL", "6,4"),
    ("Use a full stop, not a comma: 6.4", "6.4 @0"),
    ("C-reactive protein", "612 @0"),
    ("Type the value again", "148"),
    ("asked again", "14.8 mg/dL @0"),
    ("148 mg/L (reported as 14.8 mg/dL)", ""),
    ("Enter alone", "62 arterial 0.21 @0"),
    ("is not possible breathing", "62 mmHg arterial 0.28 @0"),
    ("SpO2 in %", "91 air @0"),
]
REST = [
    ("Earlier chest imaging", ""),
    ("BSTI category of the CT", "1"),
    ("BSTI category of the radiograph", ""),
    ("Severity", "2"),
    ("Outcome", "2"),
    ("Days from the imaging", "11"),
    ("Intensive care", "n n"),
    ("Number to change", "done"),
]


@pytest.mark.parametrize("variables", TERMINALS.values(), ids=TERMINALS)
def test_a_whole_dialogue_with_wrong_answers(start, tmp_path, variables):
    child = start(**variables)
    talk(child, *WRONG_AND_RIGHT, *REST)
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    assert json.loads((tmp_path / "record.json").read_text()) == CT_RECORD


def test_ctrl_c_keeps_the_answers_for_the_next_start(start, tmp_path):
    child = start(TERM="xterm")
    talk(child, *WRONG_AND_RIGHT)
    child.expect_exact("Earlier chest imaging")
    child.expect_exact(">")
    child.sendcontrol("c")
    child.expect_exact("Stopped. Your answers so far are kept. Run the same command again")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 130
    kept = (tmp_path / "draft.json").read_text()
    assert not any(word in kept for word in ("437", "999", "943", "2020"))
    child = start(TERM="xterm")
    talk(child, ("hospital number", "437"), ("Your earlier answers are here again.", ""), *REST[1:])
    child.expect(pexpect.EOF)
    child.wait()
    assert json.loads((tmp_path / "record.json").read_text()) == CT_RECORD


def test_three_wrong_hospital_numbers_end_it(start):
    child = start(TERM="dumb")
    talk(child, ("hospital number", "111"), ("2 more tries", "222"), ("1 more try", "333"))
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus not in {0, 130}
