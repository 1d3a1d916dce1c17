"""The ids of send requests, which follow from their idempotency keys."""

import hashlib
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from .results import Invalid, Rejected, Unsent


def request_id_of(account_sid: str | None, key: str | None) -> str:
    """Return the id of a request, which is the same for the same key; random without a key.

    A key belongs to the account that the request names. The keys of requests that name none are
    apart from those of every account, so that they stay the same if the secret gets another main
    account.
    """
    if key is None:
        return f"rq_{token_hex(16)}"
    name = f"{account_sid or ''} {key}".encode("utf-8", "backslashreplace")
    return f"rq_{hashlib.sha256(name).hexdigest()[:32]}"


def unsent_request_id(result: Unsent, facts: Mapping[str, Any], key: str) -> str:
    """Return the id under which a request that was not sent is kept as a failed message.

    `facts` are its valid fields, and `key` is the idempotency key of a request that names none.
    """
    if isinstance(result, Rejected) and result.request_id is not None:
        return result.request_id
    if isinstance(result, Invalid):  # the id that the response to a batch has promised
        key = facts.get("idempotency_key", key)
    return request_id_of(facts.get("account_sid"), key)
