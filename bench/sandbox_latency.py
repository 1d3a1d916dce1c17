"""The whole stack in the sandbox: from a callback to its 204, from a failure to its notice.

The emulator's Lambda, its streams and its SNS are not AWS's, so these are no promises about AWS:
they show that nothing in between waits without need, and what the emulator takes by itself.
"""

import io
import re
from collections.abc import Sequence
from queue import Empty, Queue
from statistics import quantiles
from time import monotonic
from typing import Final

import requests

from bench.benchmark import Benchmark, Known, Results, Run, Table
from delivery.callback import signature
from sandbox.console import Console
from sandbox.endpoints import Endpoints
from sandbox.mailbox import Email
from sandbox.running import Settings, running_sandbox

_CALLBACKS: Final = 200
_FAILURES: Final = 60
_QUICK: Final = 10
_WARMING: Final = 5
_WAITS_SECONDS: Final = 60
# Each failure has a code of its own: those of one code would be told as one episode.
_FIRST_CODE: Final = 40001
_SID: Final = re.compile(r"SM[0-9a-f]{32}")
_MS: Final = 1000
_PERCENTILES: Final = (50, 95, 99)


def measure(run: Run) -> Results:
    """Milliseconds of each callback, and of each notice."""
    callbacks, failures = (_QUICK, _QUICK) if run.quick else (_CALLBACKS, _FAILURES)
    arrived: Queue[tuple[float, str]] = Queue()
    run.tell("building, deploying and starting the sandbox")
    with (
        running_sandbox(
            Console(io.StringIO()), Settings(), emailed=lambda email: arrived.put(_seen(email))
        ) as sandbox,
        requests.Session() as session,
    ):
        run.tell(f"{callbacks} callbacks, one after the other")
        stored = [
            _told(session, sandbox.endpoints, f"SM{number:032x}", "sent")
            for number in range(-_WARMING, callbacks)
        ][_WARMING:]
        run.tell(f"{failures} failures, one after the other")
        noticed = [
            _notice_of(session, sandbox.endpoints, arrived, number)
            for number in range(-1, failures)
        ][1:]
    return {"stored": _percentiles(stored), "noticed": _percentiles(noticed)}


def _seen(email: Email) -> tuple[float, str]:
    found = _SID.search(email.text)
    return monotonic(), found[0] if found else ""


def _told(
    session: requests.Session, endpoints: Endpoints, sid: str, status: str, code: int | None = None
) -> float:
    """Milliseconds from a callback to its 204."""
    form = {
        "AccountSid": endpoints.twilio_account_sid,
        "From": "+15005550006",
        "MessageSid": sid,
        "MessageStatus": status,
        "To": "+15558675310",
    } | ({"ErrorCode": str(code)} if code else {})
    url = endpoints.status_callback_url
    signed = signature(endpoints.twilio_auth_token, url, form.items())
    begun = monotonic()
    answer = session.post(url, data=form, headers={"X-Twilio-Signature": signed}, timeout=30)
    assert answer.status_code == requests.codes.no_content, answer.text
    return (monotonic() - begun) * _MS


def _notice_of(
    session: requests.Session,
    endpoints: Endpoints,
    arrived: "Queue[tuple[float, str]]",
    number: int,
) -> float:
    """Milliseconds from a callback that reports a failure to the notice of it."""
    sid = f"SM{(1 << 64) + number:032x}"
    begun = monotonic()
    _told(session, endpoints, sid, "undelivered", _FIRST_CODE + number)
    while True:
        try:
            at, noticed = arrived.get(timeout=_WAITS_SECONDS)
        except Empty:
            raise RuntimeError(f"no notice of {sid} came") from None
        if noticed == sid:
            return (at - begun) * _MS


def _percentiles(values: Sequence[float]) -> Results:
    cuts = quantiles(values, n=100, method="inclusive")
    return {
        "number": len(values),
        **{f"p{percent}": round(cuts[percent - 1], 1) for percent in _PERCENTILES},
    }


def tables(known: Known) -> Sequence[Table]:
    """The percentiles of both."""
    found = known[SANDBOX.name]
    names = {"stored": "callback to 204: stored", "noticed": "failure to notice"}
    rows = [
        (
            name,
            str(found[key]["number"]),
            *(f"{found[key][f'p{percent}']:.0f} ms" for percent in _PERCENTILES),
        )
        for key, name in names.items()
    ]
    header = ("in the sandbox", "number", *(f"{percent}th percentile" for percent in _PERCENTILES))
    return [Table(header=header, rows=rows)]


SANDBOX: Final = Benchmark(
    name="sandbox",
    title="The whole stack, emulated",
    question="How long from a callback to its 204, and from a failure to its notice?",
    measure=measure,
    tables=tables,
)
