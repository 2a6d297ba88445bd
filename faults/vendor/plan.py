"""Describe the fake vendors of a run, and build them."""

import json
import ssl
from dataclasses import asdict, dataclass
from pathlib import Path

from faults.vendor.keys import VendorKeys
from testing.vendors.apns import FakeApns
from testing.vendors.chat import FakeChat
from testing.vendors.fcm import FakeFcm
from testing.vendors.http import Request
from testing.vendors.log import VendorLog
from testing.vendors.mailgun import FakeMailgun
from testing.vendors.modes import VendorMode
from testing.vendors.resend import FakeResend
from testing.vendors.sendgrid import FakeSendGrid
from testing.vendors.ses import FakeSes
from testing.vendors.twilio import FakeTwilio
from testing.vendors.vendor import FakeVendor
from testing.vendors.vonage import FakeVonage
from testing.vendors.web_push import FakeWebPush

# A token that begins with this belongs to a device whose calls fail.
FAILING_TOKEN = "token-error"


@dataclass(frozen=True, kw_only=True)
class VendorPlan:
    """Hold `ports` by provider and `control`. `keys` are those of VendorKeys as texts, `certificate` is the file for
    TLS. `secret` is Tocsin's: it signs the URLs to which browsers report. `callback` is the target of SendGrid's
    events.
    """

    ports: dict[str, int]
    ledger: str
    keys: dict[str, str]
    certificate: str
    secret: str
    callback: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "VendorPlan":
        return cls(**json.loads(path.read_text()))


class FcmOfSeveralProcesses(FakeFcm):
    """Accept each token that it has issued: every worker has its own."""

    def is_authenticated(self, request: Request) -> bool:
        return request.headers.get("authorization", "").removeprefix("Bearer ") in self.tokens


def build_vendors(plan: VendorPlan, log: VendorLog) -> dict[str, FakeVendor]:
    keys = VendorKeys.from_texts(plan.keys)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(plan.certificate)
    sendgrid, fcm = FakeSendGrid(key=keys.sendgrid, log=log), FcmOfSeveralProcesses(keys.fcm, log=log)
    sendgrid.receipts_url = plan.callback
    fcm.mode_of = lambda token: VendorMode.FAILS if token.startswith(FAILING_TOKEN) else fcm.mode
    chat = FakeChat(log=log)
    chat.telegram_delay = 1
    vendors: list[FakeVendor] = [
        sendgrid,
        FakeTwilio(log=log),
        fcm,
        FakeApns(keys.apns, tls, log=log),
        FakeWebPush(keys.web_push_public, browser_key=keys.browser, secret=keys.browser_secret, log=log),
        chat,
        *(FakeMailgun(log=log), FakeSes(log=log), FakeResend(log=log), FakeVonage(log=log)),
    ]
    return {vendor.name: vendor for vendor in vendors}
