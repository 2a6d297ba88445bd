"""Give the harnesses of email and SMS vendors the same messages."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from domain.channels import Channel
from tests.providers.harness_http import HttpBench, HttpHarness


class EmailBench(HttpBench):
    channel = Channel.EMAIL
    content = {"subject": "Hi", "html": "<p>Grüße</p>", "text": "Grüße"}


class EmailHarness(HttpHarness):
    bad_content = (
        (EmailBench.content | {"subject": " "}, "empty_subject"),
        (EmailBench.content | {"text": "", "html": " "}, "empty_message"),
    )


class SmsBench(HttpBench):
    channel = Channel.SMS
    content = {"text": "Grüße & more"}


class SmsHarness(HttpHarness):
    bad_content = (({"text": " \n"}, "empty_message"),)
    bad_addresses: ClassVar[Sequence[tuple[Mapping[str, Any], str]]] = (
        ({"phone": "4917012345678"}, "invalid_address"),
        ({"phone": "+49 170 12345678"}, "invalid_address"),
        ({"phone": "+1234567890123456"}, "invalid_address"),
    )
