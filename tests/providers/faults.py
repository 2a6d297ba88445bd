"""Bad days of a vendor over HTTP, and what is proved on each: for the tests of every such adapter."""

import pytest

from activities.delivery import _sent as send
from domain.messages import Result
from tests.providers.harness import Ability
from tests.providers.harness_http import Day, HttpBench
from tests.providers.harnesses import HARNESSES

PROVED = {
    Day.GOOD: Result.ACCEPTED,
    Day.GARBLES: None,  # as the harness says
    Day.FLOODS: Result.ACCEPTED,
    Day.RESETS: Result.UNKNOWN,
    Day.LOSES: Result.UNKNOWN,
    Day.HANGS: Result.UNKNOWN,
    Day.DRIPS: Result.UNKNOWN,
    Day.FAILS: Result.UNKNOWN,
    Day.REDIRECTS: Result.PERMANENT,
    Day.REFUSES: Result.REFUSED,
    Day.THROTTLES: Result.NOT_ACCEPTED,
    Day.BREAKS: Result.PERMANENT,
}
KEPT = (Day.GOOD, Day.GARBLES, Day.FLOODS, Day.LOSES, Day.DRIPS)
every_day = pytest.mark.parametrize("day", PROVED)


async def one_request_on(bench: HttpBench, day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `deliver` calls it, with a short deadline where the vendor does not answer."""
    monkeypatch.setattr(type(bench.provider), "deadline", 1.0 if day in (Day.HANGS, Day.DRIPS) else 60.0)
    message = bench.on(day)
    told = await send(bench.provider, message)
    assert told.result.result is (PROVED[day] or HARNESSES[bench.provider.name].after_error[Ability.MALFORMS])
    assert len(bench.vendor.requests) == 1
    assert bench.vendor.kept[str(message.attempt_id)] == (day in KEPT)


async def nobody_there(bench: HttpBench) -> None:
    """Its address refuses connections: proved not sent."""
    told = await send(bench.provider, bench.on(Day.GOOD))
    assert told.result.result is Result.NOT_ACCEPTED
    assert bench.vendor.requests == []
