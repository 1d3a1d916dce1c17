"""`python -m sandbox chaos`: everything fails, and nothing is lost or wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from sandbox.chaos.asking import Clients
from sandbox.chaos.comparing import differences, untold, wrong_notices
from sandbox.chaos.plan import OUTAGE, RECIPIENTS, STORM, Order, draw_orders, in_turn
from sandbox.chaos.seeing import Observer, Seen
from sandbox.console import Console, Style
from sandbox.crew import Crew
from sandbox.running import Sandbox, Settings, running_sandbox
from sandbox.seconds import UNCONFIRMED_AFTER
from sandbox.twilio.simulator import TwilioSimulator
from sandbox.waiting import WaitedInVain, wait_for

_CLIENTS: Final = 6
_PACE_SECONDS: Final = 0.3
_LIST_LAG_SECONDS: Final = 1.5
_THROTTLED_AT_ONCE: Final = 3
_THROTTLED_EVERY: Final = 25
_OUTAGE: Final = (0.4, 0.55)  # from and to which part of the requests
_RESTS_WITHIN_SECONDS: Final = 120 + UNCONFIRMED_AFTER
_TOLD_WITHIN_SECONDS: Final = 10
_OUTCOMES: Final = ("delivered", "failed", "unconfirmed")
_NOT_SENT: Final = "not sent"
_SHOWN: Final = 20


def chaos(console: Console, settings: Settings, *, messages: int, seed: int) -> int:
    """Start a sandbox, send while everything fails, compare: 0 if there is no difference."""
    with running_sandbox(console, settings, emailed=lambda _: None) as sandbox:
        orders = draw_orders(seed, messages)
        console.line()
        clients = Clients(sandbox.endpoints, sandbox.account.queues)
        wrong = _send_all(console, sandbox, clients, in_turn(orders, seed))
        observer = Observer(sandbox)
        wrong += _wait_for_rest(console, observer)
        with console.step("Comparing what the stack says with what Twilio knows"):
            seen = _see(observer, clients)
            wrong += differences(orders, seen)
            wrong += sandbox.schedule.summary.splitlines()
        _show(console, sandbox, clients, orders, seen)
    console.line()
    if wrong:
        console.line(f"Differences: {len(wrong)} (--seed {seed})", Style.BAD)
        for what in wrong[:_SHOWN]:
            console.line(f"  {what}", Style.BAD)
        return 1
    console.line("Differences: none.", Style.GOOD)
    return 0


def _send_all(
    console: Console, sandbox: Sandbox, clients: Clients, asks: Sequence[Order]
) -> list[str]:
    """Ask for everything while the storm lasts; what nobody answered."""
    begin, end = (round(part * len(asks)) for part in _OUTAGE)
    title = f"Sending, while everything fails: {len(asks)} requests"
    with console.progress(title, len(asks)) as advance, Crew(_CLIENTS) as crew:

        def ask(place: int, order: Order) -> None:
            if place in {0, begin, end}:
                _storm(sandbox, with_outage=place == begin)
            if place % _THROTTLED_EVERY == 0:
                _change_twilio(sandbox, throttle=_THROTTLED_AT_ONCE)
            sandbox.emulator.check()
            clients.ask(order, unless=crew.dismissed)
            advance()

        _change_twilio(sandbox, pace=_PACE_SECONDS, list_lag=_LIST_LAG_SECONDS)
        asked = [crew.submit(ask, place, order) for place, order in enumerate(asks)]
        errors = [error for it in asked if (error := it.exception())]
    sandbox.gateway.behave()
    _change_twilio(sandbox, throttle=0)
    if unforeseen := [error for error in errors if not isinstance(error, WaitedInVain)]:
        raise unforeseen[0]
    return [str(error) for error in errors]


def _storm(sandbox: Sandbox, *, with_outage: bool) -> None:
    sandbox.gateway.behave()
    for fault in (OUTAGE,) if with_outage else STORM:
        sandbox.gateway.misbehave(fault)


def _change_twilio(sandbox: Sandbox, **settings: float) -> None:
    def change(twilio: TwilioSimulator) -> None:
        twilio.settings = twilio.settings.changed(settings)

    sandbox.twilio.apply(change)


def _wait_for_rest(console: Console, observer: Observer) -> list[str]:
    """Wait until every message has ended, every request is settled and nothing is owed."""
    with console.step("All faults are off: waiting until everything has come to rest"):
        try:
            wait_for(lambda: not observer.unrest(), within=_RESTS_WITHIN_SECONDS, what="Rest")
        except WaitedInVain as waited:
            return [f"{waited}: {observer.unrest()}"]
    return []


def _see(observer: Observer, clients: Clients) -> Seen:
    """Look at everything, as soon as the notices that were published have arrived."""

    def complete() -> Seen | None:
        seen = observer.see(clients.answers)
        return None if any(wrong_notices(seen)) else seen

    with suppress(WaitedInVain):
        return wait_for(complete, within=_TOLD_WITHIN_SECONDS, what="The notices")
    return observer.see(clients.answers)


def _show(
    console: Console, sandbox: Sandbox, clients: Clients, orders: Sequence[Order], seen: Seen
) -> None:
    """What was done, and what became of it."""
    console.line()
    outcome_of = _outcomes(orders, seen)
    rows = []
    for recipient in RECIPIENTS:
        outcomes = Counter(
            outcome_of.get(order.number, _NOT_SENT)
            for order in orders
            if order.recipient == recipient
        )
        if outcomes:
            columns = (outcomes[outcome] or "" for outcome in (*_OUTCOMES, _NOT_SENT))
            rows.append((recipient.to, recipient.story, outcomes.total(), *columns))
    totals = Counter(outcome_of.get(order.number, _NOT_SENT) for order in orders)
    rows.append(("", "all", len(orders), *(totals[it] or "" for it in (*_OUTCOMES, _NOT_SENT))))
    console.table(("to", "story", "messages", *_OUTCOMES, _NOT_SENT), rows, words=2)
    console.line()
    console.table(("what was done", "times"), [*_counts(sandbox, clients, orders, seen).items()])


def _outcomes(orders: Sequence[Order], seen: Seen) -> Mapping[int, str]:
    """The outcome of each order's message; what failed without a SID among them."""
    number_of = {order.body: order.number for order in orders}
    by_sid = {item["message_sid"]: str(item["outcome"]) for item in seen.messages}
    by_reference = {item.get("reference"): str(item["outcome"]) for item in seen.messages}
    outcomes = {
        order.number: by_reference[order.reference]
        for order in orders
        if order.reference in by_reference
    }
    return outcomes | {
        number_of[message.body]: by_sid[message.sid]
        for message in seen.at_twilio
        if message.sid in by_sid
    }


