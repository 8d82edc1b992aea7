"""The durable seam: cases, their packages and what happened to them, safe against `kill -9`."""

from __future__ import annotations

from bsti_submit.outbox.case import UNDELIVERED, OutboxCase, State
from bsti_submit.outbox.disk import is_network_share
from bsti_submit.outbox.origin import Origin
from bsti_submit.outbox.store import Outbox

__all__ = ["UNDELIVERED", "Origin", "Outbox", "OutboxCase", "State", "is_network_share"]
