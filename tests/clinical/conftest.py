from __future__ import annotations

import pytest

from .samples import context


@pytest.fixture
def facts():
    """The facts of a made-up patient's CT with an earlier radiograph."""
    return context()
