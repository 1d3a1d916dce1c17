"""Publishes notices to the FailureTopic: the one place that knows SNS."""

import json
from typing import TYPE_CHECKING

from delivery.domain.messages import Message

from .channels import FailureNotice, compose
from .incident import IncidentKey, PendingNotice
from .incident_notice import incident_content
from .message_notice import message_content
from .notice import Links
from .policy import NoticePolicy

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


class NoticePublisher:
    """Publishes notices to one topic. A notice is durable when a method returns.

    The client's retries are safe, because a repetition has the same notice id. Every method raises
    ClientError or BotoCoreError if the notice may or may not be published.
    """

    def __init__(
        self, client: "SNSClient", topic_arn: str, *, links: Links, policy: NoticePolicy
    ) -> None:
        self._client = client
        self._topic_arn = topic_arn
        self._links = links
        self._policy = policy

    def publish_message(self, message: Message) -> None:
        """Publish that the message failed, or that it has recovered."""
        self._publish(compose(message_content(message, self._links, self._policy)))

    def publish_incident(self, key: IncidentKey, pending: PendingNotice) -> None:
        """Publish the pending notice of an incident."""
        self._publish(compose(incident_content(key, pending, self._links, self._policy)))

    def _publish(self, notice: FailureNotice) -> None:
        self._client.publish(
            TopicArn=self._topic_arn,
            Subject=notice.subject,
            MessageStructure="json",
            Message=json.dumps(dict(notice.texts)),
            MessageAttributes={
                name: {
                    "DataType": "Number" if isinstance(value, int) else "String",
                    "StringValue": str(value),
                }
                for name, value in notice.attributes.items()
            },
        )
