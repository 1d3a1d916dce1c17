"""The rig of the tests of ReconcileMessagesFunction: its tables, and a Twilio in virtual time."""

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from delivery.domain.send_requests import RequestState, SendRequest
from tests.functions.tracked_account import REQUEST_ID, FunctionRig
from tests.support.virtual_twilio import SUBACCOUNT_SID, Fault, a_response
from tests.template.counting import OF_STATUS_UPDATES

if TYPE_CHECKING:
    from functions.reconcile_messages.app import ReconcileMessages

OTHER_REQUEST_ID = "rq_" + "b" * 32
UNDELIVERED = "+15555530003"
OTHER_ACCOUNT_SID = "AC" + "9" * 32


def always(status: int, body: bytes = b"{}") -> Fault:
    return lambda _: a_response(status, body)


LAGGING_LIST: Fault = always(200, b'{"messages": []}')


class ReconcilerRig(FunctionRig):
    """The function, and its requests."""

    seconds_left = 240.0
    subaccounts = (SUBACCOUNT_SID,)

    def __init__(self, *arguments: Any, **output: Any) -> None:
        super().__init__(*arguments, **output)
        self.function = cast("ReconcileMessages", self.build())

    def run(self, *, dynamodb: Any = None) -> None:
        """Invoke the function, metrics included; with this client, in an environment of its own."""
        self.invoke(self.build(dynamodb=dynamodb) if dynamodb else self.function, {})

    def run_after(self, **time: float) -> None:
        """Let this time pass, and invoke the function."""
        self.advance(**time)
        self.run()

    def __exit__(self, *error: object) -> None:
        self.module.outcome_metrics.clear_metrics()
        super().__exit__(*error)

    def send_and_die(self, request_id: str = REQUEST_ID, **form: Any) -> str:
        """Let Twilio accept a request's message; the sender dies with the answer."""
        self.claim(request_id)
        self.advance(seconds=1)
        return self.send(known=False, **form)

    def presume_unsent(self, request: SendRequest) -> None:
        """Presume a request unsent, as a run does that dies before it records the message."""
        self.complete(request, RequestState.PRESUMED_UNSENT)

    def delay_list(self) -> None:
        """Let Twilio's list lag by hours."""
        settings = self.twilio.simulator.settings
        self.twilio.simulator.settings = settings.changed({"list_lag_seconds": 9000.0})

    # --- what there is afterwards ---

    def state(self, request_id: str = REQUEST_ID) -> RequestState:
        return self.request(request_id).state_at(self.twilio.now)

    def twilio_requests(self) -> list[str]:
        """The requests that Twilio received since the last call."""
        requests, self.wire.requests = self.wire.requests, []
        return [it.partition(" ")[2] for it in requests]

    def counted(self) -> dict[str, int]:
        """What the function counted of its own work since the last call, by metric."""
        counts = Counter[str]()
        for point in self.data_points():
            counts[point.name] += int(sum(point.values))
        return {
            name: number
            for name, number in counts.items()
            if name != "ReconcileRun" and name not in OF_STATUS_UPDATES
        }
