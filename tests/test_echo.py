"""What is typed by mistake may be a patient's name: no message repeats it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest
from typer.testing import CliRunner

from bsti_submit.cli.app import app
from tests.intake.factory import dataset, put
from tests.test_help import ALL

NAME = "ZZSMITHSON"
FOREVER = {("registry", "serve"), ("demo",)}
LEAVES = [words for words in ALL if not hasattr(ALL[words], "commands") and words not in FOREVER]


def ways():
    """Yield every place of every command where a word can stand, with the name in it."""
    for words in LEAVES:
        arguments = [one for one in ALL[words].params if one.param_type_name == "argument"]
        options = [one for one in ALL[words].params if one.param_type_name == "option"]
        yield (*words, *[NAME] * len(arguments)), "arguments"
        yield (*words, *[NAME] * (len(arguments) + 3)), "too many"
        yield (*words, f"--{NAME.lower()}"), "option"
        yield (*words, f"-{NAME}"), "short option"
        for option in options:
            long = next(name for name in option.opts if name.startswith("--"))
            if long not in {"--help", "--yes"} and (*words, long) != ("attestation", "template", "--registry"):
                yield (*words, *["nothing"] * len(arguments), long, NAME), long
                yield (*words, *["nothing"] * len(arguments), f"{long}={NAME}"), f"{long}="


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join((*words[:3], kind))) for words, kind in ways()])
def test_no_command_repeats_what_it_was_given(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("BSTI_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BSTI_HOME", str(tmp_path / "home"))
    ended = CliRunner().invoke(app, list(words))
    assert NAME.casefold() not in ended.output.casefold()
    assert "a fault of its own" not in ended.output


@pytest.mark.parametrize("place", ["environment", "site file"])
@pytest.mark.parametrize("words", [["setup"], ["outbox", "list"], ["attestation", "template"]], ids=" ".join)
def test_a_password_in_the_registrys_address_is_neither_taken_nor_shown(words, place, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    address = f"https://site:{NAME}@localhost:9"
    monkeypatch.delenv("BSTI_REGISTRY", raising=False)
    monkeypatch.setenv("BSTI_HOME", str(home))
    if place == "environment":
        monkeypatch.setenv("BSTI_REGISTRY", address)
    else:
        (home / "site.toml").write_text(f'registry = "{address}"')
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 7
    assert "name or password" in ended.output
    assert NAME not in ended.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([NAME], "There is no such command."),
        ([f"--{NAME}"], "There is no such option."),
        (["registry", NAME], "There is no such command."),
        (["chekc", NAME], "Did you mean 'check'?"),
        (["attestation", "template", "--days", "0"], "it must be "),
        (["attestation", "template", "--days", NAME], "it must be a valid integer."),
        (["credit", "export", "--format", NAME], "'csv'."),
        (["deid", "/data/ZZSMITHSON", "JOHN", "out"], "an argument too many"),
        (["check"], "Missing argument"),
    ],
)
def test_the_shell_says_what_is_wrong_all_the_same(words, says, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "bsti_submit", *words],
        env={**os.environ, "BSTI_HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert NAME not in ended.stderr + ended.stdout
    assert says in ended.stderr


def run(tmp_path, *words):
    return subprocess.run(
        [sys.executable, "-m", "bsti_submit", *map(str, words)],
        env={**os.environ, "BSTI_HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_verify_names_no_file_whose_name_we_did_not_give(tmp_path, options):
    raw = tmp_path / "raw"
    put(raw / f"{NAME}^JOHN" / "9434765919.dcm", dataset(1))
    put(raw / "IM1.dcm", dataset(2))
    ours = "STABCDEFGHIJ/SEABCDEFGHIJ/IMABCDEFGHIJ.dcm"
    put(raw / ours, dataset(3))
    if os.name != "nt":
        put(raw / f"\x1b[31m{NAME}\nfake: 0 findings", b"x")
    ended = run(tmp_path, "verify", raw, *options)
    assert ended.returncode == 3, ended.stderr
    assert NAME not in ended.stdout + ended.stderr
    assert "9434765919" not in ended.stdout
    assert "\x1b" not in ended.stdout
    assert ours in ended.stdout
    assert "file 1" in ended.stdout


def test_verify_names_no_strange_member_of_a_package(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr(f"{NAME}/data/{NAME}.dcm", b"x")
        made.writestr(f"{NAME}/manifest-sha256.txt", f"{'0' * 64}  data/{NAME}-2.dcm\n")
    ended = run(tmp_path, "verify", tmp_path / "x.zip")
    assert ended.returncode in {2, 3}
    assert NAME not in ended.stdout + ended.stderr


def test_an_unknown_key_of_the_site_file_is_told_by_its_place(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(f'nation = "wales"\n{NAME} = "x"\nnatoin = "wales"\n', "utf-8")
    ended = run(tmp_path, "setup", site)
    assert ended.returncode == 7
    assert NAME not in ended.stdout + ended.stderr
    assert "entry 2: not a setting\n" in ended.stderr
    assert "entry 3: not a setting; did you mean nation?" in ended.stderr
