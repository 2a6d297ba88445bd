import pytest

from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.mark.parametrize("name", ["sandbox", "in_app"])
async def test_where_there_is_nothing_to_check_it_says_so(terminal: Terminal, name: str) -> None:
    assert (await terminal.ok("providers", "check", name)).startswith(f"{name}: there is nothing to check")


async def test_an_unknown_provider_is_an_error_that_names_those_there_are(terminal: Terminal) -> None:
    said = await terminal.tocsin("providers", "check", "pigeon")
    assert said.code == 1
    assert said.err.startswith("tocsin: unknown provider: pigeon; there are ")


async def test_a_missing_setting_is_named(terminal: Terminal) -> None:
    said = await terminal.tocsin("providers", "check", "sendgrid")
    assert said.code == 1
    assert said.err.startswith("tocsin: sendgrid: TOCSIN_SENDGRID_")
    assert len(said.err.splitlines()) == 1


async def test_a_vendor_that_does_not_answer_is_an_error_in_house_words(terminal: Terminal) -> None:
    said = await terminal.tocsin(
        *("providers", "check", "sendgrid", "--send-to", "ada@example.com"),
        TOCSIN_SENDGRID_API_KEY="SG.none",
        TOCSIN_SENDGRID_FROM="shop@example.com",
        TOCSIN_SENDGRID_BASE_URL="http://127.0.0.1:1",
    )
    assert said.code == 1
    assert said.err.startswith("tocsin: sendgrid: temporary error: "), said.err
