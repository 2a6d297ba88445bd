"""List the harness of every provider, by its name."""

from tests.providers.harness import Harness
from tests.providers.harness_apns import ApnsHarness
from tests.providers.harness_chat import ChatHarness
from tests.providers.harness_fcm import FcmHarness
from tests.providers.harness_http import HttpHarness
from tests.providers.harness_mailgun import MailgunHarness
from tests.providers.harness_own import InAppHarness, SandboxHarness
from tests.providers.harness_resend import ResendHarness
from tests.providers.harness_sendgrid import SendGridHarness
from tests.providers.harness_ses import SesHarness
from tests.providers.harness_smtp import SmtpHarness
from tests.providers.harness_twilio import TwilioHarness
from tests.providers.harness_vonage import VonageHarness
from tests.providers.harness_web_push import WebPushHarness
from tests.providers.harness_webhook import WebhookHarness

HARNESSES: dict[str, Harness] = {
    "apns": ApnsHarness(),
    "chat": ChatHarness(),
    "fcm": FcmHarness(),
    "in_app": InAppHarness(),
    "mailgun": MailgunHarness(),
    "resend": ResendHarness(),
    "sandbox": SandboxHarness(),
    "sendgrid": SendGridHarness(),
    "ses": SesHarness(),
    "smtp": SmtpHarness(),
    "twilio": TwilioHarness(),
    "vonage": VonageHarness(),
    "web_push": WebPushHarness(),
    "webhook": WebhookHarness(),
}

HTTP_HARNESSES = {name: harness for name, harness in HARNESSES.items() if isinstance(harness, HttpHarness)}
