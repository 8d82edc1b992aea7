"""The UIDs that the standard registers (PS3.6 annex A)."""

from __future__ import annotations


def is_registered(uid: str) -> bool:
    """Whether a UID is one that the standard registers (PS3.6 annex A), and so identifies nothing of the patient."""
    from pydicom._uid_dict import UID_dictionary

    return uid in UID_dictionary


def is_image(sop_class_uid: str) -> bool:
    """Whether instances of a SOP class are images, and so must have pixels (PS3.4 B.5)."""
    from pydicom._uid_dict import UID_dictionary

    return "Image Storage" in UID_dictionary.get(sop_class_uid, ("",))[0]
