"""The demonstration: a planted study, a registry of its own, and the commands as a person types them.

Each command runs in a process of its own, so what is shown is what anybody gets who types the same.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

from bsti_submit.cli import output
from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.errors import BstiError, ExitCode, InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bsti_submit.sample import Marker, SampleStudy

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/open/\S+")
_PAGE_TOKEN = re.compile(r'name="review-token" content="([^"]+)"')
_SECONDS = 300
_GRACE_SECONDS = 15


class Demonstration:
    """One run, in one folder.

    Parameters
    ----------
    folder
        A folder that does not exist or is empty; None for one among the temporary files.
    slices
        CT slices of the study.

    Raises
    ------
    InputError
        If the folder cannot be used.
    SettingsError
        If the embedded registry is not installed.
    """

    def __init__(self, folder: Path | None, slices: int) -> None:
        if find_spec("starlette") is None or find_spec("uvicorn") is None:
            raise SettingsError(
                "The demonstration runs a registry on this machine, and that part is not installed.",
                hint="Install bsti-submit with its registry: pipx install 'bsti-submit[registry]'.",
            )
        self._folder = _new_folder(folder)
        self._slices = slices
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("BSTI_")}
        # A proxy of the hospital must not be asked for an address of this machine.
        self._environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUNBUFFERED": "1"}

    def run(self) -> bool:
        """Do and tell all of it; return whether nothing leaked and every step ended as it should."""
        from bsti_submit.sample import make_sample

        folder = self._folder
        _heading("A made-up patient's chest CT and radiograph")
        sample = make_sample(folder / "study", slices=self._slices, burned_in_name=False)
        files = sum(path.is_file() for path in sample.folder.rglob("*"))
        output.write(
            f"{files} files: {sample.slices} CT slices, {sample.radiographs} radiograph, a dose report and a dose screen, "
            f"and {sample.others} files that are not DICOM."
        )
        output.write(
            f"{len(sample.markers)} identifiers are planted in the headers, private blocks, file and folder names."
        )

        _heading("A registry on this machine, over TLS")
        with self._registry() as registry:
            output.write(f"It listens at {registry['url']}, with a certificate authority of its own.")
            self._make_site(registry)
            case_id = self._submit(sample)
            _heading("What the registry says about it")
            self._type("status", case_id)
        _heading("The receipt, and its signature, with the registry gone")
        self._type("receipt", "show", case_id)
        self._type("receipt", "verify", case_id)
        return self._search(sample.markers)

    def _make_site(self, registry: dict[str, str]) -> None:
        folder = self._folder
        token = self._quietly("registry", "token", "create", "--data", registry["data"], "--site", "demo").strip()
        output.create_private(folder / "token", token)
        output.create_private(folder / "site.key", base64.b64encode(os.urandom(32)).decode("ascii"))
        self._environment |= {
            "BSTI_HOME": str(folder / "home"),
            "BSTI_REGISTRY": registry["url"],
            "BSTI_CA_BUNDLE": registry["ca_bundle"],
            "BSTI_TOKEN_FILE": str(folder / "token"),
            "BSTI_SITE_KEY_FILE": str(folder / "site.key"),
        }

    def _submit(self, sample: SampleStudy) -> str:
        study = str(sample.folder)
        _heading("A look without sending anything")
        self._type("check", study, expect=ExitCode.HELD)
        _heading("The held radiograph is looked at, and cleared")
        self._clear(study)
        _heading("The case: de-identified, checked, packaged, sent")
        (self._folder / "clinical.json").write_text(json.dumps(_metrics(sample), indent=2), "utf-8")
        standing: dict[str, Any] = json.loads(self._quietly("attestation", "template"))
        standing["facts"] = {name: True if value is False else value for name, value in standing["facts"].items()}
        (self._folder / "attestation.json").write_text(json.dumps(standing, indent=2), "utf-8")
        self._type(
            "case",
            study,
            "--study",
            "1",
            "--clinical",
            str(self._folder / "clinical.json"),
            "--attestation",
            str(self._folder / "attestation.json"),
        )
        listed = json.loads(self._quietly("outbox", "list", "--json"))
        return str(listed["cases"][0]["case_id"])

    def _clear(self, study: str) -> None:
        """Use the review page as a person's browser does: open the link, look at each picture, decide, press done."""
        _typed("review", study)
        with self._started("review", study) as process:
            address = ""
            for line in _lines(process):
                if found := _ADDRESS.search(line):
                    address = found[0]
                    break
            if address:
                _decide_in_browser(address)
            for _ in _lines(process):
                pass
            if process.wait(_SECONDS) != 0 or not address:
                raise _StepError("review", process.returncode)

    def _search(self, markers: Sequence[Marker]) -> bool:
        from bsti_submit.sample import MarkerSearch, everything_below

        _heading("Is any of the planted identifiers in what the registry received?")
        search = MarkerSearch(tuple(markers))
        found: set[Marker] = set()
        places = size = 0
        for name, data in everything_below(self._folder / "registry"):
            places += 1
            size += len(data)
            found |= {*search.find(data), *search.find(name.encode("utf-8", "surrogateescape"))}
        # A search that finds nothing anywhere would prove nothing.
        planted: set[Marker] = set()
        for name, data in everything_below(self._folder / "study"):
            planted |= {*search.find(data), *search.find(name.encode("utf-8", "surrogateescape"))}
        output.write(f"Searched: {places} files and members of packages, {size:,} bytes, in UTF-8, Latin-1 and UTF-16.")
        output.write(f"Planted:  {len(markers)}, of which the same search finds {len(planted)} in the study itself.")
        output.write(f"Found:    {len(found)} in what the registry received.")
        for marker in sorted(found, key=lambda marker: marker.where):
            output.write(f"  leaked: {marker.where}")
        _heading("Where to look")
        output.write(f"The study:       {self._folder / 'study'}")
        output.write(f"What was sent:   {_sent(self._folder / 'registry')}")
        output.write(f"The registry:    {self._folder / 'registry'}")
        output.write(f"The site's home: {self._folder / 'home'}")
        output.write("The registry was stopped. Delete the folder when you have seen enough.")
        return not found and len(planted) == len(markers)

    def _type(self, *arguments: str, expect: ExitCode = ExitCode.DONE) -> None:
        """Run a command, showing what is typed and what it says."""
        _typed(*arguments)
        with self._started(*arguments) as process:
            for _ in _lines(process):
                pass
            if process.wait(_SECONDS) != int(expect):
                raise _StepError(arguments[0], process.returncode)

    def _quietly(self, *arguments: str) -> str:
        """Run a command for its result."""
        with self._started(*arguments, errors=subprocess.DEVNULL) as process:
            result, _ = process.communicate(timeout=_SECONDS)
            if process.returncode:
                raise _StepError(arguments[0], process.returncode)
        return result

    @contextmanager
    def _registry(self) -> Iterator[dict[str, str]]:
        data = str(self._folder / "registry")
        with self._started(
            "registry", "serve", "--data", data, "--name", "Demonstration", "--json", errors=None
        ) as process:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise _StepError("registry serve", process.wait(_SECONDS))
            yield json.loads(line)

    @contextmanager
    def _started(self, *arguments: str, errors: int | None = subprocess.STDOUT) -> Iterator[subprocess.Popen[str]]:
        """Start a command of ours, and see that it does not outlive the block."""
        with subprocess.Popen(  # noqa: S603 - our own command, our own arguments
            [sys.executable, "-m", "bsti_submit", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


class _StepError(BstiError):
    """A step that did not end as it should."""

    def __init__(self, command: str, code: int | None) -> None:
        super().__init__(f"The demonstration stopped: `bsti-submit {command}` ended with exit code {code}.")


def _new_folder(folder: Path | None) -> Path:
    try:
        if folder is None:
            return Path(tempfile.mkdtemp(prefix="bsti-submit-demo-"))
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError:
        raise InputError("The folder for the demonstration cannot be made, or is a file.") from None
    if not empty:
        raise InputError("The folder for the demonstration is not empty.", hint="Give a new one, or none.")
    return folder.resolve()


def _decide_in_browser(address: str) -> None:
    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor())

    def post(path: str, body: Mapping[str, object]) -> None:
        request = Request(  # noqa: S310 - an address of this machine that our own command printed
            root + path, json.dumps(body).encode(), {"X-Review-Token": token[1] if token else ""}
        )
        with browser.open(request, timeout=_SECONDS):
            pass

    with browser.open(address, timeout=_SECONDS) as page:
        root = page.url
        token = _PAGE_TOKEN.search(page.read().decode())
    with browser.open(f"{root}state", timeout=_SECONDS) as state:
        items = json.load(state)["items"]
    for item in items:
        with browser.open(f"{root}picture/{item['index']}", timeout=_SECONDS) as picture:
            size = len(picture.read())
        output.write(f"  [browser] {item['ref']}: {item['reason']}")
        output.write(
            f"  [browser] the picture is shown ({size:,} bytes of PNG), and cleared: nothing in it names anybody"
        )
        # As the page does: what looks like text comes as boxes, and goes along with the decision.
        with browser.open(f"{root}regions/{item['index']}", timeout=_SECONDS) as found:
            regions = json.load(found)["regions"]
        post("decision", {"index": item["index"], "verdict": str(Verdict.CLEARED), "regions": regions})
    post("done", {})


def _metrics(sample: SampleStudy) -> dict[str, object]:
    return {
        "schema_version": "1.0",
        "index_imaging": {"modality": "CT"},
        "age": {"value": sample.age, "source": "dicom-birthdate"},
        "sex": {"value": sample.sex, "source": "dicom-sex"},
        "white_cell_count": {"value": 6.4, "unit": "10*9/L", "day": 0},
        "crp": {"value": 148, "unit": "mg/L", "day": 0},
        "po2": {"absent": "not-done"},
        "indication": {"code": "suspected-covid-diagnosis"},
        "rt_pcr": {"status": "positive", "tests": [{"result": "positive", "day": 1}]},
        "prior_imaging": {"value": "no"},
    }


def _sent(registry: Path) -> Path:
    return next(iter(sorted((registry / "packages").glob("*.zip"))), registry)


def _heading(text: str) -> None:
    output.write()
    output.write(text)
    output.write("-" * len(text))


def _typed(*arguments: str) -> None:
    shown = (f'"{argument}"' if " " in argument else argument for argument in arguments)
    output.write(f"$ bsti-submit {' '.join(shown)}")


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is None:
        return
    for line in process.stdout:
        text = line.rstrip("\n")
        output.write(f"  {text}" if text else "")
        yield text
