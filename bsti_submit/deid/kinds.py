"""What kind of object a SOP class is, and so why a profile leaves it out (PS3.4 B.5)."""

from __future__ import annotations

from bsti_submit.model import Reason

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_EXACT = {
    _STORAGE + "88.59": Reason.KEY_OBJECT,
    _STORAGE + "66": Reason.RAW_DATA,
    _STORAGE + "7": Reason.SECONDARY_CAPTURE,
}
_FAMILIES = (
    (_STORAGE + "7.", Reason.SECONDARY_CAPTURE),
    (_STORAGE + "11.", Reason.PRESENTATION_STATE),
    (_STORAGE + "88.", Reason.STRUCTURED_REPORT),
    (_STORAGE + "104.", Reason.ENCAPSULATED_DOCUMENT),
)


def left_out_reason(sop_class_uid: str) -> Reason:
    """Return why an object of a class that is not eligible is left out, by its kind.

    Any UID has an answer; private and unknown classes are `Reason.OTHER_OBJECT`.
    """
    exact = _EXACT.get(sop_class_uid)
    if exact is not None:
        return exact
    return next((reason for root, reason in _FAMILIES if sop_class_uid.startswith(root)), Reason.OTHER_OBJECT)
