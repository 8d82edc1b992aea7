"""One loop: source instance → de-identified → pixels → certified, one instance in memory at a time.

A refused instance is a value in the stream with its reason. Nothing here writes anything.
"""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING

from bsti_submit.deid.certify import Gate, Harvest
from bsti_submit.deid.engine import Engine
from bsti_submit.deid.pixels.blank import blank
from bsti_submit.deid.pixels.devices import regions_of
from bsti_submit.deid.pixels.recode import JPEG_LS_LOSSLESS, decode_samples, encode_frames
from bsti_submit.deid.pixels.screen import screen
from bsti_submit.deid.pseudonyms import WeakPatientId, patient_mark, patient_scope, random_scope
from bsti_submit.deid.staged import EncapsulatedPixels, NativePixels, Refusal, Staged
from bsti_submit.deid.words import KnownWords
from bsti_submit.identifiers import Strength, find_identifiers
from bsti_submit.intake.source import UnreadableInstance
from bsti_submit.model import Outcome, Reason, Rejection
from bsti_submit.pipeline.looking import Looking
from bsti_submit.report.events import InstanceDone, Progress, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bsti_submit.deid.certify import Matcher
    from bsti_submit.deid.pixels.decisions import Decision, DecisionStore
    from bsti_submit.deid.pseudonyms import PatientScope, SiteKey
    from bsti_submit.intake.instance import SurveyedInstance
    from bsti_submit.model import Buffer, Certified, InstanceRef
    from bsti_submit.phi import Identified
    from bsti_submit.pipeline.looking import Look
    from bsti_submit.pipeline.prepared import Prepared
    from bsti_submit.report.events import Event


class Identity:
    """What is known, in memory only, of whom a source is about: their words, identifiers and pseudonyms.

    Words and identifiers are harvested twice, by code that the engine and the final check do not share. They are
    gathered over the whole source, so that nobody in it is named in anybody's images.
    """

    def __init__(self, key: SiteKey, vocabulary: frozenset[str] = frozenset()) -> None:
        self.words = KnownWords(vocabulary)
        self._key = key
        self._vocabulary = vocabulary
        self._harvest = Harvest()
        self._scopes: dict[tuple[Identified[str], Identified[str], Identified[str]], PatientScope] = {}
        self._matcher: Matcher | None = None

    def add_header(self, ref: InstanceRef, header: Buffer) -> None:
        """Harvest one input header; dates are held against those of the instance's own patient."""
        self.words.add_header(header)
        self._harvest.add_header(header, ref)

    def add_text(self, text: Identified[str]) -> None:
        """Harvest one text, such as a part of the source path."""
        self._harvest.add_text(text)

    def mentions(self, text: str) -> bool:
        """Whether a text holds one of the words by which somebody in the source is known."""
        return any(self.words.contains(token) for token in re.findall(r"[^\W_]+", text)) or self.words.contains(
            "".join(re.findall(r"[^\W_]+", text))
        )

    def matcher(self) -> Matcher:
        """Return the search for everything harvested so far."""
        if self._matcher is None:
            self._matcher = self._harvest.build(self._vocabulary)
        return self._matcher

    def scope(self, instance: SurveyedInstance) -> PatientScope:
        """Return the pseudonyms of an instance's patient.

        A patient whose id tells nobody apart gets a random scope for this run, never linked to any other.
        """
        try:
            return self._linked(instance)
        except WeakPatientId:
            person = (instance.issuer, instance.patient_id, instance.patient_name)
            if person not in self._scopes:
                self._scopes[person] = random_scope()
            return self._scopes[person]

    def is_weak(self, instance: SurveyedInstance) -> bool:
        """Whether the patient id is empty, a dummy, or too short to tell anybody apart."""
        try:
            self._linked(instance)
        except WeakPatientId:
            return True
        return False

    def mark(self, instance: SurveyedInstance) -> bytes:
        """Return the keyed mark of an instance's patient, by which the outbox tells patients apart."""
        return patient_mark(self._key, instance.issuer, instance.patient_id, instance.patient_name)

    def _linked(self, instance: SurveyedInstance) -> PatientScope:
        person = (instance.issuer, instance.patient_id, instance.issuer)
        if person not in self._scopes:
            self._scopes[person] = patient_scope(self._key, instance.issuer, instance.patient_id)
        return self._scopes[person]


