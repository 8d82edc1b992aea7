"""What is left on the disk by the way: no memory, and nothing of ours for others to read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bsti_submit.transport.pins import Pins

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")

pytestmark = pytest.mark.measured


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
@pytest.mark.parametrize("words", [["login"], ["outbox", "list"], ["registry", "serve"]])
def test_a_crash_of_any_command_leaves_no_memory_on_the_disk(words):
    """The process is asked where a command would begin, since none of these lasts long enough to be asked from outside."""
    script = (
        "import ctypes, resource\n"
        "from bsti_submit.cli import app\n"
        "app.app = lambda: print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
        "app.main()\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert shown == "(0, 0) 0\n"


@posix
def test_settings_and_pins_are_for_their_owner_alone(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text('nation = "wales"\napproval_reference = "IRAS 1"\n', "utf-8")
    site.chmod(0o644)
    home = tmp_path / "home"
    subprocess.run(
        [sys.executable, "-m", "bsti_submit", "setup", str(site)],
        env={**os.environ, "BSTI_HOME": str(home), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
        umask=0,
    )
    before = os.umask(0)
    try:
        Pins(home).trust("https://registry.example", [{"kid": "k1", "alg": "EdDSA", "public": "x"}])
    finally:
        os.umask(before)
    assert (home / "site.toml").read_bytes() == site.read_bytes()
    assert {name: (home / name).stat().st_mode & 0o777 for name in ("site.toml", "pins.json")} == {
        "site.toml": 0o600,
        "pins.json": 0o600,
    }
