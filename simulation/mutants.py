"""Small deliberate faults, each of which the simulation must catch.

A new one is an entry here and a row of the table in docs/reliability.md, which
`python -m simulation --mutants --seeds 600` prints. One that no life shows tells what lives
lack: a faulty program that they cannot tell from ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from simulation.program import Edit

_LAYER: Final = "layers/delivery/delivery"
_PACING: Final = "functions/send_message/rate_limiter.py"
_SENDING: Final = "functions/send_message/sending.py"
_CALLBACK: Final = "functions/status_callback/app.py"
_NOTIFY: Final = "functions/notify_failure/app.py"
_OUTCOMES: Final = "functions/publish_outcomes/app.py"
_TELLING: Final = "functions/notify_failure/telling.py"
_EPISODE: Final = "functions/notify_failure/episode.py"
_EPISODE_STORE: Final = "functions/notify_failure/episode_store.py"
_RECONCILING: Final = "functions/reconcile_messages/reconcile.py"
_SETTLING: Final = "functions/reconcile_messages/in_doubt.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """The project with something wrong in it; `breaks` are the promises that it can break."""

    name: str
    breaks: frozenset[str]
    edits: Sequence[Edit]


def _mutant(name: str, breaks: str, path: str, old: str, new: str) -> Mutant:
    return Mutant(
        name=name,
        breaks=frozenset(breaks.split()),
        edits=(Edit(path=path, old=old, new=new),),
    )


def mutant_named(words: str) -> Mutant:
    """The one whose name has these words.

    Raises:
        LookupError: none has them, or several have.
    """
    found = [mutant for mutant in MUTANTS if words in mutant.name]
    if len(found) != 1:
        names = "; ".join(mutant.name for mutant in found) or "none"
        raise LookupError(f"of the mutants, these have {words!r} in their name: {names}")
    return found[0]


MUTANTS: Final = (
    _mutant(
        "the plain advance does not ask for a better status",
        "I2",
        f"{_LAYER}/storage/messages.py",
        '"#status_rank < :status_rank AND attribute_not_exists(#notice)"',
        '"attribute_not_exists(#notice)"',
    ),
    _mutant(
        "the plain advance does not mind a failure",
        "I4",
        f"{_LAYER}/storage/messages.py",
        '"#status_rank < :status_rank AND attribute_not_exists(#notice)"',
        '"#status_rank < :status_rank AND (#status_rank < :status_rank OR #notice = #notice)"',
    ),
    _mutant(
        "the status that came last is the status",
        "I2",
        f"{_LAYER}/domain/messages.py",
        "best = max(transitions, key=lambda transition: rank(transition.status))",
        "best = transitions[-1]",
    ),
    _mutant(
        "what was read may have changed when it is written",
        "I2 I4",
        f"{_LAYER}/storage/messages.py",
        "for name in dict.fromkeys((*depends_on, *touched)):",
        'for name in ("message_sid",):',
    ),
    _mutant(
        "the failure sets no notice",
        "I4",
        f"{_LAYER}/domain/messages.py",
        "        return NoticeState.DUE\n",
        "        return None\n",
    ),
    _mutant(
        "a recovery is not owed",
        "I4",
        f"{_LAYER}/domain/messages.py",
        "if outcome is not Outcome.FAILED and message.notice is NoticeState.SENT:",
        "if outcome is not Outcome.FAILED and message.notice is NoticeState.MUTED:",
    ),
    _mutant(
        "an error code is erased by a repetition without one",
        "I3",
        f"{_LAYER}/domain/messages.py",
        "error_code=known.error_code or new.error_code,",
        "error_code=new.error_code,",
    ),
    _mutant(
        "the code of a failure stays after the recovery",
        "I3",
        f"{_LAYER}/domain/messages.py",
        "error_code=message.failure_code if outcome is Outcome.FAILED else None,",
        "error_code=message.failure_code,",
    ),
    _mutant(
        "blank parameters are dropped",
        "I1",
        f"{_LAYER}/twilio/callback.py",
        'return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)',
        'return parse_qsl(body.decode("utf-8", "replace"))',
    ),
    _mutant(
        "a callback's request_id is not kept",
        "I6",
        f"{_LAYER}/twilio/callback.py",
        "request_id = request_id or value",
        "request_id = None",
    ),
    _mutant(
        "204 though neither table nor queue took it",
        "I1",
        _CALLBACK,
        "    except QueueUnavailable as error:\n        return _not_kept(error)\n",
        '    except QueueUnavailable:\n        return {"statusCode": 204}\n',
    ),
    _mutant(
        "204 on a store error, and nothing is queued",
        "I1",
        _CALLBACK,
        "        queue.put(update)\n",
        "        pass\n",
    ),
    _mutant(
        "a queued update that cannot be stored is taken from the queue",
        "I1",
        _CALLBACK,
        '        _count("ReplayFailed")\n        raise\n',
        '        _count("ReplayFailed")\n        return\n',
    ),
    _mutant(
        "marked as told before it is told",
        "I4",
        _TELLING,
        """            self._publish_message(claimed)
        told = self._messages.advance_notice(claimed, self._now())
