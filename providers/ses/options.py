"""Build the request of an email. Used by `ses`.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

import base64
import re
from email.headerregistry import Address

from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import email_of, recipient_digest, sender_of
from providers.email_message import build_email
from providers.ses.receipts import COPY_DIGEST, REFERENCE
from providers.ses.settings import SesSettings

# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html
TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
# Headers of an email that instruct SES, such as X-SES-SOURCE-ARN.
INSTRUCTION_PREFIX = "x-ses-"
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_TrackingConfigurationOverrides.html
NO_TRACKING = {"Tracking": {"OpenTrackingEnabled": "DISABLED", "ClickTrackingEnabled": "DISABLED"}}


def build_request(message: OutgoingMessage, settings: SesSettings) -> Json:
    mail = build_email(message, find_sender(message, settings), email_of(message))
    for name in {name for name in mail if name.lower().startswith(INSTRUCTION_PREFIX)}:
        del mail[name]
    destination = {
        "ToAddresses": [email_of(message)],
        "CcAddresses": list(message.email.cc),
        "BccAddresses": list(message.email.bcc),
    }
    request: Json = {
        "Content": {"Raw": {"Data": base64.b64encode(mail.as_bytes()).decode()}},
        "Destination": {name: addresses for name, addresses in destination.items() if addresses},
        "EmailTags": build_tags(message),
    }
    if settings.configuration_set:
        request["ConfigurationSetName"] = settings.configuration_set
    if not message.vendor_tracking:
        request["ConfigurationOverrides"] = NO_TRACKING
    return request


def find_sender(message: OutgoingMessage, settings: SesSettings) -> Address:
    sender = sender_of(message, settings.sender, settings.from_name)
    return Address(sender.name, addr_spec=sender.email)


def build_tags(message: OutgoingMessage) -> list[dict[str, str]]:
    """Return the tags that SES repeats in events. A tag of the send is a name with the value `true`."""
    tags = {tag: "true" for tag in message.tags if TAG.fullmatch(tag)}
    tags[REFERENCE] = str(message.attempt_id)
    if message.email.has_copies:
        tags[COPY_DIGEST] = recipient_digest(message.attempt_id, email_of(message))
    return [{"Name": name, "Value": value} for name, value in tags.items()]
