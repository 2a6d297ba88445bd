import pytest

from workflows.endpoint_ends import refusal


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("mailbox_full", "refused: mailbox_full"),
        ("status_404", "refused: status_404"),
        ("refused_recipient", "refused_recipient"),
        ("content_refused", "content_refused"),
    ],
)
def test_a_refusal_is_said_once(reason: str, said: str) -> None:
    assert refusal(reason) == said
