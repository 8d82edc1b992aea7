"""Profiles: what one is, and how it is found, read and linted."""

from __future__ import annotations

from bsti_submit.deid.profile_reader import lint_profile, load_profile, profile_names, profiles_folder
from bsti_submit.deid.profile_type import Profile, export_allow_list

__all__ = [
    "Profile",
    "export_allow_list",
    "lint_profile",
    "load_profile",
    "profile_names",
    "profiles_folder",
]
