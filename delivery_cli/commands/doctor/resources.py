"""What the stack consists of: is every part switched on, and does anything pile up."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from delivery_cli.commands.doctor.finding import Finding, ok, wrong
from delivery_cli.commands.redrive.routes import ROUTES
from delivery_cli.target import Place

_DEAD: Final = ("DeadLetterQueue", "FailuresQueue")
"""How the logical ids of queues end that should be empty."""
_ERRORS: Final = frozenset({"ERROR", "CRITICAL"})
_PATTERN: Final = '{ ($.level = "ERROR") || ($.level = "CRITICAL") }'
_RECENT: Final = timedelta(hours=1)
_MAX_EVENTS: Final = 100
_DEPLOY: Final = "Deploy the stack again; it puts this right."


def stream(place: Place) -> Iterator[Finding]:
    """The messages' table has the stream from which notices are told."""
    name = place.stack.outputs["MessagesTableName"]
    table = place.account.tables.describe_table(TableName=name)["Table"]
    said = table.get("StreamSpecification", {})
    if not said.get("StreamEnabled") or said.get("StreamViewType") != "NEW_AND_OLD_IMAGES":
        yield wrong(
            "stream",
            "The stream of MessagesTable is off, or does not carry new and old images: failures "
            "are told only by the sweep, minutes late.",
            _DEPLOY,
        )
        return
    arns = [
        mapping.get("EventSourceArn")
        for mapping in place.account.functions.list_event_source_mappings(
            FunctionName=place.physical_id("NotifyFailureFunction")
        )["EventSourceMappings"]
    ]
    if table.get("LatestStreamArn") not in arns:
        yield wrong(
            "stream",
            "NotifyFailureFunction reads another stream than the one that MessagesTable has now, "
            "or none: failures are told only by the sweep, minutes late.",
            "The stream was switched off and on, or the table was restored: docs/operations.md, "
            f"Restore from a backup, says how it is read again: {table.get('LatestStreamArn')}",
        )
        return
    yield ok("stream", "MessagesTable has its stream, and NotifyFailureFunction reads it.")


def sources(place: Place) -> Iterator[Finding]:
    """Everything that a function reads from is switched on, and its last batch went well."""
    healthy = 0
    for name, physical_id in _of(place, "AWS::Lambda::EventSourceMapping").items():
        mapping = place.account.functions.get_event_source_mapping(UUID=physical_id)
        state, result = mapping.get("State", "?"), mapping.get("LastProcessingResult", "")
        if state != "Enabled":
            yield wrong(
                "sources",
                f"The event source mapping {name} is {state}, not Enabled: what waits there is "
                "not worked on.",
                f"aws lambda update-event-source-mapping --enabled --uuid {physical_id}",
            )
        elif result.startswith("PROBLEM"):
            yield wrong(
                "sources",
                f"The event source mapping {name} has trouble: {result}",
                "Look at the log of its function, and at the permissions of its role.",
            )
        else:
            healthy += 1
    if healthy:
        yield ok("sources", f"Event source mappings enabled, and without trouble: {healthy}.")


def schedules(place: Place) -> Iterator[Finding]:
    """Every schedule runs."""
    healthy = 0
    for name, physical_id in _of(place, "AWS::Scheduler::Schedule").items():
        state = place.account.schedules.get_schedule(Name=physical_id)["State"]
        if state != "ENABLED":
            yield wrong(
                "schedules",
                f"The schedule {name} is {state}: what it does by the clock is not done.",
                f"Enable {physical_id} in EventBridge Scheduler, or deploy the stack again.",
            )
        else:
            healthy += 1
    if healthy:
        yield ok("schedules", f"Schedules enabled: {healthy}.")


def topics(place: Place) -> Iterator[Finding]:
    """Somebody hears what is told; a subscription that is not confirmed hears nothing."""
    for name, arn in _of(place, "AWS::SNS::Topic").items():
        pages = place.account.topics.get_paginator("list_subscriptions_by_topic").paginate(
            TopicArn=arn
        )
        subscriptions = [it for page in pages for it in page["Subscriptions"]]
        confirmed = [it for it in subscriptions if it["SubscriptionArn"].startswith("arn:")]
        # One that was removed stays listed as Deleted for a while.
        pending = [it for it in subscriptions if it["SubscriptionArn"] == "PendingConfirmation"]
        for subscription in pending:
            yield wrong(
                "topics",
                f"{subscription.get('Endpoint')} has not confirmed the subscription to {name}.",
                "Follow the link in the mail from AWS; it is good for three days. After that "
                f"subscribe again: aws sns subscribe --topic-arn {arn} --protocol "
                f"{subscription.get('Protocol')} --notification-endpoint "
                f"{subscription.get('Endpoint')}",
            )
        if confirmed:
            yield ok("topics", f"Confirmed subscribers of {name}: {len(confirmed)}.")
        elif not pending:
            yield wrong(
                "topics",
                f"Nobody is subscribed to {name}: nobody is told.",
                f"Deploy with an email address, or: aws sns subscribe --topic-arn {arn} "
                "--protocol email --notification-endpoint you@example.com",
            )


