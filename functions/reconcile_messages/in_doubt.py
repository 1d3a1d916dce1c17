"""Finding out what became of requests in doubt, by evidence only.

The evidence is a message that carries the request's id, or exactly one look-alike in Twilio's list
that nobody else can claim, for exactly one request. Twilio's list lags by minutes, and so may what
others know of it; it is asked once a request has been in doubt for `InDoubtTimeoutMinutes`.

A request that was not found is first marked so and then told of, and the other way round if it
turns up: whoever dies in between leaves it on the list, and the next run repeats the rest.

A request that was sent is on the list while its message is not in the table, because neither the
table nor the CallbackQueue took it in: perhaps nobody else will ever tell of it.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from delivery.domain.messages import Effect, Message, Source, StatusUpdate
from delivery.domain.send_requests import RequestState, SendRequest, body_digest
from delivery.domain.statuses import MessageStatus
from delivery.runtime.deadline import TimeLeft
from delivery.storage.messages import MessageStore, Recorded
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import (
    RESERVED_SECONDS,
    MessageResource,
    OutcomeUnknown,
    RequestRejected,
    TwilioClient,
    TwilioError,
)
from delivery.twilio.credentials import TwilioSecret, UnknownAccount

from .reports import Finding, What, said, stopped_by

_CLOCKS_DIFFER: Final = timedelta(seconds=30)  # and Twilio's shows whole seconds
_TRIAL_PREFIX: Final = "Sent from your Twilio trial account - "


class InDoubtResolver:
    """Settles requests whose function left no result.

    Args:
        doubt: how long evidence is waited for.
        search: how long after the claim a message is still claimed by its looks, and how long
            after that, or after `send_at`, a callback is waited for.
        kept_for: how long a settled request keeps its key.
        stores_body: whether the text is stored with a message.
        now: the time.
    """

    def __init__(  # noqa: PLR0913 -- what it works with, named at its one call
        self,
        *,
        twilio: TwilioClient,
        store: MessageStore,
        requests: SendRequestStore,
        doubt: timedelta,
        search: timedelta,
        kept_for: timedelta,
        stores_body: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._twilio = twilio
        self._store = store
        self._requests = requests
        self._doubt = doubt
        self._search = search
        self._kept_for = kept_for
        self._stores_body = stores_body
        self._now = now

    def resolve_requests(self, secret: TwilioSecret, time_left: TimeLeft) -> Iterator[Finding]:
        """Settle every request in doubt that can be; the others stay on the list.

        Raises:
            StoreUnavailable: the list could not be read.
        """
        groups: defaultdict[tuple[str, str], list[SendRequest]] = defaultdict(list)
        for request in self._requests.unresolved():
            groups[request.account_sid, request.to].append(request)
        stopped: set[str] = set()
        for (account_sid, _), requests in groups.items():
            if time_left() <= RESERVED_SECONDS:
                yield Finding(what=What.STOPPED, facts={"reason": "too little time is left"})
                return
            try:
                others = yield from self._resolve_by_table(requests)
                if account_sid not in stopped:
                    yield from self._bring_in(secret, others, time_left)
                    yield from self._resolve_by_match(secret, others, time_left)
            except StoreUnavailable as error:
                facts = {"request_ids": _ids(requests), "reason": str(error)}
                yield Finding(what=What.TROUBLE, facts=facts)
            except TwilioError as error:
                stopped.add(account_sid)
                yield stopped_by(error, account_sid)

    def _resolve_by_table(
        self, requests: Iterable[SendRequest]
    ) -> Generator[Finding, None, list[SendRequest]]:
        """Settle those whose message is in the table; returns the others."""
        others = []
        for request in requests:
            state = request.state_at(self._now())
            if state is not RequestState.IN_PROGRESS:
                message = self._message_of(request)
                if message is not None:
                    yield from self._sent(request, message, evidence="its id")
                    continue
            if state is RequestState.PRESUMED_UNSENT:
                # Again, if whoever found that out died before; and a callback may still come.
                yield from self._record_never_sent(request)
                self._give_up_in_time(request)
            others.append(request)
        return others

    def _message_of(self, request: SendRequest) -> Message | None:
        if request.message_sid is not None:
            return self._store.get(request.message_sid)
        return self._store.sent_under(request.request_id, request.to, request.sent_since)

    def _bring_in(
        self, secret: TwilioSecret, requests: Iterable[SendRequest], time_left: TimeLeft
    ) -> Iterator[Finding]:
        """Store the messages of which nothing but their requests knows.

        Raises:
            TwilioError: Twilio does not answer, or not this account.
        """
        for request in requests:
            if request.message_sid is None:
                continue
            facts = {"message_sid": request.message_sid, "request_id": request.request_id}
            try:
                credentials = secret.for_account(request.account_sid)
                resource = self._twilio.fetch(credentials, request.message_sid, time_left=time_left)
            except (UnknownAccount, RequestRejected, OutcomeUnknown) as error:
                self._give_up_in_time(request)
                yield Finding(what=What.TROUBLE, facts=facts | {"reason": str(error)})
            else:
                yield from self._claimed(request, resource)
                yield Finding(what=What.RECONCILED, facts=facts | {"status": resource.status})

    def _resolve_by_match(
        self, secret: TwilioSecret, requests: Sequence[SendRequest], time_left: TimeLeft
    ) -> Iterator[Finding]:
        """Settle those, all to the same recipient, that were in doubt long enough.

        Raises:
            TwilioError: the list could not be read.
        """
        rivals = [request for request in requests if request.message_sid is None]
        spoken_for = {request.message_sid for request in requests}
        doubtful = [request for request in rivals if self._is_to_be_settled(request)]
        if not doubtful:
            return
        try:
            credentials = secret.for_account(doubtful[0].account_sid)
        except UnknownAccount:  # nobody can be asked; there may be a new secret soon
            for request in filter(self._is_old, doubtful):
                yield from self._not_found(request)
            return
        pages = self._twilio.list_messages(credentials, to=doubtful[0].to, time_left=time_left)
        alike = [
            resource
            for page in pages
            for resource in page
            if resource.sid not in spoken_for
            and any(matches(resource, request) for request in rivals)
        ]
        unclaimed, message_of = self._claims(alike)
        for request in doubtful:
            fitting = [resource for resource in unclaimed if matches(resource, request)]
            contested = any(
                matches(resource, rival)
                for resource in fitting
                for rival in rivals
                if rival.request_id != request.request_id
            )
            if request.request_id in message_of:
                yield from self._sent(request, message_of[request.request_id], evidence="its id")
            elif not fitting:
                yield from self._not_found(request)
            elif len(fitting) > 1 or contested or self._is_old(request):
                yield from self._ambiguous(request, fitting)
            else:
                yield from self._claimed(request, fitting[0])

    def _claims(
        self, resources: Iterable[MessageResource]
    ) -> tuple[list[MessageResource], dict[str, Message]]:
        """Those that nobody claims, and the others by the request's id that they carry.

        A message of ours is called back about with its request's id. One that was called back about
        without, another program has sent.
        """
        unclaimed, message_of = [], {}
        for resource in resources:
            message = self._store.get(resource.sid)
            if message is not None and message.request_id is not None:
                message_of[message.request_id] = message
            elif message is None or all(
                transition.source is not Source.CALLBACK for transition in message.transitions
            ):
                unclaimed.append(resource)
        return unclaimed, message_of

    def _is_to_be_settled(self, request: SendRequest) -> bool:
        now = self._now()
        in_doubt = request.state_at(now) is RequestState.IN_DOUBT
        return in_doubt and now >= request.claimed_at + self._doubt

    def _is_old(self, request: SendRequest) -> bool:
        return self._now() >= request.claimed_at + self._search

    def _claimed(self, request: SendRequest, resource: MessageResource) -> Iterator[Finding]:
        """The message becomes the request's, unless somebody else was faster."""
        update = said(
            resource,
            account_sid=request.account_sid,
            at=self._now(),
            with_body=self._stores_body,
        )
        update = replace(
            update,
            request_id=request.request_id,
            reference=request.reference,
            context=request.context,
            send_at=request.send_at,
        )
        recorded = self._store.record(update)
        if recorded.message.request_id == request.request_id:
            yield from self._sent(
                request, recorded.message, evidence="its looks", recorded=recorded
            )

    def _sent(
        self,
        request: SendRequest,
        message: Message,
        *,
        evidence: str,
        recorded: Recorded | None = None,
    ) -> Iterator[Finding]:
        if request.state is RequestState.PRESUMED_UNSENT:
            self._store.record_superseded(self._never_sent(request))
        self._complete(request, message)
        settled = request.completed(
            RequestState.SENT,
            at=self._now(),
            kept_for=self._kept_for,
            message_sid=message.message_sid,
        )
        known_before = request.state is RequestState.SENT
        if (
            self._requests.complete(request, settled).state is RequestState.SENT
            and not known_before
        ):
            yield Finding(
                what=What.SETTLED,
                facts={
                    "message_sid": message.message_sid,
                    "request_id": request.request_id,
                    "reference": request.reference,
                    "evidence": evidence,
                    "was": request.state,
                },
                recorded=recorded,
            )

    def _complete(self, request: SendRequest, message: Message) -> None:
        """Store what only the request knows of its message: callbacks do not tell it."""
        update = StatusUpdate(
            message_sid=message.message_sid,
            status=message.transitions[0].status,
            at=self._now(),
            source=Source.RECONCILE,
            reference=request.reference,
            context=request.context,
            send_at=request.send_at,
        )
        if message.effect_of(update) is not Effect.DUPLICATE:
            self._store.record(update)

    def _not_found(self, request: SendRequest) -> Iterator[Finding]:
        """First the request, then the message: only who settles it so may tell people of it."""
        now = self._now()
        kept_for = max(self._kept_for, self._waits_until(request) - now)
        settled = request.completed(RequestState.PRESUMED_UNSENT, at=now, kept_for=kept_for)
        if self._requests.complete(request, settled).state is RequestState.PRESUMED_UNSENT:
            yield from self._record_never_sent(request)

    def _record_never_sent(self, request: SendRequest) -> Iterator[Finding]:
        """A finding only for who is the first to store it."""
        recorded = self._store.record_unsent_request(self._never_sent(request))
        if recorded.outcome_changed:
            facts = {"request_id": request.request_id, "reference": request.reference}
            yield Finding(what=What.NOT_FOUND, facts=facts, recorded=recorded)

    def _ambiguous(
        self, request: SendRequest, fitting: Sequence[MessageResource]
    ) -> Iterator[Finding]:
        if self._now() >= self._rivals_until(request):
            yield from self._not_found(request)
            return
        yield Finding(
            what=What.AMBIGUOUS,
            facts={
                "request_id": request.request_id,
                "reference": request.reference,
                "message_sids": [resource.sid for resource in fitting],
            },
        )

    def _give_up_in_time(self, request: SendRequest) -> None:
        """Take it from the list, when nothing is expected to come any more."""
        if self._now() >= self._waits_until(request):
            self._requests.complete(request, request.closed())

    def _rivals_until(self, request: SendRequest) -> datetime:
        """How long another request can be settled by the looks of what may be this one's message.

        Whoever is given up before leaves that one alone with a message that may not be its own.
        """
        return request.lease_until + self._search + 2 * _CLOCKS_DIFFER

    def _waits_until(self, request: SendRequest) -> datetime:
        """A scheduled message is first called back about when it is sent."""
        sent_at = request.send_at or request.claimed_at
        return max(self._rivals_until(request), sent_at + self._search)

    def _never_sent(self, request: SendRequest) -> StatusUpdate:
        return StatusUpdate(
            message_sid=request.request_id,
            request_id=request.request_id,
            status=MessageStatus.PRESUMED_UNSENT,
            at=self._now(),
            source=Source.RECONCILE,
            account_sid=request.account_sid,
            to=request.to,
            from_=request.from_,
            messaging_service_sid=request.messaging_service_sid,
            reference=request.reference,
            context=request.context,
            send_at=request.send_at,
        )


def matches(resource: MessageResource, request: SendRequest) -> bool:
    """Whether the message, one to the request's recipient, may be what the request sent."""
    created = resource.date_created
    body = resource.body or ""
    return (
        created is not None
        and request.claimed_at - _CLOCKS_DIFFER <= created <= request.lease_until + _CLOCKS_DIFFER
        and (resource.direction or "outbound").startswith("outbound")
        and request.from_ in {None, resource.from_}
        and request.messaging_service_sid in {None, resource.messaging_service_sid}
        and request.body_digest
        in {None, body_digest(body), body_digest(body.removeprefix(_TRIAL_PREFIX))}
    )


def _ids(requests: Iterable[SendRequest]) -> list[str]:
    return [request.request_id for request in requests]