""",
        """            told = self._messages.advance_notice(claimed, self._now())
            self._publish_message(claimed)
        else:
            told = self._messages.advance_notice(claimed, self._now())
""",
    ),
    _mutant(
        "the notice is told by whoever finds it claimed",
        "I4",
        _TELLING,
        "case Message(notice=NoticeState.PUBLISHING) if message.updated_at < abandoned_before:",
        "case Message(notice=NoticeState.PUBLISHING) if message.updated_at != abandoned_before:",
    ),
    _mutant(
        "the sweep is switched off",
        "I4",
        _NOTIFY,
        "for message_sids in batched(store.notices_due(before), _SWEPT_AT_ONCE, strict=False):",
        "for message_sids in ():",
    ),
    _mutant(
        "counted, and not marked",
        "I4",
        _EPISODE_STORE,
        "written = transact(self._client, [put, *map(self._update, steps)])",
        "written, _ = self._episodes.put(record, conditions)",
    ),
    _mutant(
        "marked, and counted as one however many they are",
        "I4",
        _EPISODE,
        "counted=self.counted + len(messages),",
        "counted=self.counted + 1,",
    ),
    _mutant(
        "marked in one write and counted in another",
        "I4",
        _EPISODE_STORE,
        "            written = transact(self._client, [put, *map(self._update, steps)])\n",
        """            for step in steps:
                self._client.update_item(**self._update(step)["Update"])
            written, _ = self._episodes.put(record, conditions)
