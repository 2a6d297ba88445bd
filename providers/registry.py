"""List all providers. The name is also the module, stored value, settings prefix, receipt URL and metric label.

An installed package adds its own by an entry point of the group `tocsin.providers`.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from config.sources import InvalidSettings
from providers.apns.adapter import Apns
from providers.base import Provider
from providers.chat.adapter import Chat
from providers.fcm.adapter import Fcm
from providers.in_app import InApp
from providers.mailgun.adapter import Mailgun
from providers.resend.adapter import Resend
from providers.sandbox import Sandbox
from providers.sendgrid.adapter import SendGrid
from providers.ses.adapter import Ses
from providers.smtp.adapter import Smtp
from providers.twilio.adapter import Twilio
from providers.vonage.adapter import Vonage
from providers.web_push.adapter import WebPush
from providers.webhook import Webhook

ENTRY_POINTS = "tocsin.providers"
PROVIDERS: dict[str, type[Provider]] = {
    "apns": Apns,
    "chat": Chat,
    "fcm": Fcm,
    "in_app": InApp,
    "mailgun": Mailgun,
    "resend": Resend,
    "sandbox": Sandbox,
    "sendgrid": SendGrid,
    "ses": Ses,
    "smtp": Smtp,
    "twilio": Twilio,
    "vonage": Vonage,
    "web_push": WebPush,
    "webhook": Webhook,
}


@cache
def available_providers() -> dict[str, type[Provider]]:
    """Return the providers of Tocsin and of installed packages, by name.

    Raises InvalidSettings for an entry point that does not load, is no `Provider` of that name, or has a name of ours.
    """
    installed = {point.name: _load_provider(point) for point in entry_points(group=ENTRY_POINTS)}
    return {**installed, **PROVIDERS}


def _load_provider(point: EntryPoint) -> type[Provider]:
    origin = f"the provider {point.name} of the package {point.dist.name if point.dist else '?'}"
    if point.name in PROVIDERS:
        raise InvalidSettings(f"{origin} has the name of a provider of Tocsin: rename it, or remove the package")
    try:
        provider = point.load()
    except (ImportError, AttributeError) as error:
        raise InvalidSettings(f"{origin} cannot be loaded: {error}") from error
    if not (isinstance(provider, type) and issubclass(provider, Provider) and provider.name == point.name):
        raise InvalidSettings(f"{origin} must be a subclass of providers.base.Provider whose `name` is {point.name}")
    return provider
