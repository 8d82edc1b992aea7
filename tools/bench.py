"""What things cost, as ratios in one run: `make bench`, or `python tools/bench.py [--slices N] [--json FILE]`.

The unit is copying and hashing (SHA-256) the files of the same study, measured in turn with everything else, so that a
busy machine slows both. Nothing is asserted: the budgets are in the last column, the figures in docs/performance.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bsti_submit.bundle import PackageWriter  # noqa: E402
from bsti_submit.deid.profile import load_profile  # noqa: E402
from bsti_submit.deid.pseudonyms import SiteKey  # noqa: E402
from bsti_submit.intake.source import open_source  # noqa: E402
from bsti_submit.intake.survey import survey_source  # noqa: E402
from bsti_submit.model import Certified, Rejection, new_case_id  # noqa: E402
from bsti_submit.pipeline.prepared import Choices, Prepared, prepare  # noqa: E402
from bsti_submit.pipeline.stream import Work  # noqa: E402
from bsti_submit.sample import SampleStudy, make_ct_slice, make_sample  # noqa: E402
from tests.support.registry import running_registry  # noqa: E402
from tests.support.site import attestation, clinical, run, secret_file, site_key  # noqa: E402

COMMAND = (sys.executable, "-m", "bsti_submit")
BARE_APP = (
    "import typer; a = typer.Typer(add_completion=False)\n@a.command()\ndef main(x: str = ''): 'Say.'\na(['--help'])"
)
LAUNCHER = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
child.returncode = os.waitstatus_to_exitcode(status)
print(usage.ru_maxrss)
sys.exit(child.returncode)
"""
"""A small process between: a new one is charged with the memory of whoever started it."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    value: float
    unit: str
    budget: str = ""


def each(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each piece of work; one round does each once, in turn."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = perf_counter()
            work()
            times[name].append(perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def copy_and_hash(study: Path, target: Path) -> None:
    """Do the unit: read each file, hash it, write it elsewhere."""
    target.mkdir(exist_ok=True)
    for number, path in enumerate(sorted(path for path in study.rglob("*") if path.is_file())):
        data = path.read_bytes()
        hashlib.sha256(data).digest()
        (target / str(number)).write_bytes(data)


def stream(prepared: Prepared, key: SiteKey, *, certify: bool = True, compress: bool = False) -> list[Certified]:
    """De-identify every image in memory, and certify it."""
    work = Work(prepared.source, prepared.identity, prepared.profile, key, None, compress=compress)
    done: list[Certified] = []
    for instance in prepared.select(Choices()).instances:
        outcome = work.certify(instance) if certify else work.stage(instance)
        if isinstance(outcome, Rejection):
            raise SystemExit(f"held: {outcome.reason}")
        if isinstance(outcome, Certified):
            done.append(outcome)
    return done


def package(done: list[Certified], path: Path | None) -> int:
    """Write one package, and return its size."""
    with PackageWriter(path, new_case_id()) as writer:
        for certified in done:
            writer.add(certified)
        size = writer.finish(b"{}", b"{}").size
    if path is not None:
        path.unlink()
    return size


def in_process(sample: SampleStudy, folder: Path, rounds: int) -> list[Row]:
    """Measure the stages, one process."""
    profile, key = load_profile("bsti-default"), SiteKey(os.urandom(32))

    def survey() -> None:
        with open_source(sample.folder) as source:
            survey_source(source)

    with prepare(sample.folder, profile, key, lambda _: None) as prepared:
        plain, coded = stream(prepared, key), stream(prepared, key, compress=True)
        took = each(
            {
                "unit": lambda: copy_and_hash(sample.folder, folder / "copy"),
                "survey": survey,
                "engine": lambda: stream(prepared, key, certify=False),
                "both": lambda: stream(prepared, key),
                "coded": lambda: stream(prepared, key, compress=True),
                "package": lambda: package(plain, folder / "package.zip"),
            },
            rounds,
        )
        raw, small = package(plain, None), package(coded, None)
    unit = took["unit"]
    return [
        Row("copy + SHA-256, a slice (the unit)", unit * 1000 / sample.slices, "ms"),
        Row("header survey, a file", took["survey"] * 1000 / sample.slices, "ms", "1"),
        Row("engine", took["engine"] / unit, "x"),
        Row("engine + final check", took["both"] / unit, "x", "4, then 2"),
        Row("engine + JPEG-LS, proved + final check", took["coded"] / unit, "x"),
        Row("package, of certified images", took["package"] / unit, "x"),
        Row("bytes with JPEG-LS against raw", small / raw, "x"),
    ]


def whole(sample: SampleStudy, folder: Path, rounds: int) -> list[Row]:
    """Measure commands as a person types them: whole processes, a registry over TLS on loopback."""
    with running_registry(folder, "--rate", "5000", "--burst", "5000") as registry:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BSTI_")},
            "BSTI_HOME": str(folder / "home"),
            "BSTI_SITE_KEY_FILE": str(site_key(folder / "site.key")),
            "BSTI_TOKEN_FILE": str(secret_file(folder / "token", registry.token())),
            "BSTI_REGISTRY": registry.url,
            "BSTI_CA_BUNDLE": str(registry.ca_bundle),
        }

        def call(*words: object) -> bytes:
            done = run([*COMMAND, *map(str, words)], environment, folder, seconds=600)
            if done.returncode:
                raise SystemExit(done.stderr.decode())
            return done.stdout

        record = clinical(folder / "clinical.json", sample)
        attested = attestation(folder / "attestation.json", call("attestation", "template"))
        papers = ("--clinical", record, "--attestation", attested)
        outs = iter(range(rounds))
        took = each(
            {
                "unit": lambda: copy_and_hash(sample.folder, folder / "copy"),
                "bare": lambda: subprocess.run([sys.executable, "-c", BARE_APP], check=True, capture_output=True),
                "help": lambda: call("--help"),
                "list": lambda: call("profile", "list"),
                "deid": lambda: call("deid", sample.folder, folder / f"out{next(outs)}"),
                "case": lambda: call("case", sample.folder, *papers, "--again"),
            },
            rounds,
        )
    return [
        Row("`deid`, whole process", took["deid"] / took["unit"], "x"),
        Row("`case` to a registry over TLS, whole process", took["case"] / took["unit"], "x"),
        Row("`--help` against a bare Typer app", took["help"] / took["bare"], "x", "1.3"),
        Row("`profile list`", took["list"] * 1000, "ms"),
    ]


def multi_frame(path: Path, mebibytes: int) -> None:
    """Write one multi-frame CT of about this size, a frame at a time."""
    from pydicom import dcmwrite

    dataset = make_ct_slice(size=512)
    frame = dataset.PixelData
    frames = mebibytes * MIB // len(frame)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    dataset.NumberOfFrames = frames
    path.parent.mkdir()
    dcmwrite(path, dataset)
    with path.open("r+b") as stream:
        start = path.read_bytes().rindex(frame)
        stream.seek(start - 4)
        stream.write((frames * len(frame)).to_bytes(4, "little"))
        for _ in range(frames):
            stream.write(frame)
        stream.truncate()


def peak(study: Path, folder: Path) -> float:
    """Return the greatest resident memory of `deid` on a study, in MiB, as the system counted it."""
    words = [*COMMAND, "deid", str(study), str(folder / f"memory-{study.name}")]
    environment = {**os.environ, "BSTI_HOME": str(folder / "home")}
    told = subprocess.check_output([sys.executable, "-c", LAUNCHER, *words], env=environment, stderr=subprocess.DEVNULL)
    return int(told) / (MIB if sys.platform == "darwin" else 1024)


def memory(sample: SampleStudy, folder: Path, mebibytes: int) -> list[Row]:
    """Measure greatest memory over that of the same command on one image."""
    make_sample(folder / "one", slices=1, radiograph=False, extras=False)
    multi_frame(folder / "multi" / "frames.dcm", mebibytes)
    bare = peak(folder / "one", folder)
    return [
        Row("memory, `deid` of one image", bare, "MiB"),
        Row(f"… over it, of {sample.slices} images", peak(sample.folder, folder) - bare, "MiB", "64"),
        Row(
            f"… over it, of one multi-frame file of {mebibytes} MiB",
            peak(folder / "multi", folder) - bare,
            "MiB",
            "300",
        ),
    ]


def main() -> None:
    """Measure, print the table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=100, help="slices of the CT series")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--mebibytes", type=int, default=512, help="size of the multi-frame file")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        sample = make_sample(folder / "study", slices=asked.slices, radiograph=False, extras=False)
        rows = in_process(sample, folder, asked.rounds) + whole(sample, folder, asked.rounds)
        if hasattr(os, "wait4"):
            rows += memory(sample, folder, asked.mebibytes)
    print(
        f"{asked.slices} slices, median of {asked.rounds}, Python {platform.python_version()}, {os.cpu_count()} cores"
    )
    for row in rows:
        print(f"{row.what:56}{row.value:10.2f} {row.unit:4}{'budget ' + row.budget if row.budget else ''}")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
