"""What the documents say is there: commands, options, files, variables; and nothing that has no place in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tools.commands import commands_text, leaves

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "profiles").rglob("*.md")])
COMMANDS = {path: {name for param in command.params for name in param.opts} for path, command in leaves()}
GROUPS = {path[:length] for path in COMMANDS for length in range(1, len(path))}


def named(page):
    return page.relative_to(ROOT).as_posix()


def each(*pages):
    return pytest.mark.parametrize("page", pages or PAGES, ids=named)


def test_every_command_and_option_is_documented_as_it_is():
    assert (ROOT / "docs" / "commands.md").read_text("utf-8") == commands_text(), "run `make generate`"


def test_every_command_argument_and_option_has_a_sentence_of_help():
    for path, command in leaves():
        assert (command.help or "").strip().endswith("."), path
        for param in command.params:
            assert (param.help or "").strip().endswith("."), (path, param.name)


def anchors(page):
    """The anchors of a page, as the usual renderers make them from its headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each()
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert ROOT in there.parents, target
        assert not anchor or anchor in anchors(there), target


def spoken(text):
    """Yield each command line that a text tells a person to type: in code, in a block or in a line."""
    blocks = re.findall(r"(?m)^(?:    |\$ )(.+)$", text) + re.findall(r"`([^`\n]+)`", text)
    fenced = re.findall(r"(?ms)^```[a-z]*\n(.*?)^```", text)
    blocks += [line.removeprefix("$ ") for block in fenced for line in block.splitlines()]
    for line in blocks:
        if line.startswith(("bsti-submit ", "make ")):
            yield line


def words(line):
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


@each()
def test_the_commands_that_are_named_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in spoken(page.read_text("utf-8")):
        program, *rest = words(line)
        if program == "make":
            assert {word for word in rest if word.isalpha() and word.islower()} <= targets, line
            continue
        if rest[0].startswith("-"):
            continue
        for choice in rest[1].split("|") if len(rest) > 1 and "|" in rest[1] and rest[1].islower() else [None]:
            path = tuple([rest[0], choice] if choice else rest[:1] if (rest[0],) in COMMANDS else rest[:2])
            path = path if path in COMMANDS or path in GROUPS else tuple(rest[:3])
            assert path in COMMANDS or path in GROUPS or path[:1] in GROUPS, line
            if path in COMMANDS:
                options = {word.partition("=")[0] for word in rest if word.startswith("--")}
                assert options <= COMMANDS[path] | {"--help"}, line


def test_the_readme_starts_with_what_works():
    told = list(spoken((ROOT / "README.md").read_text("utf-8")))
    assert told[:2] == ["make demo", "make test"]
    assert {words(line)[1] for line in told if line.startswith("bsti-submit")} >= {"case", "check"}


def test_every_environment_variable_is_documented_and_no_other():
    read = set()
    for module in (ROOT / "bsti_submit").rglob("*.py"):
        read |= set(re.findall(r"\bBSTI_[A-Z_]*[A-Z]\b", module.read_text("utf-8")))
    told = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("setup.md", "registry.md"))
    assert read == set(re.findall(r"\bBSTI_[A-Z_]*[A-Z]\b", told))


PRIVATE = re.compile(r"/(?:work|root|tmp|opt|home)/[\w.]+|\bpyenv\b|\b(?:19|20)\d\d-\d\d-\d\dT\d\d:\d\d", re.IGNORECASE)


@each(*PAGES)
def test_pages_name_no_place_of_the_machine_they_were_written_on(page):
    assert PRIVATE.findall(page.read_text("utf-8")) == []
