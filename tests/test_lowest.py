"""The lowest versions are derived from pyproject.toml, and every range has a bound to derive them from."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.lowest import lowest, requirements

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def test_every_dependency_is_pinned_at_its_lowest():
    needed = requirements(PYPROJECT)
    pins = {Requirement(pin).name: Requirement(pin) for pin in lowest(needed)}
    assert set(pins) == {requirement.name for requirement in needed}
    for requirement in needed:
        (pin,) = pins[requirement.name].specifier
        assert pin.operator == "=="
        assert pin.version in requirement.specifier


@pytest.mark.parametrize("line", ["typer", "typer<1", "typer>=0.1,>=0.2"])
def test_a_range_without_a_lower_bound_is_refused(line):
    with pytest.raises(ValueError, match="lower bound"):
        lowest([Requirement(line)])
