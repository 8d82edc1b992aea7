"""What is shipped: the wheel and the source archive, and a whole case by an installation that sees no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from bsti_submit.sample import make_sample
from tests.support.registry import running_registry
from tests.support.site import attestation, clinical, run, secret_file, site_key

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parent.parent
PROFILES = sorted(path.parent.name for path in ROOT.glob("profiles/*/profile.toml"))
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation")


def call(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Return the source archive, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder)
    (archive,) = folder.glob("*.tar.gz")
    call(*PIP, "wheel", *OFFLINE, "--wheel-dir", folder, archive)
    (wheel,) = folder.glob("*.whl")
    return archive, wheel


def installation(folder, *what):
    """Make an environment that has the tested dependencies, but of this project only what is installed in it.

    A folder that a .pth file names is searched, but its own .pth files (an editable install's) are not read.
    """
    call(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    libraries = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    tested = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (libraries / "tested.pth").write_text("\n".join(sorted(tested)), "utf-8")
    call(*PIP[:3], "--python", python, *PIP[3:], "install", *OFFLINE, *what)
    return python


def bare(folder):
    """Return the environment of a person who has just come: an empty home, nothing of ours."""
    home = folder / "home"
    home.mkdir()
    kept = ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "LANG", "LC_ALL", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(home),
        "USERPROFILE": str(home),
        "LOCALAPPDATA": str(home / "local"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }


@pytest.fixture(scope="module")
def installed(shipped, tmp_path_factory):
    return installation(tmp_path_factory.mktemp("installed") / "venv", shipped[1])


def where(python, folder):
    code = "import bsti_submit; print(bsti_submit.__file__)"
    return Path(run([python, "-I", "-c", code], os.environ, folder).stdout.decode().strip())


def test_a_case_goes_through_from_the_wheel_alone(installed, tmp_path):
    assert ROOT not in where(installed, tmp_path).parents
    work = tmp_path / "work"
    work.mkdir()
    environment = bare(tmp_path)
    command = installed.with_name("bsti-submit.exe" if os.name == "nt" else "bsti-submit")
    sample = make_sample(tmp_path / "study", slices=4, radiograph=False)
    with running_registry(
        tmp_path, command=(str(command), "registry"), folder=work, environment=environment
    ) as registry:
        environment |= {
            "BSTI_REGISTRY": registry.url,
            "BSTI_CA_BUNDLE": str(registry.ca_bundle),
            "BSTI_TOKEN_FILE": str(secret_file(tmp_path / "token", registry.token())),
            "BSTI_SITE_KEY_FILE": str(site_key(tmp_path / "site.key")),
        }
        template = run([command, "attestation", "template"], environment, work)
        assert template.returncode == 0, template.stderr
        done = run(
            [
                *(command, "case", sample.folder, "--json"),
                *("--clinical", clinical(tmp_path / "clinical.json", sample)),
                *("--attestation", attestation(tmp_path / "attestation.json", template.stdout)),
            ],
            environment,
            work,
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert (result["state"], result["package"]["objects"]) == ("delivered", 4)
        assert result["receipt"]["signature"]["alg"] == "EdDSA"
    assert list(work.iterdir()) == []


def listed(python, folder):
    environment = bare(folder)
    done = run([python, "-m", "bsti_submit", "profile", "list"], environment, folder)
    assert done.returncode == 0, done.stderr
    assert list((folder / "home").iterdir()) == []
    return [line.split()[0] for line in done.stdout.decode().splitlines() if line.startswith("bsti-")]


def test_the_profiles_are_found_from_a_wheel(installed, tmp_path):
    assert listed(installed, tmp_path) == PROFILES


def test_the_profiles_are_found_from_an_editable_installation(tmp_path):
    python = installation(tmp_path / "venv", "--editable", ROOT)
    assert where(python, tmp_path) == ROOT / "bsti_submit" / "__init__.py"
    assert listed(python, tmp_path) == PROFILES


def tracked(*folders):
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_the_profiles_and_nothing_else(shipped):
    with zipfile.ZipFile(shipped[1]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        told = wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))).decode()
        assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())
    profiles = {f"bsti_submit/_{name}" for name in tracked("profiles")}
    assert held == tracked("bsti_submit") | profiles
    assert "License-Expression: Apache-2.0" in told
    assert "Requires-Python: >=3.11" in told


def test_the_source_archive_holds_what_making_and_testing_need(shipped):
    with tarfile.open(shipped[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    needed = tracked("bsti_submit", "profiles", "docs", "tests", "tools", ".ci")
    top = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")]
    needed |= {path.name for path in top if path.suffix in {".md", ".toml", ".txt"}}
    assert needed | {"LICENSE", "Makefile"} <= held
    assert not {
        name for name in held - needed if name.split("/")[0] not in {"LICENSE", "Makefile", "PKG-INFO", ".gitignore"}
    }
