"""A keyring that is slow or locked never costs a site its key."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import null
from typer.testing import CliRunner

from bsti_submit import credentials
from bsti_submit.cli import wiring
from bsti_submit.cli.app import app
from bsti_submit.errors import SettingsError
from bsti_submit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ring(KeyringBackend):
    """A keyring that fails as often as it is told to."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, str] = {}
        self.locked = 0

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            self.locked -= 1
            raise RuntimeError("locked")
        return self.kept.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[username] = password


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ring]:
    monkeypatch.delenv("BSTI_SITE_KEY_FILE", raising=False)
    before = keyring.get_keyring()
    found = Ring()
    keyring.set_keyring(found)
    yield found
    keyring.set_keyring(before)


def test_a_key_is_made_once(ring, tmp_path):
    made = wiring.site_key(Settings(home=tmp_path), person=True)
    assert ring.kept["site key"] == base64.b64encode(made.secret.raw()).decode()
    assert wiring.site_key(Settings(home=tmp_path), person=True).key.key_id == made.key.key_id


def test_a_keyring_that_is_unlocked_late_keeps_its_key(ring, tmp_path, capsys):
    kept = ring.kept["site key"] = base64.b64encode(os.urandom(32)).decode()
    ring.locked = 1
    found = wiring.site_key(Settings(home=tmp_path), person=True)
    assert ring.kept == {"site key": kept}
    assert base64.b64encode(found.secret.raw()).decode() == kept
    assert "was made" not in capsys.readouterr().err


def test_no_key_is_made_while_the_keyring_stays_locked(ring, tmp_path):
    kept = ring.kept["site key"] = base64.b64encode(os.urandom(32)).decode()
    ring.locked = 9
    with pytest.raises(SettingsError, match="does not answer"):
        wiring.site_key(Settings(home=tmp_path), person=True)
    assert ring.kept == {"site key": kept}
    assert not (tmp_path / "site.key").exists()


def test_no_second_key_is_made_in_a_session_without_the_keyring(ring, tmp_path):
    wiring.site_key(Settings(home=tmp_path), person=True)
    keyring.set_keyring(null.Keyring())
    with pytest.raises(SettingsError, match="this session does not have it"):
        wiring.site_key(Settings(home=tmp_path), person=True)
    assert not (tmp_path / "site.key").exists()


def test_a_backup_does_not_replace_a_key_in_a_keyring_that_is_locked(ring, tmp_path, monkeypatch):
    monkeypatch.setenv("BSTI_HOME", str(tmp_path / "home"))
    kept = ring.kept["site key"] = base64.b64encode(os.urandom(32)).decode()
    ring.locked = 1
    ended = CliRunner().invoke(app, ["key", "import", str(tmp_path / "none")])
    assert ended.exit_code == 2
    assert "not replaced" in ended.output
    assert ring.kept == {"site key": kept}


def test_a_token_in_a_locked_keyring_is_none(ring):
    ring.locked = 1
    assert credentials.find_token("https://registry.example", {}) is None