""",
    ),
    _mutant(
        "counted on an episode that has changed since it was read",
        "I4",
        _EPISODE_STORE,
        '"#episode_id = :episode_id AND #version = :version"',
        '"#episode_id = :episode_id AND (#version = :version OR #version > :version)"',
    ),
    _mutant(
        "counted although somebody else has counted it",
        "I4",
        _EPISODE_STORE,
        '_DEPENDS_ON: Final = ("notice", "outcome", "error_code", "account_sid")',
        '_DEPENDS_ON: Final = ("account_sid",)',
    ),
    _mutant(
        "what an episode has counted is told before it is written down",
        "I4",
        _TELLING,
        """            written = self._episodes.write(seen, after)
            if written is None:
                self._unfinished.pop(after""",
        """            if after.telling is not None:
                self._publish_range(key, after.telling)
            written = self._episodes.write(seen, after)
            if written is None:
                self._unfinished.pop(after""",
    ),
    _mutant(
        "what an episode was telling when its teller died is forgotten",
        "I4",
        _TELLING,
        "return telling.claimed_at < abandoned_before or iso(telling.claimed_at) == ours",
        "return telling.claimed_at > abandoned_before and iso(telling.claimed_at) == ours",
    ),
    _mutant(
        "whoever takes over a notice tells of more in it",
        "I4",
        _EPISODE,
        "return replace(self, telling=replace(self.telling, claimed_at=at))",
        "return replace(\n"
        "            self,\n"
        "            telling=replace(self.telling, claimed_at=at, range_to=self.counted),\n"
        "        )",
    ),
    Mutant(
        name="a range is marked as told before it is told",
        breaks=frozenset({"I4"}),
        edits=(
            Edit(
                path=_TELLING,
                old="        self._publish_range(episode.key, telling)\n        for _ in range",
                new="        for _ in range",
            ),
            Edit(
                path=_TELLING,
                old="        self._unfinished.pop(telling.notice_id, None)\n",
                new="        self._publish_range(episode.key, telling)\n"
                "        self._unfinished.pop(telling.notice_id, None)\n",
            ),
        ),
    ),
    _mutant(
        "a range that was told is told again in the next",
        "I4",
        _EPISODE,
        "return replace(self, telling=None, told=telling.range_to, next_at=next_at)",
        "return replace(self, telling=None, next_at=next_at)",
    ),
    _mutant(
        "nobody looks after the episodes",
        "I4",
        _TELLING,
        "for key in self._episodes.due(self._now()):",
        "for key in ():",
    ),
    _mutant(
        "a failure is counted where nobody looks any more",
        "I4",
        _EPISODE,
        "        if not self.is_open or (self.is_muted and not muted):\n            return False\n",
        "        if not self.is_open:\n            return True\n",
    ),
    _mutant(
        "every failure is told alone",
        "I4",
        _EPISODE,
        "return not (is_over and self.untold == 0 and self.telling is None)",
        "return False",
    ),
    _mutant(
        "the last line of an episode is lost when another one follows",
        "I4",
        _EPISODE,
        "telling=previous.last_line(at) if previous else None,",
        "telling=None,",
    ),
    _mutant(
        "people are told of a muted category",
        "I4",
        _NOTIFY,
        "    muted=MUTED,\n",
        "    muted=(),\n",
    ),
    _mutant(
        "the recovery of a counted message is told alone",
        "I4",
        f"{_LAYER}/domain/messages.py",
        "notice = NoticeState.RECOVERED if self.is_grouped else NoticeState.PUBLISHING",
        "notice = NoticeState.PUBLISHING",
    ),
    _mutant(
        "recoveries are not counted",
        "I4",
        _EPISODE,
        "return replace(self, recovered=self.recovered + messages)",
        "return self",
    ),
    _mutant(
        "an event that the bus did not take is forgotten",
        "events",
        _OUTCOMES,
        '            return _delayed(change, reason=entry["ErrorCode"])\n',
        '            _delayed(change, reason=entry["ErrorCode"])\n',
    ),
    _mutant(
        "events are forgotten while the bus does not answer",
        "events",
        _OUTCOMES,
        "        return _delayed(changes[0], reason=reason(error))\n",
        "        _delayed(changes[0], reason=reason(error))\n        return None\n",
    ),
    _mutant(
        "every change of a message has the same id",
        "events",
        "functions/publish_outcomes/outcome_event.py",
        'step = f"{message_sid} {previous} {outcome}"',
        'step = f"{message_sid}"',
    ),
    _mutant(
        "an outcome that changes again is no event",
        "events",
        "functions/publish_outcomes/outcome_event.py",
        "return message.outcome is not (before or Outcome.PENDING)",
        "return before in {None, Outcome.PENDING} and message.outcome is not Outcome.PENDING",
    ),
    _mutant(
        "what was erased comes back with the next callback",
        "erasing I1",
        f"{_LAYER}/storage/messages.py",
        '            "status_rank": _ERASED_RANK,\n',
        '            "status_rank": 0,\n',
    ),
    _mutant(
        "erased in the table and not at Twilio",
        "erasing",
        "delivery_cli/commands/erase/eraser.py",
        "            reason = self._twilio.delete(message_sid, account_sid)\n",
        '            reason = ""\n',
    ),
    _mutant(
        "a request still says to whom it was sent",
        "erasing",
        f"{_LAYER}/domain/send_requests.py",
        '            to="",\n',
        "",
    ),
    _mutant(
        "sent again after a time-out",
        "I5",
        f"{_LAYER}/twilio/client.py",
        'raise OutcomeUnknown(f"the request left and no answer came: {name}") from error',
        'raise Unavailable(f"the request left and no answer came: {name}") from error',
    ),
    _mutant(
        "sent again after a 5xx",
        "I5",
        f"{_LAYER}/twilio/client.py",
        'raise OutcomeUnknown(f"Twilio answered HTTP {status} and no message")',
        'raise Unavailable(f"Twilio answered HTTP {status} and no message")',
    ),
    _mutant(
        "the claim is not conditional",
        "I5",
        f"{_LAYER}/storage/send_requests.py",
        '"attribute_not_exists(#request_id) OR #state = :refused"',
        '"attribute_not_exists(#request_id) OR #state <> :refused"',
    ),
    _mutant(
        "posted although nobody knows whether the key was free",
        "I5",
        _SENDING,
        """            self._release(request)  # only the answer may have been lost
            return ServiceUnavailable(reason=str(error))
""",
        """            held = request
            del error
""",
    ),
    _mutant(
        "a claim of somebody else is given free",
        "I5",
        f"{_LAYER}/storage/send_requests.py",
        "        self._table.delete(ours, request_id=request.request_id)",
        """        ours = Conditions()
        ours.require(
            "#claim_id <> :claim_id OR #state = :in_progress",
            claim_id=request.claim_id,
            in_progress=RequestState.IN_PROGRESS,
        )
        self._table.delete(ours, request_id=request.request_id)""",
    ),
    _mutant(
        "the key is given free when the outcome is unknown",
        "I5",
        _SENDING,
        "            self._settle(request, RequestState.IN_DOUBT)\n",
        "            self._release(request)\n",
    ),
    _mutant(
        "a request in doubt is posted again under its key",
        "I5",
        _SENDING,
        "if held.claim_id == request.claim_id:",
        "if held.claim_id == request.claim_id or held.state is RequestState.IN_DOUBT:",
    ),
    _mutant(
        "what is being sent right now is posted again under its key",
        "I5",
        _SENDING,
        "if held.claim_id == request.claim_id:",
        "if held.claim_id == request.claim_id or held.state is RequestState.IN_PROGRESS:",
    ),
    _mutant(
        "a request counts as settled though nobody took its message",
        "I6",
        _SENDING,
        "            message_stored=accepted.stored,\n",
        "            message_stored=True,\n",
    ),
    _mutant(
        "a refusal on the queue is told to nobody",
        "I4 I7",
        "functions/send_message/app.py",
        "            count_apart(outcomes, sender.record_unsent_request(sent, key=key))\n",
        "            pass\n",
    ),
    _mutant(
        "what cannot be sent now is taken from the queue",
        "I7",
        "functions/send_message/app.py",
        "            raise StaysQueued(sent.reason)\n",
        "            return\n",
    ),
    Mutant(
        name="nobody waits for a turn",
        breaks=frozenset({"pace"}),
        edits=(
            Edit(
                path=_PACING,
                old="            return False\n        if paced",
                new="            return True\n        if paced",
            ),
            Edit(path=_PACING, old="        self._pacer.wait_until(turn.at)\n", new=""),
        ),
    ),
    _mutant(
        "who has to come back for a turn is taken from the queue",
        "I7",
        "functions/send_message/app.py",
        '        raise StaysQueued("it waits for its turn")\n',
        "        return\n",
    ),
    _mutant(
        "a turn is given to several",
        "pace",
        "functions/send_message/rate_limit.py",
        "                free_at += length\n",
        "",
    ),
    _mutant(
        "reconciling ignores error codes",
        "I3",
        "functions/reconcile_messages/reports.py",
        "return replace(update, account_sid=",
        "return replace(update, error_code=None, account_sid=",
    ),
    _mutant(
        "nobody asks about quiet messages",
        "I7",
        _RECONCILING,
        "for due in batched(self._store.stale_messages(self._now()), _AT_A_TIME, strict=False):",
        "for due in ():",
    ),
    _mutant(
        "no message is ever given up",
        "I7",
        _RECONCILING,
        "if not message.is_overdue(self._now(), self._lifetimes):",
        "if message.starts_at:",
    ),
    _mutant(
        "a quiet message is given up as soon as it was asked about",
        "I7",
        _RECONCILING,
        "if not message.is_overdue(self._now(), self._lifetimes):",
        "if not message.starts_at:",
    ),
    _mutant(
        "a request in doubt is settled before Twilio's list can show its message",
        "I6",
        _SETTLING,
        "return in_doubt and now >= request.claimed_at + self._doubt",
        "return in_doubt",
    ),
    _mutant(
        "one of several look-alikes is taken",
        "I6",
        _SETTLING,
        "elif len(fitting) > 1 or contested or self._is_old(request):",
        "elif self._is_old(request):",
    ),
    _mutant(
        "a message of another request is taken for a look-alike",
        "I6",
        _SETTLING,
        "            message = self._store.get(resource.sid)\n",
        "            message = None\n",
    ),
    Mutant(
        name="nobody is told of a request that was not found",
        breaks=frozenset({"I6"}),
        edits=(
            Edit(
                path=_SETTLING,
                old="""                yield from self._record_never_sent(request)
                self._give_up_in_time(request)
""",
                new="""                self._give_up_in_time(request)
""",
            ),
            Edit(
                path=_SETTLING,
                old="""            yield from self._record_never_sent(request)

    def _record_never_sent(""",
                new="""            yield from ()

    def _record_never_sent(""",
            ),
        ),
    ),
    _mutant(
        "a message that callbacks told of lacks what only its request knows",
        "I6",
        _SETTLING,
        "        self._complete(request, message)\n",
        "",
    ),
    _mutant(
        "a late callback does not find the request that was not found",
        "I6",
        _SETTLING,
        "            if state is not RequestState.IN_PROGRESS:\n",
        "            if state is RequestState.IN_DOUBT:\n",
    ),
    _mutant(
        "a request that turned up is still shown as not found",
        "I6",
        _SETTLING,
        "            self._store.record_superseded(self._never_sent(request))\n",
        "            pass\n",
    ),
)
