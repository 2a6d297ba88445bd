"""Define the settings of `web_push`."""

import re

from pydantic import SecretStr, field_validator

from config.sources import ProviderSettings
from providers.web_push.vapid import load_private_key

# Apple refuses a subject that is neither an address of a public domain nor an https URL.
SUBJECT = re.compile(r"mailto:[^\s@]+@[^\s@]+\.[^\s@.]+|https://[^\s/]+\S*")


class WebPushSettings(ProviderSettings, env_prefix="TOCSIN_WEB_PUSH_"):
    """Hold the settings. Browsers subscribe with the public key of `private_key`, so a new key loses them all."""

    private_key: SecretStr
    subject: str

    @field_validator("private_key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        load_private_key(value.get_secret_value())
        return value

    @field_validator("subject")
    @classmethod
    def _check_subject(cls, value: str) -> str:
        if SUBJECT.fullmatch(value) is None:
            raise ValueError("must be a contact of the operator, such as mailto:ops@example.com or https://example.com")
        return value
