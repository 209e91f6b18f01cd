"""SNS in memory."""

from dropbatch.ports import Notification


class FakeTopics:
    def __init__(self) -> None:
        self.published: list[Notification] = []

    def publish(self, notification: Notification) -> None:
        self.published.append(notification)

    def events(self) -> list[str]:
        return [notification.event for notification in self.published]
