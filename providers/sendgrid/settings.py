"""Define the settings of `sendgrid`."""

from pydantic import EmailStr, Field, SecretStr

from config.sources import ProviderSettings


class SendGridSettings(ProviderSettings, env_prefix="TOCSIN_SENDGRID_", validate_by_name=True):
    """Hold the settings. `sender` is TOCSIN_SENDGRID_FROM. Without the public key of the Event Webhook, every receipt
    is refused.
    """

    api_key: SecretStr
    sender: EmailStr = Field(alias="from")
    from_name: str = ""
    base_url: str = "https://api.sendgrid.com"
    webhook_public_key: str = ""
