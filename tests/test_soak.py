"""Many mixed requests, short: what is left behind is found, and nothing is. The million is
`python -m benchmarks.soak`.
"""

import pytest

from benchmarks import soak
from benchmarks.servers import OURS


@pytest.fixture(autouse=True)
def warm_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "WARM_UP", 0.5)
    monkeypatch.setenv("GAN_CACHE_MIB", "0")


@pytest.mark.long
def test_mixed_requests_leave_nothing_behind() -> None:
    assert soak.soak(OURS, 40_000) == []


@pytest.mark.long
def test_planted_leak_is_found() -> None:
    wrong = soak.soak(soak.LEAKING, 40_000)
    assert len(wrong) == 1
    assert "memory has grown" in wrong[0]


@pytest.mark.slow
def test_mixed_requests_are_answered_as_they_should_be() -> None:
    wrong = soak.soak(OURS, 3_000)
    assert [one for one in wrong if "memory" not in one] == []  # too few to tell of that
