from __future__ import annotations

import pytest
from hypothesis import settings

from .samples import context

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def facts():
    """The facts of a made-up patient's CT with an earlier radiograph."""
    return context()
