"""Define the settings of `ses`."""

from collections.abc import Iterator

from pydantic import EmailStr, Field, SecretStr

from config.sources import ProviderSettings

CHINA = "cn-"


class SesSettings(ProviderSettings, env_prefix="TOCSIN_SES_", validate_by_name=True):
    """Hold the settings. Without an access key, the default chain of AWS finds the credentials. `topic_arn` lists the
    SNS topics, separated by commas; without one, every receipt is refused. An empty URL is that of the region.
    """

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$")
    access_key_id: str = ""
    secret_access_key: SecretStr = SecretStr("")
    sender: EmailStr = Field(alias="from")
    from_name: str = ""
    configuration_set: str = ""
    topic_arn: str = ""
    base_url: str = ""
    sns_url: str = ""

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(topic.strip() for topic in self.topic_arn.split(",") if topic.strip())

    @property
    def api_url(self) -> str:
        """Return the address of the API: https://docs.aws.amazon.com/general/latest/gr/ses.html"""
        return self.base_url.rstrip("/") or f"https://email.{self._host}"

    @property
    def sns_origin(self) -> str:
        """Return the address of certificates and subscriptions: https://docs.aws.amazon.com/general/latest/gr/sns.html"""
        return self.sns_url.rstrip("/") or f"https://sns.{self._host}"

    @property
    def _host(self) -> str:
        return f"{self.region}.amazonaws.com" + (".cn" if self.region.startswith(CHINA) else "")

    def problems(self) -> Iterator[str]:
        if bool(self.access_key_id) != bool(self.secret_access_key.get_secret_value()):
            yield "TOCSIN_SES_ACCESS_KEY_ID and TOCSIN_SES_SECRET_ACCESS_KEY: set both, or none to use the chain of AWS"
