"""`deid` and `check` need no network, and leave what they read as it was."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from bsti_submit.sample import make_sample
from tests.support.hooks import OFFLINE, python_path
from tests.support.site import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="times and namespaces are POSIX")
COMMAND = (sys.executable, "-m", "bsti_submit")
NAMESPACE = ("unshare", "--map-root-user", "--net")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("offline") / "study", slices=3, size=128)


def looked_at(folder):
    """Everything that changing a file or a folder would change: ctime moves with any write, even of a time."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        found[path] = (data, status.st_mtime_ns, status.st_ctime_ns, status.st_mode, status.st_size)
    return found


def environment(tmp_path, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BSTI_")}
    return {**kept, "BSTI_HOME": str(tmp_path / "home"), **more}


def commands(sample, tmp_path):
    return [("check", sample.folder), ("deid", sample.folder, tmp_path / "out")]


def test_no_socket_is_made_and_the_source_stays_as_it_was(sample, tmp_path):
    tale = tmp_path / "tale"
    offline = environment(tmp_path, PYTHONPATH=python_path(tmp_path / "hook", OFFLINE.format(tale=str(tale))))
    before = looked_at(sample.folder)
    for command in commands(sample, tmp_path):
        done = run([*COMMAND, *command], offline)
        assert done.returncode == 3, done.stderr  # the radiograph waits for a look
    assert not tale.exists(), tale.read_text()
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3
    assert looked_at(sample.folder) == before


def test_the_hook_does_disable_sockets(tmp_path):
    tale = tmp_path / "tale"
    offline = environment(tmp_path, PYTHONPATH=python_path(tmp_path / "hook", OFFLINE.format(tale=str(tale))))
    code = "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: pass"
    assert run([sys.executable, "-c", code], offline).returncode == 0
    assert "socket." in tale.read_text()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not there")
def test_a_machine_without_any_interface_will_do(sample, tmp_path):
    if run([*NAMESPACE, "true"], os.environ).returncode:
        pytest.skip("network namespaces are not allowed here")
    for command in commands(sample, tmp_path):
        done = run([*NAMESPACE, *COMMAND, *command], environment(tmp_path))
        assert done.returncode == 3, done.stderr
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3