def alarms(place: Place) -> Iterator[Finding]:
    """No alarm rings."""
    names = _of(place, "AWS::CloudWatch::Alarm")
    if not names:
        return
    described = place.account.alarms.describe_alarms(AlarmNames=list(names.values()))
    ringing = [it for it in described["MetricAlarms"] if it["StateValue"] == "ALARM"]
    logical_ids = {physical_id: name for name, physical_id in names.items()}
    for alarm in ringing:
        name = logical_ids[alarm["AlarmName"]]
        since = f"{alarm['StateUpdatedTimestamp'].astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        yield wrong(
            "alarms",
            f"{name} rings since {since} UTC: {alarm.get('StateReason', '')}",
            f"docs/operations.md, {name}, says what it means and what to do.",
        )
    if not ringing:
        yield ok("alarms", f"Alarms that are quiet: all of {len(names)}.")


def queues(place: Place) -> Iterator[Finding]:
    """Nothing was given up."""
    empty = 0
    redriven = {route.dead_letters: which for which, route in ROUTES.items()}
    for name, url in _of(place, "AWS::SQS::Queue").items():
        if not name.endswith(_DEAD):
            continue
        answer = place.account.queues.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )
        count = sum(int(value) for value in answer["Attributes"].values())
        if not count:
            empty += 1
            continue
        again = (
            f" Once the cause is gone: delivery redrive {redriven[name]}"
            if name in redriven
            else ""
        )
        yield wrong(
            "queues",
            f"{name} holds {count}.",
            f"docs/operations.md, Dead-letter queues, says what they are and what to do.{again}",
        )
    if empty:
        yield ok("queues", f"Dead-letter queues that are empty: {empty}.")


def functions(place: Place) -> Iterator[Finding]:
    """Every function can run, and none has logged an error of late."""
    healthy = 0
    for name, physical_id in _of(place, "AWS::Lambda::Function").items():
        found = place.account.functions.get_function_configuration(FunctionName=physical_id)
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        group = found.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{physical_id}"
        if state not in {"Active", "Inactive"} or update == "Failed":
            reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or ""
            yield wrong("functions", f"{name} is {state}, last update {update}. {reason}", _DEPLOY)
        elif errors := _errors(place, group):
            last = errors[-1]
            yield wrong(
                "functions",
                f"{name} logged {_count(errors)} in the last hour; the last, at {last['at']} "
                f"UTC: {last['what']}",
                f"aws logs tail {group} --since 1h --filter-pattern '{_PATTERN}'",
            )
        else:
            healthy += 1
    if healthy:
        yield ok("functions", f"Functions active, and without errors in the last hour: {healthy}.")


def _errors(place: Place, group: str) -> list[Mapping[str, str]]:
    """The errors that the group's first page of the last hour shows: it only has to be cheap."""
    since = datetime.now(UTC) - _RECENT
    events = place.account.logs.filter_log_events(
        logGroupName=group,
        startTime=int(since.timestamp() * 1000),
        filterPattern=_PATTERN,
        limit=_MAX_EVENTS,
    )["events"]
    errors: list[Mapping[str, str]] = []
    for event in events:
        try:
            line: Any = json.loads(event["message"])
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("level") in _ERRORS:
            at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            what = line.get("message") or line.get("errorMessage") or line.get("errorType") or "?"
            reason = f" ({line['reason']})" if "reason" in line else ""
            errors.append({"at": f"{at:%H:%M:%S}", "what": f"{what}{reason}"})
    return errors


def _count(errors: list[Mapping[str, str]]) -> str:
    if len(errors) == 1:
        return "an error"
    return f"{len(errors)}{' or more' if len(errors) == _MAX_EVENTS else ''} errors"


def _of(place: Place, kind: str) -> Mapping[str, str]:
    """The stack's resources of one type: physical ids by logical ids."""
    return {
        name: resource.physical_id
        for name, resource in place.resources.items()
        if resource.kind == kind
    }
