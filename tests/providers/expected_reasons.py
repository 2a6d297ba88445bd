"""List what each documented code of a vendor means: the reason, its category and its effects."""

from domain.failure_reasons import ReasonCategory
from domain.suppressions import (
    SuppressionReason,
)

R, C, A, U = ReasonCategory
BOUNCED, OPTED_OUT, COMPLAINED = SuppressionReason.BOUNCED, SuppressionReason.OPTED_OUT, SuppressionReason.COMPLAINED
Expected = tuple[str, ReasonCategory, SuppressionReason | None, bool]

# Reasons of `dropped`, as documented: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
DROPPED: dict[str, Expected] = {
    "Invalid SMTPAPI header": ("bad_request", C, None, False),
    "Spam Content (if Spam Checker app is enabled)": ("content_blocked", C, None, False),
    "Spam Content": ("content_blocked", C, None, False),
    "Unsubscribed Address": ("unsubscribed", R, OPTED_OUT, False),
    "Bounced Address": ("bounced_before", R, BOUNCED, False),
    "Spam Reporting Address": ("complained_before", R, COMPLAINED, False),
    "Invalid": ("invalid_address", R, BOUNCED, False),
    "Recipient List over Package Quota": ("quota_exceeded", A, None, True),
}
CLASSIFIED: dict[str, Expected] = {
    "Invalid Address": ("invalid_address", R, BOUNCED, False),
    "Mailbox Unavailable": ("mailbox_unavailable", R, None, False),
    "Technical Failure": ("technical_failure", U, None, False),
    "Content": ("content_blocked", C, None, False),
    "Reputation": ("reputation_blocked", A, None, False),
    "Frequency or Volume Too High": ("too_many_messages", A, None, False),
}
# Causes of `failed`: https://github.com/mailgun/documentation/blob/master/source/api-stats.rst
MAILGUN: dict[str, Expected] = {
    "suppress-bounce": ("bounced_before", R, BOUNCED, False),
    "suppress-complaint": ("complained_before", R, COMPLAINED, False),
    "suppress-unsubscribe": ("unsubscribed", R, OPTED_OUT, False),
    "old": ("validity_expired", U, None, False),
    "espblock": ("reputation_blocked", A, None, False),
}
MAILGUN_ERRORS: dict[str, Expected] = {
    "authorized recipients": ("unverified_recipient", A, None, False),
    "not allowed to send": ("account_suspended", A, None, True),
    "activate your mailgun account": ("account_suspended", A, None, True),
    "from parameter": ("sender_refused", A, None, True),
    "to parameter is not a valid address": ("invalid_address", R, BOUNCED, False),
    "need at least one of text": ("empty_message", C, None, False),
    "send options": ("bad_request", C, None, False),
}
TWILIO: dict[int, Expected] = {
    30001: ("queue_full", U, None, False),
    30002: ("account_suspended", A, None, True),
    30003: ("unreachable", U, None, False),
    30004: ("blocked", R, None, False),
    30005: ("unknown_number", R, BOUNCED, False),
    30006: ("landline", R, None, False),
    30007: ("content_blocked", C, None, False),
    30008: ("unknown_error", U, None, False),
    30009: ("technical_failure", U, None, False),
    30010: ("price_limit_exceeded", A, None, False),
    30017: ("technical_failure", U, None, False),
    30018: ("sender_not_registered", A, None, True),
    30019: ("too_large", C, None, False),
    30022: ("too_many_messages", A, None, False),
    30023: ("quota_exceeded", A, None, True),
    30024: ("sender_not_registered", A, None, True),
    30027: ("quota_exceeded", A, None, True),
    30032: ("sender_not_registered", A, None, True),
    30034: ("sender_not_registered", A, None, True),
    30035: ("sender_not_registered", A, None, True),
    30036: ("validity_expired", U, None, False),
    30038: ("content_blocked", C, None, False),
    30410: ("technical_failure", U, None, False),
    30500: ("technical_failure", U, None, False),
    31999: ("unknown_error", U, None, False),
}
# Errors of a request: nothing was sent, so only an opt-out suppresses.
REQUESTS: dict[int, Expected] = {
    20003: ("credentials_refused", A, None, True),
    20404: ("account_not_found", A, None, True),
    20429: ("throttled", U, None, False),
    21211: ("invalid_address", R, None, False),
    21212: ("sender_refused", A, None, True),
    21214: ("unreachable", U, None, False),
    21217: ("invalid_address", R, None, False),
    21265: ("invalid_address", R, None, False),
    21266: ("invalid_address", R, None, False),
    21267: ("sender_refused", A, None, True),
    21268: ("invalid_address", R, None, False),
    21408: ("region_not_enabled", A, None, False),
    21602: ("empty_message", C, None, False),
    21603: ("sender_refused", A, None, True),
    21606: ("sender_refused", A, None, True),
    21608: ("unverified_recipient", A, None, False),
    21609: ("callback_url_refused", A, None, True),
    21610: ("opted_out", R, OPTED_OUT, False),
    21611: ("queue_full", U, None, False),
    21612: ("unreachable", U, None, False),
    21614: ("not_a_mobile_number", R, None, False),
    21617: ("too_long", C, None, False),
    21619: ("empty_message", C, None, False),
    21635: ("landline", R, None, False),
    21659: ("sender_refused", A, None, True),
    21660: ("sender_refused", A, None, True),
    21661: ("sender_refused", A, None, True),
    21703: ("messaging_service_empty", A, None, True),
    21704: ("messaging_service_empty", A, None, True),
}
# Meaning: the codes of Vonage, https://developer.vonage.com/en/api-errors/messages
VONAGE_CODES: dict[Expected, str] = {
    ("invalid_address", R, BOUNCED, False): "1170 1430",
    ("unknown_number", R, BOUNCED, False): "1190",
    ("opted_out", R, OPTED_OUT, False): "1240",
    ("blocked", R, None, False): "1050 1280",
    ("refused_recipient", R, None, False): "1290 1300 1310 1483",
    ("bad_request", C, None, False): "1010 1020 1040 1130 1150 1320 1400 1410 1440 1450",
    ("content_blocked", C, None, False): "1210 1270 1282",
    ("content_refused", C, None, False): "1482",
    ("too_long", C, None, False): "1090",
    ("account_suspended", A, None, True): "1060",
    ("quota_exceeded", A, None, True): "1070",
    ("feature_not_enabled", A, None, True): "1080 1140",
    ("sender_refused", A, None, True): "1120 1420 1476",
    ("sender_not_registered", A, None, True): "1480 1481 1484",
    ("unverified_recipient", A, None, False): "1160",
    ("region_not_enabled", A, None, False): "1251",
    ("too_many_messages", A, None, False): "1241 1460",
    ("blocked_by_fraud_rule", A, None, False): "1470 1472 1473 1474 1475 2001",
    ("throttled", U, None, False): "1000",
    ("technical_failure", U, None, False): "1030 1100 1200 1230 1331",
    ("unreachable", U, None, False): "1180 1220 1250 1260",
    ("validity_expired", U, None, False): "1360",
    ("unknown_error", U, None, False): "1330",
}
VONAGE: dict[str, Expected] = {code: means for means, some in VONAGE_CODES.items() for code in some.split()}
# Meaning: its enhanced status codes, without their class.
STATUSES: dict[Expected, str] = {
    ("invalid_address", R, BOUNCED, False): "1.1 1.2 1.3 1.4 1.6 1.9 1.10",
    ("refused_recipient", R, None, False): "1.0 5.0",
    ("mailbox_unavailable", R, None, False): "2.0 2.4",
    ("mailbox_disabled", R, None, False): "2.1 7.17 7.18",
    ("mailbox_full", R, None, False): "2.2",
    ("international_address_not_supported", R, None, False): "6.7 6.8 6.9 6.10",
    ("refused_by_policy", R, None, False): "7.0 7.1 7.2",
    ("too_large", C, None, False): "2.3 3.4",
    ("bad_request", C, None, False): "3.6",
    ("content_refused", C, None, False): (
        "6.0 6.1 6.2 6.3 6.4 6.5 6.6 7.3 7.4 7.5 7.6 7.7 7.15 7.16 7.19 7.20 7.21 7.22"
    ),
    ("sender_refused", A, None, True): "1.7 1.8 7.23 7.24 7.26 7.27 7.29",
    ("credentials_refused", A, None, True): "7.8 7.9 7.12",
    ("server_unsuitable", A, None, True): "7.10 7.11 7.14 7.30",
    ("account_suspended", A, None, True): "7.13",
    ("reputation_blocked", A, None, False): "7.25",
    ("too_many_messages", A, None, False): "7.28",
    ("validity_expired", U, None, False): "4.7",
    ("technical_failure", U, None, False): ("3.0 3.1 3.2 3.3 3.5 4.0 4.1 4.2 4.3 4.4 4.5 4.6 5.1 5.2 5.3 5.4 5.5 5.6"),
}
SMTP: dict[str, Expected] = {status: means for means, some in STATUSES.items() for status in some.split()}
# Types and subtypes of bounces, and the status of the reply:
# https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
SES: dict[tuple[str, str, str], Expected] = {
    ("Permanent", "General", "5.1.1"): ("invalid_address", R, BOUNCED, False),
    ("Permanent", "General", "None"): ("invalid_address", R, BOUNCED, False),
    ("Permanent", "General", "5.7.1"): ("refused_by_policy", R, None, False),
    ("Permanent", "NoEmail", "5.1.1"): ("invalid_address", R, BOUNCED, False),
    ("Permanent", "Suppressed", "5.1.1"): ("bounced_before", R, BOUNCED, False),
    ("Permanent", "OnAccountSuppressionList", "5.1.1"): ("bounced_before", R, BOUNCED, False),
    ("Permanent", "SomethingNew", "None"): ("unknown_error", U, None, False),
    ("Transient", "General", "None"): ("unknown_error", U, None, False),
    ("Transient", "General", "4.4.1"): ("technical_failure", U, None, False),
    ("Transient", "General", "5.1.1"): ("refused_recipient", R, None, False),
    ("Transient", "MailboxFull", "5.2.2"): ("mailbox_full", R, None, False),
    ("Transient", "MessageTooLarge", "5.3.4"): ("too_large", C, None, False),
    ("Transient", "CustomTimeoutExceeded", "4.4.7"): ("validity_expired", U, None, False),
    ("Transient", "ContentRejected", "5.7.1"): ("content_blocked", C, None, False),
    ("Transient", "AttachmentRejected", "5.7.1"): ("content_blocked", C, None, False),
    ("Undetermined", "Undetermined", "None"): ("unknown_error", U, None, False),
    ("Undetermined", "Undetermined", "5.1.1"): ("refused_recipient", R, None, False),
}
# https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
APNS: dict[str, Expected] = {
    **dict.fromkeys(("BadCollapseId", "BadExpirationDate", "BadMessageId"), ("bad_request", C, None, False)),
    **dict.fromkeys(("BadPriority", "DuplicateHeaders", "InvalidPushType"), ("bad_request", C, None, False)),
    "PayloadEmpty": ("bad_request", C, None, False),
    "PayloadTooLarge": ("too_large", C, None, False),
    **dict.fromkeys(("BadDeviceToken", "MissingDeviceToken"), ("invalid_token", R, None, False)),
    **dict.fromkeys(("Unregistered", "ExpiredToken"), ("unregistered", R, None, False)),
    **dict.fromkeys(("BadTopic", "MissingTopic", "TopicDisallowed"), ("sender_refused", A, None, True)),
    "DeviceTokenNotForTopic": ("sender_mismatch", R, None, False),
    **dict.fromkeys(("BadCertificate", "BadCertificateEnvironment"), ("credentials_refused", A, None, True)),
    **dict.fromkeys(("BadEnvironmentKeyIdInToken", "UnrelatedKeyIdInToken"), ("credentials_refused", A, None, True)),
    **dict.fromkeys(("InvalidProviderToken", "MissingProviderToken"), ("credentials_refused", A, None, True)),
    "Forbidden": ("credentials_refused", A, None, True),
    **dict.fromkeys(("BadPath", "MethodNotAllowed"), ("unexpected_answer", A, None, True)),
    "ExpiredProviderToken": ("token_expired", U, None, True),
    "TooManyProviderTokenUpdates": ("throttled", U, None, False),
    "TooManyRequests": ("device_throttled", U, None, False),
    **dict.fromkeys(("IdleTimeout", "ServiceUnavailable", "Shutdown"), ("unavailable", U, None, True)),
}
# https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode, with the status of each
FCM: dict[tuple[str, int], Expected] = {
    ("UNREGISTERED", 404): ("unregistered", R, None, False),
    ("SENDER_ID_MISMATCH", 403): ("sender_mismatch", R, None, False),
    ("THIRD_PARTY_AUTH_ERROR", 401): ("apple_or_web_credentials_refused", A, None, False),
    ("QUOTA_EXCEEDED", 429): ("throttled", U, None, False),
    ("UNAVAILABLE", 503): ("unavailable", U, None, True),
    ("INVALID_ARGUMENT", 400): ("bad_request", C, None, False),
    ("UNSPECIFIED_ERROR", 400): ("bad_request", C, None, False),
    ("INTERNAL", 500): ("server_error", U, None, True),
}
