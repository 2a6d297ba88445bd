"""Build templates in short form for these tests."""

from domain.channels import Channel
from rendering.messages import TemplateSource


def sms(body: str) -> TemplateSource:
    return TemplateSource(subject=None, body=body, text=None, channel=Channel.SMS)


def email(body: str, subject: str | None = "Hello", text: str | None = None) -> TemplateSource:
    return TemplateSource(subject=subject, body=body, text=text, channel=Channel.EMAIL)
