"""What `make run` says at its start."""

import pytest

from commands.demo import greet
from embedded.runfile import RunInfo
from tests.engine import Shop

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def running(shop: Shop) -> RunInfo:
    url = shop.engine.api_url
    nobody: dict[str, int | None] = {"api": None, "worker": None, "temporal": None, "postgres": None}
    return RunInfo(api_url=url, temporal_address="", temporal_ui_url="", database_url="", api_key=shop.key, pids=nobody)


async def test_it_tells_the_story_of_one_notification(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await greet(running(shop))
    assert "A notification was just sent and is DELIVERED" in capsys.readouterr().out


async def test_a_demo_that_people_have_changed_does_not_keep_the_rest_from_running(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    await greet(running(shop))
    schema = {"type": "object", "required": ["order"], "properties": {"order": {"type": "string"}}}
    await shop.template("welcome", "email", "Order {{ order }}", subject_template="Hi", variables_schema=schema)
    await greet(running(shop))
    said = capsys.readouterr().out
    assert "The demo notification was not sent" in said
    assert "curl -X POST" in said.rpartition("was not sent")[2]
