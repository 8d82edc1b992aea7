"""Options that several commands share, each with one wording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

SourcePath: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A folder of any depth, one DICOM file, a DICOMDIR or a ZIP. It is only ever read.",
        show_default=False,
    ),
]
ProfileName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        help="The de-identification profile: a name that `bsti-submit profile list` shows, or a path to a profile or recipe. "
        "Without it the one set up for this site is used, or bsti-default.",
        show_default=False,
    ),
]
ClinicalFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--clinical",
        metavar="FILE",
        help="The clinical metrics as a JSON file. `bsti-submit clinical template` writes one to fill in.",
        show_default=False,
    ),
]
AttestationFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--attestation",
        metavar="FILE",
        help="Your organisation's attestation as a file, for runs without a person. `bsti-submit attestation template` writes one "
        "to complete.",
        show_default=False,
    ),
]
Destination: TypeAlias = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="DEST",
        help="Where the case goes: `registry`, or `dir:FOLDER` for a folder or a USB stick.",
    ),
]
LeaveOut: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--leave-out",
        metavar="REF",
        help="Leave out the image with this reference, such as 123 or '#000123'. It may be given several times.",
        show_default=False,
    ),
]
Study: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--study",
        metavar="NUMBER",
        help="The study that the case is about, where there are several: 1 is the newest. Where nobody can be asked, this also "
        "confirms the body part.",
        min=1,
        show_default=False,
    ),
]
