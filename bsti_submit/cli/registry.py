"""``registry serve | token | review | key | purge``: the embedded reference registry at its own terminal."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer

from bsti_submit.cli import output
from bsti_submit.printable import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bsti_submit.errors import BstiError
    from bsti_submit.registry.review import Review
    from bsti_submit.registry.store import Store
    from bsti_submit.registry.tokens import Tokens

app = typer.Typer(
    name="registry",
    help="Run the reference registry on this machine. Sites do not need it; `demo` and tests do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
token_app = typer.Typer(help="Make, list and revoke the tokens that sites sign in with.", no_args_is_help=True)
review_app = typer.Typer(help="See what was received, and decide on it as the panel does.", no_args_is_help=True)
key_app = typer.Typer(help="See and replace the key that signs receipts.", no_args_is_help=True)
app.add_typer(token_app, name="token")
app.add_typer(review_app, name="review")
app.add_typer(key_app, name="key")

Data = Annotated[
    Path,
    typer.Option("--data", help="The registry's data folder.", envvar="BSTI_REGISTRY_DATA", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="The case id, XXXX-XXXX-XXXX.")]


@app.command()
def serve(
    data: Data,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen at; 0 takes a free one.", min=0, max=65535)] = 0,
    name: Annotated[str, typer.Option(help="The registry's name, as clients show it.")] = "",
    contact: Annotated[str, typer.Option(help="Whom a site can ask, as clients show it.")] = "",
    profiles: Annotated[
        Path | None, typer.Option(help="A folder with further profiles that this registry takes.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Requests a second that one token may make.", min=0.01)] = 100.0,
    burst: Annotated[int, typer.Option(help="Requests that one token may make at once.", min=1)] = 400,
    chunk: Annotated[
        int, typer.Option(help="Bytes that a sender is asked to send in one request.", min=64 << 10, max=64 << 20)
    ] = 8 << 20,
    retention_days: Annotated[
        int | None,
        typer.Option(help="Erase cases this many days after they were received. No period by default.", min=1),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the registry over TLS until Ctrl-C. The data folder is made if it is not there yet."""
    from bsti_submit.errors import BstiError
    from bsti_submit.registry.server import Serving, run
    from bsti_submit.registry.settings import Settings

    defaults = Settings()
    settings = Settings(
        name=name,
        contact=contact or defaults.contact,
        profiles=profiles,
        rate=rate,
        burst=burst,
        chunk_preferred=chunk,
        retention_days=retention_days,
    )

    def ready(serving: Serving) -> None:
        if as_json:
            told = {"url": serving.url, "ca_bundle": str(serving.ca_bundle), "data": str(serving.data)}
            typer.echo(json.dumps(told))
        else:
            typer.echo(f"Registry:       {serving.url}")
            typer.echo(f"CA certificate: {serving.ca_bundle}")
            typer.echo(f"Make a token:   bsti-submit registry token create --data {serving.data} --site NAME")
            typer.echo("Stop it with Ctrl-C.")
        # A parent that waits for this line must get it now.
        typer.get_text_stream("stdout").flush()

    try:
        run(data, host, port, ready, settings)
    except BstiError as error:
        _fail(error)


@app.command()
def purge(data: Data, as_json: AsJson = False) -> None:
    """Erase withdrawn cases whose time has come. A running registry does so by itself."""
    from bsti_submit.registry.review import purge_due

    with _store(data) as store:
        purged = purge_due(store)
    _show({"purged": purged}, [f"{len(purged)} purged"], as_json=as_json)


@app.command("audit")
def show_audit(
    data: Data,
    case: Annotated[str, typer.Option(help="Only what was done with this case.", metavar="CASE")] = "",
    as_json: AsJson = False,
) -> None:
    """Print who read or changed which case.

    It is checked first that no entry was changed or taken out; the exit code is 3 if one was.
    """
    from bsti_submit.errors import HeldError
    from bsti_submit.registry import audit
    from bsti_submit.registry.settings import utc

    with _store(data) as store, store.reading() as db:
        wrong = audit.verify(db)
        entries = [{**entry, "at": utc(cast("int", entry["at"]))} for entry in audit.entries(db, case)]
    if wrong is not None:
        _fail(HeldError(f"The audit is not as it was written: entry {wrong}."))
    lines = [
        f"{one['seq']}  {one['at']}  {one['role']}  {one['actor']}  {one['action']}  {one['case_id']}".rstrip()
        for one in entries
    ]
    _show({"entries": entries}, lines or ["There are no such entries."], as_json=as_json)


@token_app.command("create")
def token_create(
    data: Data,
    site: Annotated[str, typer.Option(metavar="NAME", help="The site's name.")],
    role: Annotated[str, typer.Option(metavar="ROLE", help="What the token is for: site, panel or admin.")] = "site",
    days: Annotated[int, typer.Option(metavar="DAYS", help="For how many days it is valid.")] = 365,
) -> None:
    """Make a token and print it. It is shown this once; only its hash is kept."""
    from bsti_submit.registry.tokens import Role

    with _tokens(data) as tokens:
        try:
            token = tokens.create(site, Role(role), days)
        except ValueError as error:
            raise typer.BadParameter(
                str(error) if "token" in str(error) or "site" in str(error) else "No such role."
            ) from None
    typer.echo(token)
    typer.echo("Keep it safe: it is not shown again.", err=True)


