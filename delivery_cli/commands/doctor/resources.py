"""Checks inside the stack: whether every resource is enabled, and whether work piles up."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from typing import Any, Final

from delivery_cli.commands.doctor.error_log import ERROR_PATTERN, MAX_ERRORS, read_errors
from delivery_cli.commands.doctor.finding import Finding, advice, ok, unknown, wrong
from delivery_cli.commands.redrive.routes import ROUTES
from delivery_cli.target import Target

_DEAD_LETTER_SUFFIXES: Final = ("DeadLetterQueue", "FailuresQueue")
_AUDIT_SCHEDULE: Final = "AuditMessagesFunctionAudit"
"""The only schedule that a parameter disables."""
_REPLAY_CONCURRENCY: Final = 2
"""MaximumConcurrency of the replay of CallbackQueue in template.yaml."""
_MIN_CONCURRENCY_LEFT: Final = 3
"""A status callback, the notifier and reconciliation, at the same time."""
_LOW_QUOTA: Final = 100
"""Established accounts have 1,000; new ones may have 10."""
_FIX_QUOTA: Final = (
    "Request an increase, which is free: aws service-quotas request-service-quota-increase "
    "--service-code lambda --quota-code L-B99A9384 --desired-value 1000."
)
_ALIAS: Final = "live"
"""The alias of every function that everything invokes."""
_PUBLISHED: Final = (
    "CodeSha256",
    "Environment",
    "Handler",
    "Layers",
    "MemorySize",
    "Runtime",
    "Timeout",
)
"""What has to be the same in the published version as in the function that was deployed."""
_DEPLOY: Final = "Deploy the stack again."
_SWEEP_ONLY: Final = "failures are notified only by the sweep, minutes late"


def check_stream(target: Target) -> Iterator[Finding]:
    """Check that MessagesTable has a stream and NotifyFailureFunction reads it."""
    name = target.stack.outputs["MessagesTableName"]
    table = target.account.tables.describe_table(TableName=name)["Table"]
    stream = table.get("StreamSpecification", {})
    if not stream.get("StreamEnabled") or stream.get("StreamViewType") != "NEW_AND_OLD_IMAGES":
        yield wrong(
            f"The stream of MessagesTable is disabled, or lacks new and old images: {_SWEEP_ONLY}.",
            _DEPLOY,
        )
        return
    arns = [
        mapping.get("EventSourceArn")
        for mapping in target.account.functions.list_event_source_mappings(
            FunctionName=f"{target.physical_id('NotifyFailureFunction')}:{_ALIAS}"
        )["EventSourceMappings"]
    ]
    if table.get("LatestStreamArn") not in arns:
        yield wrong(
            f"NotifyFailureFunction does not read the stream of MessagesTable: {_SWEEP_ONLY}.",
            "The stream was disabled and enabled again, or the table was restored. "
            "docs/operations.md, Restore from a backup, describes how to connect it: "
            f"{table.get('LatestStreamArn')}",
        )
        return
    yield ok("MessagesTable has its stream, and NotifyFailureFunction reads it.")


def check_tables(target: Target) -> Iterator[Finding]:
    """Check that every table is protected from deletion."""
    tables = _resources(target, "AWS::DynamoDB::Table")
    unprotected = [
        name
        for name, physical_id in tables.items()
        if not target.account.tables.describe_table(TableName=physical_id)["Table"].get(
            "DeletionProtectionEnabled"
        )
    ]
    if unprotected:
        yield advice(
            f"Not protected from deletion: {', '.join(unprotected)}.",
            "Now that the stack exists, deploy it with TableDeletionProtection=true.",
        )
    else:
        yield ok(f"Tables protected from deletion: {len(tables)}.")


def check_event_sources(target: Target) -> Iterator[Finding]:
    """Check that every event source mapping is enabled and its last batch succeeded."""
    mappings = _resources(target, "AWS::Lambda::EventSourceMapping")
    return _check_each(target, mappings, _mapping_problem, "Event source mappings enabled")


def _mapping_problem(target: Target, name: str, uuid: str) -> Finding | None:
    mapping = target.account.functions.get_event_source_mapping(UUID=uuid)
    state, result = mapping.get("State", "?"), mapping.get("LastProcessingResult", "")
    if state != "Enabled":
        return wrong(
            f"The event source mapping {name} is {state}: its events are not processed.",
            f"aws lambda update-event-source-mapping --enabled --uuid {uuid}",
        )
    if result.startswith("PROBLEM"):
        return wrong(
            f"The event source mapping {name} reports {result}",
            "Check the log of its function, and the permissions of its role.",
        )
    return None


def check_schedules(target: Target) -> Iterator[Finding]:
    """Check that every schedule is enabled."""
    schedules = _resources(target, "AWS::Scheduler::Schedule")
    return _check_each(target, schedules, _schedule_problem, "Schedules enabled")


def _schedule_problem(target: Target, name: str, schedule: str) -> Finding | None:
    state = target.account.schedules.get_schedule(Name=schedule)["State"]
    if state == "ENABLED" or (name == _AUDIT_SCHEDULE and not target.stack.audits_messages):
        return None
    return wrong(
        f"The schedule {name} is {state}: its work is not done.",
        f"Enable {schedule} in EventBridge Scheduler, or deploy the stack again.",
    )


def check_topics(target: Target) -> Iterator[Finding]:
    """Check that every topic has a confirmed subscriber, and every subscription is confirmed."""
    for name, arn in _resources(target, "AWS::SNS::Topic").items():
        pages = target.account.topics.get_paginator("list_subscriptions_by_topic").paginate(
            TopicArn=arn
        )
        subscriptions = [it for page in pages for it in page["Subscriptions"]]
        confirmed = [it for it in subscriptions if it["SubscriptionArn"].startswith("arn:")]
        # A removed subscription stays listed as Deleted for a while.
        pending = [it for it in subscriptions if it["SubscriptionArn"] == "PendingConfirmation"]
        for subscription in pending:
            endpoint = subscription.get("Endpoint")
            yield wrong(
                f"{endpoint} has not confirmed the subscription to {name}.",
                "Open the link in the email from AWS, which is valid for three days; then "
                f"subscribe again: aws sns subscribe --topic-arn {arn} --protocol "
                f"{subscription.get('Protocol')} --notification-endpoint {endpoint}",
            )
        if confirmed:
            yield ok(f"Confirmed subscribers of {name}: {len(confirmed)}.")
        elif not pending:
            yield wrong(
                f"{name} has no confirmed subscribers: notices go nowhere.",
                f"Deploy with an email address, or: aws sns subscribe --topic-arn {arn} "
                "--protocol email --notification-endpoint you@example.com",
            )


def check_alarms(target: Target) -> Iterator[Finding]:
    """Check that no alarm is in state ALARM."""
    names = _resources(target, "AWS::CloudWatch::Alarm")
    if not names:
        return
    pages = target.account.alarms.get_paginator("describe_alarms").paginate(
        AlarmNames=list(names.values())
    )
    alarms = [it for page in pages for it in page["MetricAlarms"]]
    firing = [it for it in alarms if it["StateValue"] == "ALARM"]
    logical_ids = {physical_id: name for name, physical_id in names.items()}
    for alarm in firing:
        name = logical_ids[alarm["AlarmName"]]
        since = f"{alarm['StateUpdatedTimestamp'].astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        yield wrong(
            f"{name} has been in ALARM since {since} UTC: {alarm.get('StateReason', '')}",
            f"docs/operations.md, {name}, explains its meaning and what to do.",
        )
    if not firing:
        yield ok(f"Alarms that are not firing: all {len(names)}.")


def check_queues(target: Target) -> Iterator[Finding]:
    """Check that the dead-letter queues are empty."""
    queues = _resources(target, "AWS::SQS::Queue", suffixes=_DEAD_LETTER_SUFFIXES)
    return _check_each(target, queues, _queue_problem, "Dead-letter queues empty")


def _queue_problem(target: Target, name: str, url: str) -> Finding | None:
    answer = target.account.queues.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    count = sum(int(value) for value in answer["Attributes"].values())
    if not count:
        return None
    fix = "docs/operations.md, Dead-letter queues, explains what they are and what to do."
    redrive_names = {route.source: it for it, route in ROUTES.items()}
    if name in redrive_names:
        fix += f" After fixing the cause: delivery redrive {redrive_names[name]}"
    return wrong(f"Messages in {name}: {count}.", fix)


def check_concurrency(target: Target) -> Iterator[Finding]:
    """Check that the queues leave executions for callbacks, notices and reconciliation."""
    limits = target.account.functions.get_account_settings()["AccountLimit"]
    # Reserved concurrency of other functions is not available to this stack.
    quota = limits.get("UnreservedConcurrentExecutions", limits["ConcurrentExecutions"])
    sending = target.stack.send_concurrency
    left = quota - sending - _REPLAY_CONCURRENCY
    what = (
        f"Lambda runs up to {quota} executions at the same time for this account: SendQueue may "
        f"use {sending}, CallbackQueue {_REPLAY_CONCURRENCY}."
    )
    if left < _MIN_CONCURRENCY_LEFT:
        yield wrong(
            f"{what} The rest is too little for callbacks, notices and reconciliation.",
            f"{_FIX_QUOTA} Or deploy with a smaller SendConcurrency.",
        )
    elif quota < _LOW_QUOTA:
        yield advice(what, f"{_FIX_QUOTA} All functions of the account and region share the quota.")
    else:
        yield ok(what)


def check_functions(target: Target) -> Iterator[Finding]:
    """Check that every function runs what was deployed, and has logged no error recently."""
    functions = _resources(target, "AWS::Lambda::Function")
    healthy = "Functions active, without errors in the last hour"
    return _check_each(target, functions, _function_problem, healthy)


def _function_problem(target: Target, name: str, function: str) -> Finding | None:
    functions = target.account.functions
    deployed: Mapping[str, Any] = functions.get_function_configuration(FunctionName=function)
    found: Mapping[str, Any] = functions.get_function_configuration(
        FunctionName=function, Qualifier=_ALIAS
    )
    state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    group = found.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function}"
    if state not in {"Active", "Inactive"} or update == "Failed":
        reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or ""
        return wrong(f"{name} is {state}, last update {update}. {reason}", _DEPLOY)
    if changed := [it for it in _PUBLISHED if _settled(deployed, it) != _settled(found, it)]:
        return wrong(
            f"{name} runs version {found['Version']}, which is not what was deployed last: its "
            f"alias {_ALIAS} has another {', '.join(changed)}.",
            f"{_DEPLOY} To publish it now: aws lambda publish-version --function-name {function}, "
            f"then aws lambda update-alias --function-name {function} --name {_ALIAS} "
            "--function-version with its number.",
        )
    return _log_problem(target, name, group)


def _log_problem(target: Target, name: str, group: str) -> Finding | None:
    log = read_errors(target.account.logs, group)
    show = f"aws logs tail {group} --since 1h --filter-pattern '{ERROR_PATTERN}'"
    if log.errors:
        more = "" if log.is_complete and len(log.errors) < MAX_ERRORS else " or more"
        return wrong(
            f"Errors that {name} logged in the last hour: {len(log.errors)}{more}. The last: "
            f"{log.errors[-1]}",
            show,
        )
    if not log.is_complete:
        return unknown(f"Not checked: the log of {name} is too large to search all of it.", show)
    return None


def _settled(configuration: Mapping[str, Any], name: str) -> Any:
    """Return a part of a function's configuration, of layers only which versions they are."""
    part = configuration.get(name)
    return [it["Arn"] for it in part] if name == "Layers" and part else part


def _resources(
    target: Target, resource_type: str, suffixes: tuple[str, ...] = ("",)
) -> Mapping[str, str]:
    """Return the physical ids of resources by logical id: of one type, and name ending if given."""
    return {
        name: resource.physical_id
        for name, resource in target.resources.items()
        if resource.type == resource_type and name.endswith(suffixes)
    }


def _check_each(
    target: Target,
    resources: Mapping[str, str],
    find_problem: Callable[[Target, str, str], Finding | None],
    healthy: str,
) -> Iterator[Finding]:
    """Yield the problem of each resource, and the number of those without."""
    count = 0
    for name, physical_id in resources.items():
        if problem := find_problem(target, name, physical_id):
            yield problem
        else:
            count += 1
    if count:
        yield ok(f"{healthy}: {count}.")
