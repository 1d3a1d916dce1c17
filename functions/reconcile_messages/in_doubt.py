"""Resolves requests in doubt by evidence, with presumed abort.

Evidence is a message that carries the request's id (`request_id`), or exactly one unclaimed message
in Twilio's list that matches exactly one request (`match`). Twilio's list lags by minutes, so it is
read once a request has been in doubt for `InDoubtTimeoutMinutes`. Without evidence the request is
presumed unsent: https://en.wikipedia.org/wiki/Two-phase_commit_protocol#Presumed_abort_and_presumed_commit

A request that is presumed unsent is first marked so and then recorded as a failed message; when its
message turns up, the other way round. A run that dies in between leaves the request on the
worklist, and the next run repeats the rest.

A request that was sent is on the worklist while its message is not in the table, because neither
the table nor the CallbackQueue accepted it: no callback may ever report that message.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import batched
from typing import Final

from delivery.domain.messages import Message, Source, StatusUpdate
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.domain.statuses import MessageStatus
from delivery.runtime.deadline import TimeLeft
from delivery.storage.messages import Recorded
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import ItemUnreadable, StoreUnavailable
from delivery.twilio.client import (
    RESERVED_SECONDS,
    MessageResource,
    OutcomeUnknown,
    RequestRejected,
    TwilioError,
)
from delivery.twilio.credentials import ApiCredentials, TwilioSecret, UnknownAccount

from . import reports
from .context import ReconcileContext
from .matching import CLOCK_SKEW, Ambiguous, Candidates, evidence_for
from .matching import matches as is_match
from .reports import ReconcileReport

_BATCH_SIZE: Final = 25
_MAX_ERRORS_IN_A_ROW: Final = 3  # then Twilio is the cause, not a recipient
_MAX_PAGES: Final = 10
_MAX_LEASE: Final = timedelta(minutes=15)  # the longest time that Lambda gives a sender


class TooManyMessages(OutcomeUnknown):
    """The recipient got more messages since the request than a run can read."""


class InDoubtResolver:
    """Resolves the requests on the worklist.

    Args:
        context: what every task of a run works with. Its `unconfirmed_after` also limits how long
            after the claim a match can resolve a request, and how long after the claim, or after
            `send_at`, a callback is expected.
        requests: the requests.
        timeout: how long evidence is awaited before a request is presumed unsent.
        key_retention: how long a resolved request keeps its idempotency key.
    """

    def __init__(
        self,
        context: ReconcileContext,
        requests: SendRequestStore,
        *,
        timeout: timedelta,
        key_retention: timedelta,
    ) -> None:
        self._context = context
        self._requests = requests
        self._timeout = timeout
        self._key_retention = key_retention

    def resolve_requests(
        self, secret: TwilioSecret, time_left: TimeLeft
    ) -> Iterator[ReconcileReport]:
        """Resolve every request for which there is evidence, by recipient, the oldest first.

        The others stay on the worklist. The run skips the rest of an account once Twilio refuses
        the account, or after several errors in a row.

        Raises:
            StoreUnavailable: the worklist could not be read.
        """
        groups: defaultdict[tuple[str, str], list[SendRequest]] = defaultdict(list)
        for request in self._requests.unresolved():
            groups[request.account_sid, request.to].append(request)
        presumed = self._presumed_competing(it for group in groups.values() for it in group)
        stopped: set[str] = set()
        errors_in_a_row: Counter[str] = Counter()
        for (account_sid, to), requests in groups.items():
            if time_left() <= RESERVED_SECONDS:
                yield reports.interrupted("too little time is left")
                return
            try:
                others = yield from self._resolve_by_table(requests)
                if account_sid in stopped:
                    continue
                yield from self._backfill(secret, others, time_left)
                competing = presumed.get((account_sid, to), [])
                yield from self._resolve_by_match(secret, others, competing, time_left)
                errors_in_a_row[account_sid] = 0
            except StoreUnavailable as error:
                yield reports.failed(error, request_ids=_ids(requests))
            except (RequestRejected, OutcomeUnknown) as error:
                yield reports.failed(error, request_ids=_ids(requests))
                errors_in_a_row[account_sid] += 1
                if errors_in_a_row[account_sid] == _MAX_ERRORS_IN_A_ROW:
                    stopped.add(account_sid)
                    yield reports.account_stopped(error, account_sid)
            except TwilioError as error:
                stopped.add(account_sid)
                yield reports.account_stopped(error, account_sid)

    def recheck_presumed_unsent(
        self, _secret: TwilioSecret, time_left: TimeLeft
    ) -> Iterator[ReconcileReport]:
        """Look for late callbacks of requests that are presumed unsent, in batches.

        Each run begins with another shard, so that every request has its turn even if no run
        reaches the end of the worklist.

        Raises:
            StoreUnavailable: the worklist could not be read.
        """
        minute = int(self._context.now().timestamp() // 60)
        listed = self._requests.presumed_unsent(first_shard=minute)
        for batch in batched(listed, _BATCH_SIZE, strict=False):
            if time_left() <= RESERVED_SECONDS:
                yield reports.interrupted("too little time is left")
                return
            recorded = {it.message_sid for it in self._context.messages.get_many(_ids(batch))}
            for request in batch:
                try:
                    message = self._message_of(request)
                    if message is not None:
                        yield from self._resolve_as_sent(request, message, evidence="request_id")
                        continue
                    # Missing if the run that presumed it unsent died before it recorded this.
                    if request.request_id not in recorded:
                        yield from self._record_unsent(request)
                    self._expire_if_overdue(request)
                except StoreUnavailable as error:
                    yield reports.failed(error, request_ids=[request.request_id])

    def _presumed_competing(
        self, requests: Iterable[SendRequest]
    ) -> Mapping[tuple[str, str], Sequence[SendRequest]]:
        """Return the presumed unsent requests that may match the same messages as these.

        They are grouped by account and recipient.
        """
        due = [request for request in requests if self._is_due(request)]
        groups: defaultdict[tuple[str, str], list[SendRequest]] = defaultdict(list)
        if due:
            since = min(it.claimed_at for it in due) - _MAX_LEASE - 2 * CLOCK_SKEW
            until = max(it.lease_until for it in due) + 2 * CLOCK_SKEW
            for request in self._requests.presumed_unsent_between(since, until):
                groups[request.account_sid, request.to].append(request)
        return groups

    def _resolve_by_table(
        self, requests: Iterable[SendRequest]
    ) -> Generator[ReconcileReport, None, list[SendRequest]]:
        """Resolve the requests whose message is in the table; returns the others."""
        others = []
        for request in requests:
            is_over = request.state_at(self._context.now()) is not RequestState.IN_PROGRESS
            message = self._message_of(request) if is_over else None
            if message is None:
                others.append(request)
            else:
                yield from self._resolve_as_sent(request, message, evidence="request_id")
        return others

    def _message_of(self, request: SendRequest) -> Message | None:
        messages = self._context.messages
        if request.message_sid is not None:
            return messages.get(request.message_sid)
        return messages.sent_under(request)

    def _backfill(
        self, secret: TwilioSecret, requests: Iterable[SendRequest], time_left: TimeLeft
    ) -> Iterator[ReconcileReport]:
        """Fetch and store the messages that only their requests know.

        Raises:
            TwilioError: Twilio does not answer, or not for this account.
        """
        for request in requests:
            if request.message_sid is None:
                continue
            try:
                resource = self._context.twilio.fetch(
                    secret.for_account(request.account_sid),
                    request.message_sid,
                    time_left=time_left,
                )
            except (UnknownAccount, RequestRejected, OutcomeUnknown) as error:
                self._expire_if_overdue(request)
                yield reports.failed(
                    error, message_sid=request.message_sid, request_id=request.request_id
                )
            else:
                yield from self._record_message(request, resource)
                yield reports.backfilled(request, resource)

    def _resolve_by_match(
        self,
        secret: TwilioSecret,
        requests: Sequence[SendRequest],
        presumed: Sequence[SendRequest],
        time_left: TimeLeft,
    ) -> Iterator[ReconcileReport]:
        """Resolve the requests to one recipient that have been in doubt for long enough.

        Raises:
            TwilioError: Twilio's list could not be read.
        """
        due = [it for it in requests if it.message_sid is None and self._is_due(it)]
        if not due:
            return
        try:
            credentials = secret.for_account(due[0].account_sid)
        except UnknownAccount:  # a later version of the secret may have it
            for request in filter(self._is_past_search, due):
                yield from self._presume_unsent(request)
            return
        claimed_sids = {request.message_sid for request in requests}
        competing = [*(it for it in requests if it.message_sid is None), *presumed]
        try:
            candidates = self._candidates(credentials, competing, claimed_sids, time_left)
        except TooManyMessages:
            now = self._context.now()
            for request in filter(lambda it: now >= self._competes_until(it), due):
                yield from self._presume_unsent(request)
            raise
        for request in due:
            is_too_old = self._is_past_search(request)
            match evidence_for(request, candidates, competing, is_too_old=is_too_old):
                case Message() as message:
                    yield from self._resolve_as_sent(request, message, evidence="request_id")
                case MessageResource() as resource:
                    yield from self._record_message(request, resource)
                case Ambiguous(resources=matches) if self._context.now() < self._competes_until(
                    request
                ):
                    yield reports.ambiguous(request, matches)
                case _:
                    yield from self._presume_unsent(request)

    def _candidates(
        self,
        credentials: ApiCredentials,
        requests: Sequence[SendRequest],
        claimed_sids: Container[str | None],
        time_left: TimeLeft,
    ) -> Candidates:
        """Read what Twilio's list has of these requests, which are all to the same recipient.

        Callbacks of messages that this stack sent carry the id of their request. A message with a
        callback that carries none is another program's.

        Raises:
            TwilioError: the list could not be read.
            ItemUnreadable: this version cannot read the item of a candidate.
        """
        pages = self._context.twilio.list_messages(
            credentials, to=requests[0].to, time_left=time_left
        )
        begins = min(request.claimed_at for request in requests) - CLOCK_SKEW
        listed = [
            resource
            for page in _pages_since(begins, pages)
            for resource in page
            if resource.sid not in claimed_sids and any(is_match(resource, it) for it in requests)
        ]
        sids = [resource.sid for resource in listed]
        unreadable: list[str] = []
        messages = self._context.messages.get_many(sids, unreadable=unreadable.append)
        known = {it.message_sid: it for it in messages}
        if unreadable:  # it may carry the id of one of the requests
            raise ItemUnreadable(f"the item is not a message: {unreadable[0]}")
        unclaimed, message_by_request = [], {}
        for resource in listed:
            message = known.get(resource.sid)
            if message is None and resource.may_be_rejected_creation:
                continue
            if message is not None and message.request_id is not None:
                message_by_request[message.request_id] = message
            elif message is None or all(
                transition.source is not Source.CALLBACK for transition in message.transitions
            ):
                unclaimed.append(resource)
        return Candidates(unclaimed=tuple(unclaimed), message_by_request=message_by_request)

    def _is_due(self, request: SendRequest) -> bool:
        now = self._context.now()
        in_doubt = request.state_at(now) is RequestState.IN_DOUBT
        return in_doubt and now >= request.claimed_at + self._timeout

    def _is_past_search(self, request: SendRequest) -> bool:
        return self._context.now() >= request.claimed_at + self._context.timings.unconfirmed_after

    def _record_message(
        self, request: SendRequest, resource: MessageResource
    ) -> Iterator[ReconcileReport]:
        """Store the message as the request's, unless another request was faster."""
        update = replace(
            self._context.update_from(resource, request.account_sid),
            request_id=request.request_id,
            reference=request.reference,
            context=request.context,
            send_at=request.send_at,
        )
        recorded = self._context.messages.record(update)
        if recorded.message.request_id == request.request_id:
            yield from self._resolve_as_sent(
                request, recorded.message, evidence="match", recorded=recorded
            )

    def _resolve_as_sent(
        self,
        request: SendRequest,
        message: Message,
        *,
        evidence: str,
        recorded: Recorded | None = None,
    ) -> Iterator[ReconcileReport]:
        if request.state is RequestState.PRESUMED_UNSENT:
            self._context.messages.record_superseded(self._unsent_update(request))
        elif request.rejected_claim_id is not None:
            self._context.messages.supersede(request.request_id, self._context.now())
        self._add_request_facts(request, message)
        completed = request.completed(
            RequestState.SENT,
            at=self._context.now(),
            kept_for=self._key_retention,
            message_sid=message.message_sid,
        )
        stored = self._requests.complete(request, completed)
        was_sent = request.state is RequestState.SENT
        if stored.state is RequestState.SENT and not was_sent:
            yield reports.resolved(request, message, evidence=evidence, recorded=recorded)

    def _add_request_facts(self, request: SendRequest, message: Message) -> None:
        """Store what the request knows of its message and callbacks do not report."""
        update = StatusUpdate(
            message_sid=message.message_sid,
            status=message.transitions[0].status,
            at=self._context.now(),
            source=Source.RECONCILE,
            reference=request.reference,
            context=request.context,
            send_at=request.send_at,
        )
        if message.apply(update, self._context.timings) is not message:
            self._context.messages.record(update)

    def _presume_unsent(self, request: SendRequest) -> Iterator[ReconcileReport]:
        """Mark the request first: only the run that marked it may record the failed message."""
        now = self._context.now()
        kept_for = max(self._key_retention, self._expires_at(request) - now)
        presumed = request.completed(RequestState.PRESUMED_UNSENT, at=now, kept_for=kept_for)
        stored = self._requests.complete(request, presumed)
        if stored.state is RequestState.PRESUMED_UNSENT:
            yield from self._record_unsent(request)

    def _record_unsent(self, request: SendRequest) -> Iterator[ReconcileReport]:
        """Record the request as a failed message; only the first run to do so reports it."""
        recorded = self._context.messages.record_unsent_request(self._unsent_update(request))
        if recorded.outcome_changed:
            yield reports.presumed_unsent(request, recorded)

    def _expire_if_overdue(self, request: SendRequest) -> None:
        """Take the request off the worklist once no evidence is expected any more."""
        if self._context.now() >= self._expires_at(request):
            self._requests.complete(request, request.closed())

    def _competes_until(self, request: SendRequest) -> datetime:
        """Return until when a competing request may still match this request's message.

        Expiring this one earlier would leave the competitor as the only candidate and could assign
        it the wrong message.
        """
        return request.lease_until + self._context.timings.unconfirmed_after + 2 * CLOCK_SKEW

    def _expires_at(self, request: SendRequest) -> datetime:
        # A scheduled message has its first callback when it is sent.
        sent_at = request.send_at or request.claimed_at
        return max(self._competes_until(request), sent_at + self._context.timings.unconfirmed_after)

    def _unsent_update(self, request: SendRequest) -> StatusUpdate:
        return StatusUpdate(
            message_sid=request.request_id,
            request_id=request.request_id,
            status=MessageStatus.PRESUMED_UNSENT,
            at=self._context.now(),
            source=Source.RECONCILE,
            account_sid=request.account_sid,
            to=request.to,
            from_=request.from_,
            messaging_service_sid=request.messaging_service_sid,
            reference=request.reference,
            context=request.context,
            send_at=request.send_at,
        )


def _pages_since(
    begins: datetime, pages: Iterable[Sequence[MessageResource]]
) -> Iterator[Sequence[MessageResource]]:
    """Yield the pages of Twilio's list, newest first, up to one with older messages only.

    Raises:
        TooManyMessages: the list is longer than a run can read.
    """
    for number, page in enumerate(pages):
        if number == _MAX_PAGES:
            raise TooManyMessages(f"more than {_MAX_PAGES} pages of messages since the request")
        yield page
        if all(it.date_created is not None and it.date_created < begins for it in page):
            return


def _ids(requests: Iterable[SendRequest]) -> list[str]:
    return [request.request_id for request in requests]
