"""Define the settings of `twilio`."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from config.sources import ProviderSettings


class TwilioSettings(ProviderSettings, env_prefix="TOCSIN_TWILIO_", validate_by_name=True):
    """Hold the settings. `sender` is TOCSIN_TWILIO_FROM; set it or a messaging service.

    `webhook_secret` is the secret of a shared key, for callbacks signed with one instead of the auth token.
    `answers_keywords` is False if Twilio's support has switched its answers to STOP, START and HELP off.
    """

    account_sid: str
    auth_token: SecretStr
    sender: str = Field("", alias="from")
    messaging_service_sid: str = ""
    webhook_secret: SecretStr = SecretStr("")
    answers_keywords: bool = True
    base_url: str = "https://api.twilio.com"

    @model_validator(mode="after")
    def _validate_sender(self) -> Self:
        if bool(self.sender) is bool(self.messaging_service_sid):
            raise ValueError("set either TOCSIN_TWILIO_FROM or TOCSIN_TWILIO_MESSAGING_SERVICE_SID")
        return self
