"""For every parameter of the template a value that is not its default, for a deploy with all."""

from collections.abc import Mapping
from typing import Final

CANARY_TO: Final = "+15557770000"

SET_BY_THE_SANDBOX: Final = frozenset({"TwilioApiBaseUrl", "PublicBaseUrl", "Architecture"})
"""They depend on the machine and on its free ports."""

EVERY_PARAMETER: Final[Mapping[str, str]] = {
    "TwilioSecretName": "team/twilio",
    "TwilioSecretKmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333",
    "FailureEmail": "failures@example.com",
    "AlarmEmail": "alarms@example.com",
    "NoticeIntervalMinutes": "1",
    "MutedCategories": "opt_out, content",
    "NoticesShowFullNumbers": "true",
    "StoreMessageBody": "true",
    "MessageRetentionDays": "30",
    "IdempotencyKeyRetentionDays": "7",
    "TableDeletionProtection": "true",
    "LogRetentionDays": "7",
    "SenderSegmentsPerSecond": "50",
    "SendConcurrency": "3",
    "CallbackRateLimit": "400",
    "CallbackBurstLimit": "800",
    "InDoubtTimeoutMinutes": "0.5",
    "ReconcileAfterMinutes": "5",
    "UnconfirmedAfterHours": "1",
    "AuditMode": "all",
    "FailureRatePercent": "50",
    "FailureRateMinMessages": "10",
    "CanaryTo": CANARY_TO,
    "CanaryFrom": "+15005550006",
    "CanaryMessagingServiceSid": f"MG{'5' * 32}",
    "CanaryIntervalHours": "2",
    "OutcomeEventBusName": "default",
    "ArchiveOutcomes": "true",
    "ArchiveRetentionDays": "30",
    "ReportDimensions": "campaign,team",
    "PermissionsBoundaryArn": "arn:aws:iam::aws:policy/AdministratorAccess",
}
