import pytest

from dispatch.loops import SLACK, coalesced


@pytest.mark.parametrize("now", [100.0, 100.001, 100.3, 100.96, 100.9999])
@pytest.mark.parametrize("seconds", [1.0, 2.0, 2.7, 60.0])
def test_long_waits_end_at_a_whole_second_and_hardly_later(now: float, seconds: float) -> None:
    wait = coalesced(seconds, now)
    assert (now + wait) % 1 == pytest.approx(0, abs=1e-6)
    assert seconds - 1 <= wait <= seconds + SLACK
    assert wait > 0


def test_short_waits_stay_as_they_are() -> None:
    assert coalesced(0.3, 100.9) == 0.3
    assert coalesced(0.0, 100.9) == 0.0