def _counts(
    sandbox: Sandbox, clients: Clients, orders: Sequence[Order], seen: Seen
) -> Mapping[str, int]:
    sources = Counter(
        entry["source"] for item in seen.messages for entry in item.get("transitions", [])
    )
    states = Counter(str(item["state"]) for item in seen.requests)
    return {
        "messages wanted": len(orders),
        "... asked for again on purpose": sum(order.asks - 1 for order in orders),
        "... asked for again for want of an answer": clients.repeated,
        "messages at Twilio": len(seen.at_twilio),
        "... changed after they had ended, and no callback told": untold(seen),
        "callbacks": sum(message.callbacks for message in seen.at_twilio),
        "... tries": sum(message.attempts for message in seen.at_twilio),
        "... lost, or given up by Twilio": sum(message.given_up for message in seen.at_twilio),
        **{
            f"faults on the way: {kind.replace('_', ' ')}": count
            for kind, count in sorted(sandbox.gateway.happened.items())
        },
        **{f"statuses learned by {source}": count for source, count in sorted(sources.items())},
        **{f"requests {state.replace('_', ' ')}": count for state, count in sorted(states.items())},
        "notices": len(seen.notices),
        "... told more than once": sum(count > 1 for count in seen.notices.values()),
        "scheduled runs": sandbox.schedule.rounds,
    }
