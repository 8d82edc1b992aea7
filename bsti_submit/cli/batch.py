"""`batch`: many cases from a manifest, unattended, and safe to run again."""

from __future__ import annotations

import hashlib
import heapq
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import AttestationFile, Destination, ExcludeList, LimitRate, OnlyBetween, ProfileName
from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bsti_submit.cli.wiring import Pace
    from bsti_submit.errors import ExitCode
    from bsti_submit.outbox import Outbox
    from bsti_submit.report.events import Event
    from bsti_submit.report.rows import RowReport
    from bsti_submit.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("batch")(batch)


def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST",
            help="A CSV file with one row a case; its study paths are relative to its own folder. "
            "`bsti-submit manifest init` writes the header.",
            show_default=False,
        ),
    ],
    workers: Annotated[
        int,
        typer.Option(help="How many rows are prepared at the same time. One after another is sent.", min=1, max=64),
    ] = 1,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="FILE.csv",
            help="Where the result of each row is written as it comes. Without it, into the folder `results` of BSTI_HOME, "
            "under the first characters of the manifest's SHA-256.",
            show_default=False,
        ),
    ] = None,
    attestation: AttestationFile = None,
    skip_invalid: Annotated[
        bool,
        typer.Option(
            "--skip-invalid", help="Leave out rows with a mistake and do the others. The exit code still tells."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but keep and send; no attestation is needed.")
    ] = False,
    profile: ProfileName = None,
    to: Destination = "registry",
    exclude_list: ExcludeList = None,
    limit_rate: LimitRate = "",
    only_between: OnlyBetween = "",
    as_json: Json = False,
) -> None:
    """Submit many cases from a manifest, one row a case.

    Nobody is asked anything. Every row is checked first: a single mistake stops the batch before any work, unless you give --skip-invalid. Then the
    rows go one after another the way `case` goes. A row that fails later stops no other. Outside the hours of --only-between the rows
    are prepared, and sent once it is time. Run the same command again at any
    time: what was sent is not sent again, what waits is sent, what was held is tried again.

    The exit code is the gravest of all rows, in the order 1, 6, 3, 4, 7, 5, 2, 0.
    """
    from bsti_submit.cli import output, wiring

    output.set_json(as_json)
    run = BatchRun(
        manifest,
        profile=profile,
        to=to,
        exclude_list=exclude_list,
        skip_invalid=skip_invalid,
        counting=dry_run,
        results=results,
        pace=wiring.Pace(limit_rate, only_between),
    )
    run.run(attestation, results, workers, as_json=as_json)


