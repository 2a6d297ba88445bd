"""Build templates in short form for these tests."""

from dataclasses import replace

from domain.channels import Channel
from rendering.messages import TemplateSource


def sms(body: str) -> TemplateSource:
    return TemplateSource(subject=None, body=body, text=None, channel=Channel.SMS)


def folded_sms(body: str) -> TemplateSource:
    return replace(sms(body), fold_typography=True)


def email(body: str, subject: str | None = "Hello", text: str | None = None) -> TemplateSource:
    return TemplateSource(subject=subject, body=body, text=text, channel=Channel.EMAIL)
