"""Verify the signature of Twilio's callbacks by the vendor's package. Used by `adapter`."""

from collections.abc import Mapping

from twilio.request_validator import (
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)

from providers.base import ForgedReceipt
from providers.twilio.callbacks import CallbackFields


def verify(headers: Mapping[str, str], url: str, signed: CallbackFields | str, secrets: Mapping[bool, str]) -> None:
    """Verify the signature: HMAC-SHA1 with the auth token or, where a second header names one, another algorithm with
    the secret of a shared key. https://www.twilio.com/docs/usage/webhooks/webhooks-security

    `secrets` has the auth token for False and that secret for True. Raises ForgedReceipt.
    """
    settings = headers.get(SIGNATURE_SETTINGS_HEADER.lower(), "")
    secret = secrets[bool(settings)]
    signature = headers.get(SIGNATURE_HEADER.lower(), "")
    algorithm = get_signature_algorithm(settings)
    if not signature:
        raise ForgedReceipt("the signature is missing")
    if not secret or not RequestValidator(secret).validate(url, signed, signature, algorithm):
        raise ForgedReceipt(f"the signature does not match the URL {url.partition('?')[0]}")
