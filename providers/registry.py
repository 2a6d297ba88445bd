"""All providers: the name is module, stored value, settings prefix, receipt address and metric label in one."""

from providers.base import Provider
from providers.fcm import Fcm
from providers.in_app import InApp
from providers.sandbox import Sandbox
from providers.sendgrid import SendGrid
from providers.smtp import Smtp
from providers.twilio import Twilio
from providers.webhook import Webhook

PROVIDERS: dict[str, type[Provider]] = {
    "fcm": Fcm,
    "in_app": InApp,
    "sandbox": Sandbox,
    "sendgrid": SendGrid,
    "smtp": Smtp,
    "twilio": Twilio,
    "webhook": Webhook,
}
