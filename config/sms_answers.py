"""Define the texts that answer the keywords of recipients."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import StringConstraints
from pydantic_settings import SettingsConfigDict

from config.sources import PREFIX, EnvironmentSettings
from domain.inbound_messages import Keyword

# Of each setting: it is not answered. An empty value is the default, as of every setting.
NO_ANSWER = "off"
AnswerText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=480)]


class SmsAnswerSettings(EnvironmentSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX)

    sms_stop_reply: AnswerText = "You are unsubscribed and get no more messages. Reply START to get them again."
    sms_start_reply: AnswerText = "You are subscribed again. Reply HELP for help, STOP to unsubscribe."
    sms_help_reply: AnswerText = "Reply STOP to unsubscribe. Message and data rates may apply."

    @property
    def sms_answers(self) -> Mapping[Keyword, str]:
        """Return the texts by keyword, without those that are off."""
        texts = {
            Keyword.STOP: self.sms_stop_reply,
            Keyword.START: self.sms_start_reply,
            Keyword.HELP: self.sms_help_reply,
        }
        return {keyword: text for keyword, text in texts.items() if text.lower() != NO_ANSWER}
