"""Define the types of a fault run and their recipients: every policy, and every kind of route."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from domain.json_types import Json
from testing.vendors.web_push import FakeWebPush

GIVE_UP_AFTER = "25s"
# In every address and every payload; every leak contains it.
CANARY = "canary"
PHONES = "+1555"


@dataclass(frozen=True, kw_only=True)
class TypeSpec:
    """Describe a type. `words` are the address words that it may use; "" selects no fault. `share` is its weight in the
    background load. `uses_devices`: its recipients are those that own devices.
    """

    key: str
    steps: tuple[Json, ...]
    more: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ("", "silent", "open")
    share: int = 1
    body: str = "Hello {{ name }}"
    uses_devices: bool = False

    @property
    def channels(self) -> list[str]:
        return list(dict.fromkeys(channel for step in self.steps for channel in step["channels"]))


def step(*channels: str, **more: str) -> Json:
    return {"channels": list(channels), **more}


RECONCILE_EMAIL = TypeSpec(key="ask-mail", steps=(step("email"),), more={"delivery_guarantee": "reconcile"}, share=3)
RESEND_EMAIL = TypeSpec(key="again-mail", steps=(step("email"),), more={"delivery_guarantee": "at_least_once"})
RECONCILE_SMS = TypeSpec(key="ask-text", steps=(step("sms"),), more={"delivery_guarantee": "reconcile"}, share=3)
RESEND_SMS = TypeSpec(key="again-text", steps=(step("sms"),), more={"delivery_guarantee": "at_least_once"})
PASSWORD = TypeSpec(key="password", steps=(step("sms"),), more={"delivery_guarantee": "at_most_once", "priority": 1})
ESCALATION = TypeSpec(key="escalation", steps=(step("email", until="delivered", within="3s"), step("sms")))
FALLBACK = TypeSpec(key="fallback", steps=(step("webhook"), step("email")), words=("", "refuse", "error", "flaky"))
FAN_OUT = TypeSpec(key="fan-out", steps=(step("email", "sms", "in_app"),))
WEBHOOK = TypeSpec(key="hook", steps=(step("webhook"),), words=("", "flaky", "throttle", "open", "bounce", "complain"))
RESEND_PUSH = TypeSpec(key="again-push", steps=(step("push"),), words=("",), uses_devices=True)
ONCE_PUSH = replace(RESEND_PUSH, key="once-push", more={"delivery_guarantee": "at_most_once"})
BROWSER = replace(RESEND_PUSH, key="browser", steps=(step("web_push"),))
CHAT = TypeSpec(key="chat", steps=(step("chat"),), words=("",), share=2)
BULK = TypeSpec(key="bulk", steps=(step("email"),), more={"priority": 5}, words=("silent",), share=0)
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
POISON = TypeSpec(key="poison", steps=(step("sms"),), words=("",), share=0, body=ENDLESS)
# To recipients with many devices; the calls to some of them fail.
DEVICES = TypeSpec(key="devices", steps=(step("push"),), more={"give_up_after": "6s"}, words=("",), share=0)
ITEMS = "{{ total }}: {% for item in items %}{{ item.number }} {% endfor %}"
WINDOW = "25s"
DIGEST = TypeSpec(
    key="digest",
    steps=(step("webhook"),),
    more={"digest": {"window": WINDOW, "max_items": 1_000}},
    share=0,
    body=ITEMS,
)

TYPE_SPECS = (
    RECONCILE_EMAIL,
    RESEND_EMAIL,
    RECONCILE_SMS,
    RESEND_SMS,
    PASSWORD,
    ESCALATION,
    FALLBACK,
    FAN_OUT,
    WEBHOOK,
    RESEND_PUSH,
    ONCE_PUSH,
    BROWSER,
    CHAT,
    BULK,
    POISON,
    DEVICES,
    DIGEST,
)

CHAT_URLS = (
    "https://hooks.slack.com/services/T1/B1/{secret}",
    "https://discord.com/api/webhooks/1/{secret}",
    "https://prod-1.westeurope.logic.azure.com/workflows/{secret}/triggers/manual/paths/invoke?sig=1",
    "https://api.telegram.org/bot1:{secret}/sendMessage?chat_id=1",
)
DEVICE_OWNERS = 8  # of each tenant

# The fault that the last digit of a phone number selects.
DIGITS = {"silent": 8, "open": 9}


def templates(type_spec: TypeSpec) -> list[Json]:
    common = {"name": type_spec.key, "language": "en", "variables_schema": {}, "publish": True}
    subject = {"email": {"subject_template": "Hi {{ name }}"}}
    return [
        {**common, "channel": channel, "body_template": type_spec.body, **subject.get(channel, {})}
        for channel in type_spec.channels
    ]


def spec(type_spec: TypeSpec) -> Json:
    names = dict.fromkeys(type_spec.channels, type_spec.key)
    return {"route": list(type_spec.steps), "templates": names, "give_up_after": GIVE_UP_AFTER, **type_spec.more}


def new_recipient(tenant: int, number: int, word: str) -> Json:
    """Return a new recipient with unique addresses, which contain the tenant and the number."""
    return {
        "recipient_id": f"recipient-{number}",
        "email": f"{CANARY}-{tenant}-{number}+{word or 'good'}@example.com",
        "phone": f"{PHONES}{tenant}{number:05}{DIGITS.get(word, 0)}",
        "webhook_url": f"https://hooks.example.com/{CANARY}/{tenant}/{number}/{word or 'good'}",
        "chat_url": CHAT_URLS[number % len(CHAT_URLS)].format(secret=f"{CANARY}-{tenant}-recipient-{number}-"),
    }


def device_owner(number: int) -> str:
    """Return the recipient of the message with this number."""
    return f"owner-{number % DEVICE_OWNERS}"


def devices_of(tenant: int, owner: str, browser: FakeWebPush) -> dict[str, Json]:
    """Return an Android phone, an iPhone and a browser, which reports what it shows if its owner's number is even."""
    name = f"{CANARY}-{tenant}-{owner}-"
    word = "silent" if int(owner.rpartition("-")[2]) % 2 else "good"
    return {
        "android": {"kind": "fcm", "token": f"{name}android"},
        "iphone": {"kind": "apns", "token": f"{name}iphone"},
        "browser": {"kind": "web_push", "subscription": browser.subscription(f"{name}{word}")},
    }
