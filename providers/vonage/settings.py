"""Define the settings of `vonage`."""

from collections.abc import Iterator

from pydantic import Field, SecretStr

from config.sources import ProviderSettings
from providers.vonage.tokens import read_private_key


class VonageSettings(ProviderSettings, env_prefix="TOCSIN_VONAGE_", validate_by_name=True):
    """`sender` is TOCSIN_VONAGE_FROM. `webhook_secret` is the account's signature secret; without it no callback is
    accepted.
    """

    api_key: str
    api_secret: SecretStr
    application_id: str = ""
    private_key: SecretStr = SecretStr("")
    sender: str = Field(alias="from")
    webhook_secret: SecretStr = SecretStr("")
    base_url: str = "https://api.nexmo.com"
    account_url: str = "https://rest.nexmo.com"

    def problems(self) -> Iterator[str]:
        private_key = self.private_key.get_secret_value()
        if bool(self.application_id) is not bool(private_key):
            yield "set both TOCSIN_VONAGE_APPLICATION_ID and TOCSIN_VONAGE_PRIVATE_KEY, or neither"
        try:
            if private_key:
                read_private_key(private_key)
        except ValueError as error:
            yield f"TOCSIN_VONAGE_PRIVATE_KEY: {error}"
