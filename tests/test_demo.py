"""The demonstration: ends by itself, tells the truth about leaks, and leaves nothing running."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bsti_submit.cli.demonstration import Demonstration
from bsti_submit.sample import everything_below, make_sample

pytestmark = [pytest.mark.server, pytest.mark.measured]


def demo(folder, *options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "bsti_submit", "demo", *([str(folder)] if folder else []), *options],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    temporary = tmp_path_factory.mktemp("demo") / "made here"
    temporary.mkdir()
    home = tmp_path_factory.mktemp("home")
    done = demo(None, "--slices", "5", BSTI_HOME=str(home), HTTPS_PROXY="http://127.0.0.1:9", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = temporary.iterdir()  # the name that the demonstration gives it, which nobody chose with care
    return done.stdout, folder, home


def test_it_shows_each_step_and_counts_what_was_planted_and_found(shown):
    told, _, _ = shown
    commands = re.findall(r"^\$ bsti-submit (\w+)", told, re.MULTILINE)
    assert commands[:3] == ["check", "review", "case"]
    assert "status" in commands
    planted, seen = map(int, re.search(r"Planted: +(\d+), of which the same search finds (\d+)", told).groups())
    assert planted == seen > 150
    assert re.search(r"Found: +0 in what the registry received", told)
    assert '"alg": "EdDSA"' in told
    assert "registry: in_review" in told


def test_it_says_where_to_look_and_touches_no_home_of_the_person(shown):
    told, folder, home = shown
    for name in ("study", "registry", "home"):
        assert str(folder / name) in told
    package = re.search(r"What was sent: +(.+)", told)[1]
    assert package.endswith(".zip")
    assert Path(package).stat().st_size > 100_000
    assert list(home.iterdir()) == []


def test_it_leaves_nothing_running(shown):
    told, folder, _ = shown
    port = int(re.search(r"https://127\.0\.0\.1:(\d+)", told)[1])
    import socket

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert folder.is_dir()


def test_a_leak_would_be_told(tmp_path, capsys):
    run = Demonstration(tmp_path / "demo", 1)
    sample = make_sample(tmp_path / "demo" / "study", slices=1, size=64, radiograph=False)
    received = tmp_path / "demo" / "registry"
    received.mkdir()
    (received / "case.json").write_bytes(b'{"note": "' + sample.patient_id.encode("utf-16-le") + b'"}')
    assert not run._search(sample.markers)
    told = capsys.readouterr().out
    assert re.search(r"Found: +1 in what", told)
    assert "leaked: " in told
    assert sum(name.startswith("case") for name, _ in everything_below(received)) == 1


def test_a_folder_that_is_in_use_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
