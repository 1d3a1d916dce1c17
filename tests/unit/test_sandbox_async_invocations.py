"""The correction of MiniStack's asynchronous invocations."""

from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.aws import async_invocations

ARN = "arn:aws:lambda:us-east-1:000000000000:function:Send"
SETTINGS = {"MaximumRetryAttempts": 0}


@pytest.mark.parametrize(
    ("arn", "settings"), [(f"{ARN}:live", SETTINGS), (f"{ARN}:7", None), (ARN, None)]
)
def test_a_function_is_invoked_with_the_settings_of_its_alias(
    arn: str, settings: dict[str, Any] | None
) -> None:
    invoked: list[dict[str, Any]] = []
    emulated = SimpleNamespace(
        _functions={"Send": {"event_invoke_configs": {"live": SETTINGS}}},
        invoke_async_with_retry=lambda function, _: invoked.append(function),
    )
    async_invocations.correct(emulated)

    emulated.invoke_async_with_retry({"config": {"FunctionArn": arn}}, {})

    (function,) = invoked
    assert function.get("event_invoke_config") == settings
