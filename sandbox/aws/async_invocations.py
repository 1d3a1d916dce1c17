"""Corrects MiniStack's asynchronous invocations, from within its process."""

from typing import Any


def correct(emulated: Any) -> None:
    """Let MiniStack's module of Lambda functions honor an alias's settings.

    MiniStack looks for the settings of an asynchronous invocation (retries, failure destination) in
    the version that the alias stands for. It keeps them with the function, by the alias's name.
    """
    invoke = emulated.invoke_async_with_retry

    def invoke_with_settings(function: dict[str, Any], event: Any) -> None:
        arn: str = (function.get("config") or function)["FunctionArn"]
        name, _, alias = arn.partition(":function:")[2].partition(":")
        if alias:
            settings = emulated._functions[name].get("event_invoke_configs", {}).get(alias)  # noqa: SLF001 -- no API has them at this point
            function = {**function, "event_invoke_config": settings}
        invoke(function, event)

    emulated.invoke_async_with_retry = invoke_with_settings
