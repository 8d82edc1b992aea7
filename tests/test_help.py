"""What every command says of itself: complete sentences, nothing cut short, no name of a type."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import typer

from bsti_submit.cli.app import app


def commands(command, words=()):
    yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*words, name))


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", ALL, ids=lambda words: " ".join(words) or "bsti-submit")
def test_it_is_described_in_complete_sentences(words):
    command = ALL[words]
    texts = [command.help or "", *(getattr(option, "help", None) or "" for option in command.params)]
    for text in texts:
        assert re.match(r"[A-Z`]", text), text
        assert text.rstrip().endswith("."), text
        assert "stdout" not in text, "nobody but a programmer knows the word"


@pytest.mark.parametrize(
    "words", [words for words in ALL if hasattr(ALL[words], "commands")], ids=lambda words: " ".join(words) or "all"
)
def test_no_line_of_a_list_is_cut_short_at_80_columns(words):
    shown = subprocess.run(
        [sys.executable, "-m", "bsti_submit", *words, "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80"},
    ).stdout
    assert "Commands:" in shown
    assert "..." not in shown.replace("[ARGS]...", "")
    assert max(map(len, shown.splitlines())) <= 80