class BatchRun:
    """One run of `batch`: what was checked before any work, and the loop over the rows."""

    def __init__(
        self,
        path: Path,
        *,
        profile: str | None,
        to: str,
        exclude_list: Path | None,
        skip_invalid: bool,
        counting: bool,
        results: Path | None,
        pace: Pace,
    ) -> None:
        from bsti_submit.cli import sheet, wiring
        from bsti_submit.clinical.sources.manifest import parse, read_bytes

        self.data = read_bytes(path)
        self.base = path.parent
        self.profile_name = profile
        self.exclude_list = exclude_list
        self.excluded = wiring.exclusions(exclude_list)
        self.to = to
        self.counting = counting
        pace.options()  # a mistake in it is told before the long work
        self.pace = pace
        self.manifest = sheet.without_missing(parse(self.data), self.base)
        if not skip_invalid:
            self.manifest.require_valid()
        studies = [row.folder(self.base).reveal() for row in self.manifest.rows]
        self.settings = wiring.start(*studies, writes=[results, wiring.folder_of(to)])
        wiring.contributor(self.settings.contributor)  # a mistake in it is told before the long work
        if to != "registry" or not counting:  # a dry run counts, and needs no registry for that
            wiring.destination(self.settings, to)
        self.profile = wiring.earned_profile(self.settings, profile)
        self.key = wiring.site_key(self.settings, person=False, must=True).key
        self.reports: list[RowReport] = []
        self._claims: dict[str, int] = {}

    def run(self, attestation: Path | None, results: Path | None, workers: int, *, as_json: bool) -> None:
        """Do all rows and tell the result.

        Raises
        ------
        typer.Exit
            With the gravest code of all rows, or 130 after Ctrl-C.
        """
        from bsti_submit.errors import ExitCode
        from bsti_submit.report.rows import exit_code_of

        path = self._results_path(results)
        stopped = False
        try:
            self._run(attestation, path, workers, as_json=as_json)
        except KeyboardInterrupt:
            stopped = True
        code = ExitCode.INTERRUPTED if stopped else exit_code_of(self.reports)
        # A name that a person gave may tell who a patient is, so only ours is repeated.
        self._tell(code, str(path) if path is not None and results is None else None, as_json=as_json)
        raise typer.Exit(int(code))

    def _results_path(self, given: Path | None) -> Path | None:
        if given is not None or self.counting:
            return given
        return self.settings.home / "results" / f"{self.digest[:16]}.csv"

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest, which an attestation may name."""
        return hashlib.sha256(self.data).hexdigest()

    def _run(self, attestation: Path | None, results: Path | None, workers: int, *, as_json: bool) -> None:
        from bsti_submit.cli import output, sheet, wiring
        from bsti_submit.cli.sending import RowSender
        from bsti_submit.report.batch import BatchProgress
        from bsti_submit.report.results import ResultsFile
        from bsti_submit.report.rows import RowOutcome

        with ExitStack() as opened:
            sender = outbox = None
            if not self.counting:
                document = attested(attestation)
                opened.enter_context(alone(self.settings))
                outbox = opened.enter_context(wiring.outbox(self.settings))
                sender = RowSender(self.settings, outbox, document, self.to, self.digest, self.pace)
                opened.callback(sender.close)
                sender.require_valid_attestation(self.profile)
            file = opened.enter_context(ResultsFile(results)) if results is not None else None
            progress = opened.enter_context(
                BatchProgress(self.manifest.count, terminal=sys.stderr.isatty(), quiet=as_json)
            )
            prepared = self._prepared(workers, outbox, progress, opened)

            def finish(report: RowReport) -> None:
                final = report
                if sender is not None and report.outcome is RowOutcome.PACKAGED:
                    final = sender.deliver(report, progress)
                if file is not None:
                    file.add(final)
                self.reports.append(final)
                progress.row(final)

            waiting: list[RowReport] = []
            for report in heapq.merge(sheet.skipped(self.manifest), prepared, key=lambda report: report.row):
                if sender is not None and report.outcome is RowOutcome.PACKAGED and not self.pace.is_open():
                    if not waiting:
                        output.say(
                            f"It is not between {self.pace.only_between}: what is prepared waits in the outbox until then."
                        )
                    waiting.append(report)
                else:
                    finish(report)
            for report in waiting:
                finish(report)
            self.reports.sort(key=lambda report: report.row)

    def _prepared(
        self, workers: int, outbox: Outbox | None, emit: Callable[[Event], None], opened: ExitStack
    ) -> Iterator[RowReport]:
        """Yield the rows as they are prepared, in the order of the manifest."""
        rows = self.manifest.rows
        if workers > 1 and len(rows) > 1:
            from bsti_submit.cli.workers import Job, Workers

            job = Job(self.data, self.base, self.profile_name, self.to, self.exclude_list, self.counting)
            crew = opened.enter_context(Workers(job, min(workers, len(rows)), self._claim))
            yield from crew.prepared([row.number for row in rows])
            return
        from bsti_submit.cli.rows import RowPreparer

        preparer = RowPreparer(self.settings, self.profile, self.key, self.base, self.to, outbox, self.excluded)
        for row in rows:
            yield preparer.prepare(row, self._claim, emit)

    def _claim(self, tag: str, number: int) -> int:
        """Return which row of this run has some studies: the first one that came with them."""
        return self._claims.setdefault(tag, number)

    def _tell(self, code: ExitCode, results: str | None, *, as_json: bool) -> None:
        from bsti_submit.cli import output
        from bsti_submit.errors import ExitCode
        from bsti_submit.report.batch import summary_lines
        from bsti_submit.report.rows import counted

        done, count = len(self.reports), self.manifest.count
        if as_json:
            output.write_json(
                {
                    "exit_code": int(code),
                    "rows_in_manifest": count,
                    "counts": counted(self.reports),
                    "results": results,
                    "rows": [report.document() for report in self.reports],
                }
            )
        else:
            for line in summary_lines(self.reports):
                output.write(line)
            if results is not None:
                output.write(f"The result of each row is in {results}")
        if code is ExitCode.INTERRUPTED:
            output.say(f"Stopped after {done} of {count} rows. Run the same command again: it goes on where it was.")


def attested(path: Path | None) -> Mapping[str, object]:
    """Read the attestation, without which a batch sends nothing.

    Raises
    ------
    ApprovalError
        If none was given, or it is not as it must be.
    """
    from bsti_submit import attestation
    from bsti_submit.errors import ApprovalError

    if path is None:
        raise ApprovalError(
            "A batch sends nothing without a signed attestation.",
            hint="Give --attestation FILE; bsti-submit attestation template writes one to complete. "
            "Or try everything but the sending: --dry-run.",
        )
    return attestation.read(path)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Be the one batch of this machine.

    Raises
    ------
    NotDeliveredError
        If another is running.
    """
    from filelock import FileLock, Timeout

    from bsti_submit.errors import NotDeliveredError

    lock = FileLock(settings.home / "batch.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise NotDeliveredError(
            "Another batch is running on this machine, so this one was not begun.",
            hint="Wait until it has ended, then give the same command again.",
        ) from None
    try:
        yield
    finally:
        lock.release()