class Work:
    """De-identify and certify instances of one source, one at a time.

    Parameters
    ----------
    prepared
        The surveyed source, under its profile.
    key
        The site key: pictures are known again by a digest under it.
    decisions
        What a person decided about pictures; None where nothing was ever decided.
    compress
        Whether native pixels are coded losslessly (JPEG-LS) where that is smaller.
    """

    def __init__(self, prepared: Prepared, key: SiteKey, decisions: DecisionStore | None, *, compress: bool) -> None:
        self._source = prepared.source
        self._identity = prepared.identity
        self._profile = prepared.profile
        self._compress = compress
        self._engine = Engine(prepared.profile)
        self._gate: Gate | None = None
        self._staging = Lock()
        self.looking = Looking(prepared, decisions, key.derive(b"pictures"), self.stage)
        self.cleared: dict[InstanceRef, str] = {}
        """The marks of the decisions by which pictures went on because a person had cleared them."""

    @property
    def gate(self) -> Gate:
        """The final check, built once for the source."""
        if self._gate is None:
            self._gate = Gate(
                self._profile.allow_list(),
                self._identity.matcher(),
                self._profile.find_identifiers,
                dates="modified" if self._profile.date_policy == "modified" else "removed",
                decode=decode_samples,
            )
        return self._gate

    def ordered(self, instances: Iterable[SurveyedInstance]) -> list[SurveyedInstance]:
        """Return the instances in the order of their new UIDs, series by series."""

        def order(instance: SurveyedInstance) -> tuple[str, str]:
            scope = self._identity.scope(instance)
            return scope.uid(instance.series_uid.reveal()), scope.uid(instance.instance_uid.reveal())

        return sorted(instances, key=order)

    def run(
        self, instances: Iterable[SurveyedInstance], emit: Callable[[Event], None]
    ) -> Iterator[Certified | Rejection]:
        """Yield what became of each instance, in the order of the new UIDs."""
        ordered = self.ordered(instances)
        for done, instance in enumerate(ordered):
            emit(Progress(Step.DEIDENTIFY, done, len(ordered)))
            outcome = self.certify(instance)
            emit(InstanceDone(outcome.report()))
            yield outcome
        emit(Progress(Step.DEIDENTIFY, len(ordered), len(ordered)))

    def certify(self, instance: SurveyedInstance) -> Certified | Rejection:
        """Take one instance all the way to the final check."""
        staged = self.stage(instance)
        if isinstance(staged, Rejection):
            return staged
        look = self.look(instance, staged)
        if look.reason is not None:
            outcome = Outcome.LEFT_OUT if look.reason is Reason.LEFT_OUT_BY_PERSON else Outcome.HELD
            return Rejection(instance.ref, instance.sop_class_uid, outcome, look.reason)
        if look.regions:
            blanked = blank(staged, look.regions)
            if isinstance(blanked, Refusal):
                return held(instance, blanked.reason, blanked.attribute)
            staged = blanked
        if look.examined:
            staged = staged.examined()
        if self._compress:
            staged = compressed(staged)
        return self.gate.certify(instance.ref, staged.payload())

    def look(self, instance: SurveyedInstance, staged: Staged) -> Look:
        """Look at a picture, and note it if it goes on because a person cleared it."""
        look = self.looking.at(instance, staged)
        self._note(instance, look.reason, look.decision)
        return look

    def goes(self, instance: SurveyedInstance) -> bool:
        """Whether an instance is to go by what was decided about its picture until now; nothing is certified.

        A picture that nobody has looked at yet is to go: it is no reason to overlook that it is there.
        """
        reason = screen(instance).reason
        if reason is None and self.looking.nothing_decided:
            return True
        staged = self.stage(instance)
        if isinstance(staged, Rejection):
            return False
        decision = self.looking.decision(staged)
        if decision is not None:
            reason = screen(instance, decision.verdict).reason
        self._note(instance, reason, decision)
        return reason in {None, Reason.NOT_LOOKED_AT}

    def _note(self, instance: SurveyedInstance, reason: Reason | None, decision: Decision | None) -> None:
        self.cleared.pop(instance.ref, None)
        if reason is None and decision is not None:
            self.cleared[instance.ref] = decision.mark

    def stage(self, instance: SurveyedInstance) -> Staged | Rejection:
        """De-identify one instance, without certifying it: for the final check, or for a person to look at."""
        with self._staging:  # the page for pictures asks in several threads
            return self._staged(instance)

    def _staged(self, instance: SurveyedInstance) -> Staged | Rejection:
        try:
            data = self._source.read(instance.ref)
        except UnreadableInstance:
            return held(instance, Reason.UNREADABLE)
        staged = self._engine.deidentify(data, self._identity.scope(instance), self._identity.words)
        if isinstance(staged, Staged):
            regions = regions_of(self._profile, data)
            staged = regions if isinstance(regions, Refusal) else blank(staged, regions)
        if isinstance(staged, Refusal):
            return held(instance, staged.reason, staged.attribute)
        return staged


def national(text: str) -> list[tuple[str, int, int]]:
    """Find national identifiers in a text, for the final check."""
    return [(str(hit.kind), hit.start, hit.end) for hit in find_identifiers(text, strength=Strength.DESCRIPTOR)]


def compressed(staged: Staged) -> Staged:
    """Return an instance with its native pixels as JPEG-LS, where that is smaller and proved equal."""
    pixels, layout = staged.pixels, staged.layout
    if not isinstance(pixels, NativePixels) or layout.samples != 1 or pixels.size > LARGEST_COMPRESSED:
        return staged
    frames = encode_frames(
        b"".join(bytes(block) for block in pixels.blocks()),
        rows=layout.rows,
        columns=layout.columns,
        samples=layout.samples,
        bits_allocated=layout.bits_allocated,
        bits_stored=layout.bits_stored,
        signed=layout.signed,
        frames=layout.frames,
    )
    return staged if frames is None else staged.with_pixels(EncapsulatedPixels(tuple(frames)), JPEG_LS_LOSSLESS)


LARGEST_COMPRESSED = 64 << 20


def held(instance: SurveyedInstance, reason: Reason, attribute: str = "") -> Rejection:
    """Return a held instance as a value."""
    return Rejection(instance.ref, instance.sop_class_uid, Outcome.HELD, reason, attribute)
