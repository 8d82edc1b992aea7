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
ExcludeList: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--exclude-list",
        metavar="FILE",
        help="Hospital or NHS numbers of patients who object, one a line. They are compared in memory and never stored.",
        show_default=False,
    ),
]
FromPath: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="PATH",
        help="The images that the case was made from, instead of its id: a folder, a file, a DICOMDIR or a ZIP.",
        show_default=False,
    ),
]
LimitRate: TypeAlias = Annotated[
    str,
    typer.Option(
        "--limit-rate", metavar="RATE", help="Bytes a second at most, such as 500k or 2M.", show_default=False
    ),
]
OnlyBetween: TypeAlias = Annotated[
    str,
    typer.Option(
        "--only-between",
        metavar="HH:MM-HH:MM",
        help="Send at these hours only, such as 19:00-07:00, by this machine's clock; at others wait.",
        show_default=False,
    ),
]
