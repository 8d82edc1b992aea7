"""`verify`: the structural checks again, on a folder or a package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bsti_submit.cli.output import Json


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


class _InMemory:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def chunks(self) -> Iterator[bytes]:
        yield self._data


def verify(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A folder that `deid` wrote, or a case package.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Check a de-identified folder or package again.

    Looked at are the structure of every file, its de-identification flags, the digests, and everything that has the form of a
    national identifier. The exit code is 3 if anything is wrong.
    """
    from bsti_submit.bundle import PackageReader
    from bsti_submit.cli import output
    from bsti_submit.deid.certify import verify_structure
    from bsti_submit.deid.pixels.recode import decode_samples
    from bsti_submit.errors import ExitCode, InputError
    from bsti_submit.pipeline.stream import national
    from bsti_submit.pipeline.writing import is_our_name

    output.set_json(as_json)
    wrong: list[dict[str, str]] = []
    checked = 0

    def look(name: str, data: bytes) -> None:
        for finding in verify_structure(_InMemory(data), None, national, decode=decode_samples):
            wrong.append({"file": name, "reason": str(finding.reason), "attribute": finding.attribute})

    if out.is_dir():
        for file in sorted(path for path in out.rglob("*") if path.is_file()):
            checked += 1
            name = file.relative_to(out).as_posix()
            look(name if is_our_name(name) else f"file {checked} in the order of their names", file.read_bytes())
    elif out.is_file():
        with PackageReader(out) as reader:
            wrong += [{"file": "package", "reason": problem, "attribute": ""} for problem in reader.problems()]
            for name in reader.images():
                checked += 1
                look(name, reader.read(name))
    else:
        raise InputError("There is nothing at the path that was given.")
    if not checked:
        raise InputError("There is nothing to verify there.")
    if as_json:
        output.write_json({"verdict": "fail" if wrong else "pass", "files": checked, "findings": wrong})
    else:
        for line in wrong[:50]:
            output.write(f"{line['file']}: {line['reason']} {line['attribute']}")
        output.write(f"{checked} files checked, {len(wrong)} findings.")
    if wrong:
        raise typer.Exit(int(ExitCode.HELD))
