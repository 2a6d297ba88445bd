"""Define the channels of a notification and the contact point that each needs."""

from domain.stored_enums import StoredEnum


class Channel(StoredEnum):
    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    WEB_PUSH = "web_push"
    IN_APP = "in_app"
    WEBHOOK = "webhook"
    CHAT = "chat"


class DeviceKind(StoredEnum):
    FCM = "fcm"
    APNS = "apns"
    WEB_PUSH = "web_push"

    @property
    def channel(self) -> Channel:
        return Channel.WEB_PUSH if self is DeviceKind.WEB_PUSH else Channel.PUSH
