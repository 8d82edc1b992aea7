"""A profile earns its use: its engine over a planted study, scored by what leaked and what was lost."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bsti_submit.deid.certify import Gate, Harvest
from bsti_submit.deid.engine import Engine
from bsti_submit.deid.pseudonyms import SiteKey, patient_scope
from bsti_submit.deid.staged import Refusal
from bsti_submit.deid.words import KnownWords
from bsti_submit.model import Certified, InstanceRef
from bsti_submit.phi import Identified
from bsti_submit.sample.probes import Traces, make_probes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsti_submit.deid.profile import Profile
    from bsti_submit.sample.probes import Probe

_KEY = bytes(range(32))
"""Of nobody's site: the study is made up."""
_TIMES = "times of day"


@dataclass
class Score:
    """What the bench found, by kind.

    Attributes
    ----------
    planted, leaked
        How many identifiers were planted, and how many of them the engine left: (kind, place) → count.
    passed
        How many of those that leaked the final check would have let through too.
    kept, lost
        How many things that should stay were looked for, and how many of them were lost.
    held
        How many images were held with nothing in them that leaked.
    """

    planted: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    places: dict[str, Counter[str]] = field(default_factory=dict)
    passed: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    held: int = 0

    @property
    def leaks(self) -> bool:
        """Whether anything at all leaked."""
        return self.leaked.total() > 0

    @property
    def retention(self) -> float:
        """The share of what should stay that stayed."""
        wanted = self.kept.total()
        return 1.0 if not wanted else 1 - self.lost.total() / wanted


def score(profile: Profile, probes: Iterable[Probe] | None = None) -> Score:
    """Run a profile over a planted study.

    Parameters
    ----------
    profile
        Read strictly, without a problem.
    probes
        Another study than the built-in one.
    """
    found = Score()
    engine = Engine(profile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is planted is wrong on purpose
        for probe in make_probes() if probes is None else probes:
            _judge(found, profile, engine, probe)
    return found


def _judge(found: Score, profile: Profile, engine: Engine, probe: Probe) -> None:
    if probe.secrets:
        found.planted[probe.kind] += 1
    known = KnownWords(profile.words)
    known.add_header(probe.data)
    scope = patient_scope(SiteKey(_KEY), Identified(""), Identified(probe.patient_id))
    staged = engine.deidentify(probe.data, scope, known)
    if isinstance(staged, Refusal):
        found.held += 1
        return
    traces = Traces(staged.to_bytes())
    harvest = Harvest()
    harvest.add_header(probe.data, InstanceRef(1))
    gate = Gate(profile.allow_list(), harvest.build(profile.words), profile.find_identifiers)
    certified = isinstance(gate.certify(InstanceRef(1), staged.payload()), Certified)
    if any(map(traces.has, probe.secrets)):
        found.leaked[probe.kind] += 1
        found.places.setdefault(probe.kind, Counter())[probe.where] += 1
        found.passed += certified
    elif not certified:
        found.held += 1
    _retained(found, probe, traces, times_stay=profile.date_policy != "removed")


def _retained(found: Score, probe: Probe, traces: Traces, *, times_stay: bool) -> None:
    if any(kind == _TIMES for kind, *_ in probe.kept) and not times_stay:
        return
    for kind, *_ in probe.kept:
        found.kept[kind] += 1
    if probe.useful:
        found.kept["words beside an identifier"] += len(probe.useful)
    found.lost.update(traces.lost(probe))
