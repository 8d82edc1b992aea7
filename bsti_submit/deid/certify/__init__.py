"""The wall: the final, independent look at the very bytes that are to be sent.

`Harvest` takes this patient's identifiers from the input, `Gate` certifies or holds each instance and searches what
goes with it, `verify_structure` checks outputs whose patient is not known. Nothing here shares code with the engine.
"""

from bsti_submit.deid.certify.forms import FindIdentifiers, Finding
from bsti_submit.deid.certify.gate import DatePolicy, Gate, verify_structure
from bsti_submit.deid.certify.harvest import Harvest
from bsti_submit.deid.certify.pixels import SYNTAXES, DecodeFrame
from bsti_submit.deid.certify.records import names_patient
from bsti_submit.deid.certify.search import Matcher

__all__ = [
    "SYNTAXES",
    "DatePolicy",
    "DecodeFrame",
    "FindIdentifiers",
    "Finding",
    "Gate",
    "Harvest",
    "Matcher",
    "names_patient",
    "verify_structure",
]
