"""What holds for every test."""

from __future__ import annotations

import pytest

_MEASURES = "COVERAGE_PROCESS_CONFIG"
"""Where the tool that measures coverage tells the processes that a test starts to be measured too."""


@pytest.fixture(autouse=True)
def measured_where_asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure only the commands of tests marked ``measured``.

    A command takes twice as long when it is measured, and hundreds of tests run the same few commands in other
    circumstances: the suite would spend half of its time on counting the same lines again.
    """
    if request.node.get_closest_marker("measured") is None:
        monkeypatch.delenv(_MEASURES, raising=False)
