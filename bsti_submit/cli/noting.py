"""Lines of the audit log for what does not go through the outbox: commands, and images written on this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from bsti_submit.errors import BstiError
from bsti_submit.settings import default_home

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsti_submit.deid.profile import Profile
    from bsti_submit.model import InstanceReport
    from bsti_submit.settings import Settings


def note_deidentified(settings: Settings, rules: Profile, reports: Iterable[InstanceReport]) -> None:
    """Note in the audit log what `deid` came to. A package's counts are noted with the package."""
    from collections import Counter

    from bsti_submit.audit import fitting
    from bsti_submit.cli import wiring

    found = list(reports)
    outcomes = Counter(str(report.outcome) for report in found)
    reasons = Counter(str(report.reason) for report in found if report.reason is not None)
    members = {"profile": rules.name, "profile_version": rules.version, "recipe_sha256": rules.recipe_sha256}
    counts = {name: outcomes[name] for name in ("certified", "left_out", "held")}
    wiring.audit_log(settings).append("deidentify", **fitting({**members, **counts, "reasons": dict(reasons)}))


def note_command(name: str, exit_status: int) -> None:
    """Note in the audit log that a command was run. Where no home folder of ours was made, nothing is noted."""
    from bsti_submit.audit import AuditLog

    with suppress(BstiError, OSError):
        home = default_home(os.environ)
        if (home / "audit").is_dir():
            AuditLog(home / "audit").append("command", command=name, exit_status=exit_status)