@token_app.command("list")
def token_list(data: Data, as_json: AsJson = False) -> None:
    """List the tokens, without the tokens themselves."""
    from bsti_submit.registry.settings import utc

    with _tokens(data) as tokens:
        listed = [
            {
                "id": token.token_id,
                "site": token.site,
                "role": token.role.value,
                "created": utc(token.created),
                "expires": utc(token.expires),
                "revoked": None if token.revoked is None else utc(token.revoked),
            }
            for token in tokens.list()
        ]
    lines = [
        f"{one['id']}  {one['role']:5}  {'revoked' if one['revoked'] else one['expires']:20}  {one['site']}"
        for one in listed
    ]
    _show({"tokens": listed}, lines or ["There are no tokens."], as_json=as_json)


@token_app.command("revoke")
def token_revoke(
    data: Data, token_id: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")]
) -> None:
    """End a token at once."""
    with _tokens(data) as tokens:
        found = tokens.revoke(token_id)
    if not found:
        raise typer.BadParameter("There is no such token.")
    typer.echo("Revoked.")


@review_app.command("list")
def review_list(
    data: Data,
    state: Annotated[str | None, typer.Option(help="Only cases in this state, such as in_review.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the received cases, oldest first."""
    with _review(data) as review:
        cases = review.list(state)
    lines = [f"{one['id']}  {one['state']:12}  {one['received']}  {one['site']}" for one in cases]
    _show({"cases": cases}, lines or ["There are no such cases."], as_json=as_json)


@review_app.command("show")
def review_show(data: Data, case: CaseArgument) -> None:
    """Show one case in full.

    That is its state, what was found on arrival, its clinical record, and where its package is.
    """
    with _review(data) as review:
        shown = review.show(case)
    output.write_lines(json_text(shown, indent=2))


@review_app.command("approve")
def review_approve(data: Data, case: CaseArgument) -> None:
    """Approve a case that is in review."""
    _decide(data, case, "approve")


@review_app.command("publish")
def review_publish(data: Data, case: CaseArgument) -> None:
    """Publish an approved case."""
    _decide(data, case, "publish")


@review_app.command("reject")
def review_reject(
    data: Data,
    case: CaseArgument,
    reason: Annotated[str, typer.Option(help="Why, in a few words the site may read.")] = "",
) -> None:
    """Reject a case. The site sees the reason."""
    _decide(data, case, "reject", reason)


@review_app.command("query")
def review_query(
    data: Data,
    case: CaseArgument,
    text: Annotated[str, typer.Argument(help="The question. The site sees it and answers with an amendment.")],
) -> None:
    """Ask the site a question about a case."""
    _decide(data, case, "query", text)


@key_app.command("show")
def key_show(data: Data) -> None:
    """Print the public keys that receipts verify with.

    The one that signs now stands first.
    """
    from bsti_submit.registry.folder import Folder
    from bsti_submit.registry.signing import Signer

    signer = Signer(Folder(data.resolve()).create())
    signer.ensure()
    typer.echo(json.dumps({"keys": signer.keys()}, indent=2))


@key_app.command("rotate")
def key_rotate(data: Data) -> None:
    """Replace the signing key by a new one.

    The present key endorses the new one, and old receipts stay valid.
    """
    from bsti_submit.registry.folder import Folder
    from bsti_submit.registry.signing import Signer

    signer = Signer(Folder(data.resolve()).create())
    signer.ensure()
    typer.echo(signer.rotate())


def _decide(data: Path, case: str, decision: str, text: str = "") -> None:
    from bsti_submit.registry.review import Decision

    with _review(data) as review:
        shown, _ = review.decide(case, Decision(decision), text)
    output.write(f"{shown['id']} is {shown['state']}")


@contextlib.contextmanager
def _store(data: Path) -> Iterator[Store]:
    """Open the data folder's database, beside a server that may be running."""
    from bsti_submit.errors import InputError, RefusedError
    from bsti_submit.registry.folder import Folder
    from bsti_submit.registry.problems import Problem
    from bsti_submit.registry.store import Store

    store = Store(Folder(data.resolve()).create())
    try:
        yield store
    except Problem as problem:
        kind = InputError if problem.kind in {"not-found", "invalid-request"} else RefusedError
        _fail(kind(problem.detail))
    finally:
        store.close()


@contextlib.contextmanager
def _tokens(data: Path) -> Iterator[Tokens]:
    from bsti_submit.registry.tokens import Tokens

    with _store(data) as store:
        yield Tokens(store)


@contextlib.contextmanager
def _review(data: Path) -> Iterator[Review]:
    from bsti_submit.registry.review import Review

    with _store(data) as store:
        yield Review(store)


def _show(document: object, lines: Iterable[str], *, as_json: bool) -> None:
    for line in [json_text(document)] if as_json else lines:
        output.write(line)


def _fail(error: BstiError) -> NoReturn:
    output.say(error.message)
    if error.hint:
        output.say(error.hint)
    raise typer.Exit(cast("int", error.exit_code))
