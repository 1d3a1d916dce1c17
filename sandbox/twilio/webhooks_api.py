"""The webhooks configuration API (public beta): shared keys, settings and rules of an account.

Names and shapes are those of Twilio's Python SDK 9.13 (`client.webhooks.v1`) and of
https://www.twilio.com/docs/usage/webhooks/webhook-configuration. Different from Twilio: a change
applies at once, not after 30 to 60 seconds. A setting cannot authenticate Twilio with OAuth, Basic
or Digest. AuthProfiles, EdgeZones and Tests do not exist.
"""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from delivery.twilio.signature import Algorithm
from sandbox.http_server import Request, Response
from sandbox.twilio.accounts import Accounts
from sandbox.twilio.errors import ApiError
from sandbox.twilio.overrides import ConnectionOverrides, RetryPolicy
from sandbox.twilio.parameters import Parameters
from sandbox.twilio.resource import Document
from sandbox.twilio.webhook_rules import (
    MatchType,
    Rule,
    Setting,
    Share,
    SharedKey,
    Signing,
    WebhookRules,
    new_id,
    new_shared_key,
)

PREFIX: Final = "/v1/Webhooks/"

_MAX_NAME: Final = 255
_MAX_DESCRIPTION: Final = 1024
_MAX_URL: Final = 2048
_MAX_SHARES: Final = 2
_ALL_TRAFFIC: Final = 100
_DEFAULT_PAGE_SIZE: Final = 50
_MAX_PAGE_SIZE: Final = 1000
_ALREADY_EXISTS: Final = 59103
_INVALID: Final = 20422
_IN_USE: Final = 20409

_RETRY_POLICIES: Final[Mapping[str, frozenset[RetryPolicy]]] = {
    "HTTP_4XX": frozenset({RetryPolicy.CLIENT_ERROR}),
    "HTTP_5XX": frozenset({RetryPolicy.SERVER_ERROR}),
    "CONNECTION_TIMEOUT": frozenset({RetryPolicy.CONNECT}),
    "READ_TIMEOUT": frozenset({RetryPolicy.READ}),
    "ALL": frozenset(RetryPolicy),
}
# Name, default, minimum and maximum of the timeouts of a setting's connection, in milliseconds.
_TIMEOUTS: Final = (
    ("connectTimeoutMs", 5_000, 100, 15_000),
    ("readTimeoutMs", 15_000, 100, 15_000),
    ("totalTimeoutMs", 15_000, 100, 60_000),
)
_MAX_RETRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A request with valid credentials; `id` is that of its path, if it names a resource."""

    request: Request
    rules: WebhookRules
    id: str
    now: datetime

    @property
    def fields(self) -> Document:
        """The JSON of the body; null counts as not given."""
        try:
            document = json.loads(self.request.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ApiError(_INVALID, "The body must be a JSON object.")
        return {name: value for name, value in document.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    status: int = HTTPStatus.OK
    document: Document | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class WebhooksApi:
    """Answers requests to the configuration API, in JSON."""

    def __init__(self, accounts: Accounts, ids: random.Random) -> None:
        self._accounts = accounts
        self._ids = ids
        self._operations: dict[str, Document] = {}
        self._routes: Mapping[str, Mapping[str, Callable[[_Call], _Result]]] = {
            "SharedKeys": {"GET": self._list_keys, "POST": self._create_key},
            "SharedKeys/": {
                "GET": lambda call: _Result(document=_key_document(_key(call))),
                "PATCH": self._rename_key,
                "DELETE": self._delete_key,
            },
            "Settings": {"GET": self._list_settings, "POST": self._create_setting},
            "Settings/": {
                "GET": lambda call: _Result(document=_setting_document(_setting(call))),
                "PATCH": self._rename_setting,
                "DELETE": self._delete_setting,
            },
            "Rules": {"GET": self._list_rules, "POST": self._create_rule},
            "Rules/": {
                "GET": lambda call: _Result(document=_rule_document(_rule(call))),
                "PATCH": self._change_rule,
                "DELETE": self._delete_rule,
            },
            "Operations": {"GET": lambda call: _page("operations", self._operations, call)},
            "Operations/": {"GET": self._fetch_operation},
        }

    def handle(self, request: Request, now: datetime) -> Response:
        """Answer a request."""
        try:
            result = self._result(request, now)
        except ApiError as error:
            problem = {
                "type": f"https://www.twilio.com/docs/errors/{error.code}",
                "title": HTTPStatus(error.status).phrase,
                "status": error.status,
                "code": error.code,
                "detail": error.message,
            }
            return _response(_Result(status=error.status, document=problem), "problem+json")
        return _response(result, "json")

    def _result(self, request: Request, now: datetime) -> _Result:
        account = self._accounts.authenticate_any(request.header("Authorization"))
        collection, slash, id_ = request.path.removeprefix(PREFIX).partition("/")
        methods = self._routes.get(collection + slash)
        if methods is None:
            raise _not_found(request)
        endpoint = methods.get(request.method)
        if endpoint is None:
            raise ApiError(20004, f"Method {request.method} is not allowed on this resource")
        rules = self._accounts.webhook_rules(account.sid)
        return endpoint(_Call(request=request, rules=rules, id=id_, now=now))

    def _list_keys(self, call: _Call) -> _Result:
        return _page("sharedKeys", _documents(call.rules.shared_keys, _key_document), call)

    def _create_key(self, call: _Call) -> _Result:
        name = _text(call.fields, "friendlyName", _MAX_NAME)
        key = new_shared_key(call.rules, self._ids, call.now, friendly_name=name)
        # Twilio shows the secret this once.
        document = _key_document(key) | {"secret": key.secret}
        return _Result(status=HTTPStatus.CREATED, document=document)

    def _rename_key(self, call: _Call) -> _Result:
        name = _text(call.fields, "friendlyName", _MAX_NAME)
        key = replace(_key(call), friendly_name=name, updated=call.now)
        call.rules.shared_keys[key.id] = key
        return _Result(document=_key_document(key))

    def _delete_key(self, call: _Call) -> _Result:
        key = _key(call)
        settings = call.rules.settings.values()
        if any(it.signing is not None and it.signing.key_id == key.id for it in settings):
            raise ApiError(_IN_USE, f"{key.id} is used by a Setting.")
        del call.rules.shared_keys[key.id]
        return _Result(status=HTTPStatus.NO_CONTENT)

    def _list_settings(self, call: _Call) -> _Result:
        return _page("settings", _documents(call.rules.settings, _setting_document), call)

    def _create_setting(self, call: _Call) -> _Result:
        fields = call.fields
        _check_auth(fields.get("auth"))
        setting = Setting(
            id=new_id("setting", self._ids),
            friendly_name=_text(fields, "friendlyName", _MAX_NAME),
            description=_text(fields, "description", _MAX_DESCRIPTION),
            signing=_parse_signing(fields.get("signature"), call.rules),
            connection=_parse_connection(fields.get("connection")),
            created=call.now,
            updated=call.now,
        )
        call.rules.settings[setting.id] = setting
        return _Result(status=HTTPStatus.CREATED, document=_setting_document(setting))

    def _rename_setting(self, call: _Call) -> _Result:
        """Change the names; everything else of a setting is immutable."""
        fields = call.fields
        if unknown := fields.keys() - {"friendlyName", "description"}:
            raise ApiError(_INVALID, f"{', '.join(sorted(unknown))} cannot be changed.")
        setting = _setting(call)
        name, description = _names(fields, setting)
        setting = replace(setting, friendly_name=name, description=description, updated=call.now)
        call.rules.settings[setting.id] = setting
        return _Result(document=_setting_document(setting))

    def _delete_setting(self, call: _Call) -> _Result:
        setting = _setting(call)
        shares = (share for rule in call.rules.rules.values() for share in rule.shares)
        if any(share.setting_id == setting.id for share in shares):
            raise ApiError(_IN_USE, f"{setting.id} is used by a Rule.")
        del call.rules.settings[setting.id]
        return _Result(status=HTTPStatus.NO_CONTENT)

    def _list_rules(self, call: _Call) -> _Result:
        documents = _documents(call.rules.rules, _rule_document)
        if setting_id := Parameters.parse(call.request.query).one("settingId"):
            documents = {
                id_: document
                for id_, document in documents.items()
                if setting_id in {it["settingId"] for it in document["settings"]}
            }
        return _page("rules", documents, call)

    def _create_rule(self, call: _Call) -> _Result:
        fields = call.fields
        match_type = _parse_match_type(fields.get("matchType"))
        rule = Rule(
            id=new_id("rule", self._ids),
            match_type=match_type,
            pattern=_parse_pattern(match_type, fields),
            shares=_parse_shares(fields.get("settings"), call.rules),
            friendly_name=_text(fields, "friendlyName", _MAX_NAME),
            description=_text(fields, "description", _MAX_DESCRIPTION),
            created=call.now,
            updated=call.now,
        )
        return self._store_rule(rule, call)

    def _change_rule(self, call: _Call) -> _Result:
        fields, rule = call.fields, _rule(call)
        if fields.get("matchType", rule.match_type) != rule.match_type:
            raise ApiError(_INVALID, "matchType cannot be changed.")
        name, description = _names(fields, rule)
        rule = replace(rule, friendly_name=name, description=description, updated=call.now)
        if _PATTERN_FIELDS.keys() & fields.keys():
            rule = replace(rule, pattern=_parse_pattern(rule.match_type, fields))
        if "settings" in fields:
            rule = replace(rule, shares=_parse_shares(fields["settings"], call.rules))
        return self._store_rule(rule, call)

    def _store_rule(self, rule: Rule, call: _Call) -> _Result:
        for other in call.rules.rules.values():
            same = (other.match_type, other.pattern) == (rule.match_type, rule.pattern)
            if same and other.id != rule.id:
                raise ApiError(_ALREADY_EXISTS, f"{other.id} matches the same URLs.")
        call.rules.rules[rule.id] = rule
        return self._operation(rule.id, call, {"rule": _rule_document(rule)})

    def _delete_rule(self, call: _Call) -> _Result:
        rule = _rule(call)
        del call.rules.rules[rule.id]
        return self._operation(rule.id, call, {})

    def _operation(self, rule_id: str, call: _Call, changed: Document) -> _Result:
        """Answer a change of a rule, which Twilio applies asynchronously."""
        id_ = new_id("operation", self._ids)
        operation = {
            "id": id_,
            "statusUrl": f"{PREFIX}Operations/{id_}",
            "status": "COMPLETED",
            "resourceId": rule_id,
            "createdAt": _iso(call.now),
            "completedAt": _iso(call.now),
            "retentionPeriod": "P7D",
        }
        self._operations[id_] = operation
        return _Result(
            status=HTTPStatus.ACCEPTED,
            document={"operation": operation, **changed},
            headers={"Operation-Id": id_, "Location": operation["statusUrl"]},
        )

    def _fetch_operation(self, call: _Call) -> _Result:
        operation = self._operations.get(call.id)
        if operation is None:
            raise _not_found(call.request)
        return _Result(document=operation)


_PATTERN_FIELDS: Final = {"value": MatchType.EXACT_MATCH, "prefix": MatchType.PREFIX_MATCH}


def _key(call: _Call) -> SharedKey:
    key = call.rules.shared_keys.get(call.id)
    if key is None:
        raise _not_found(call.request)
    return key


def _setting(call: _Call) -> Setting:
    setting = call.rules.settings.get(call.id)
    if setting is None:
        raise _not_found(call.request)
    return setting


def _rule(call: _Call) -> Rule:
    rule = call.rules.rules.get(call.id)
    if rule is None:
        raise _not_found(call.request)
    return rule


def _not_found(request: Request) -> ApiError:
    return ApiError(20404, f"The requested resource {request.path} was not found")


def _text(fields: Document, name: str, longest: int) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise ApiError(_INVALID, f"{name} must be a text of at most {longest} characters.")
    return value


def _names(fields: Document, present: Rule | Setting) -> tuple[str, str]:
    """Return the name and description after a change of some fields."""
    names = {"friendlyName": present.friendly_name, "description": present.description}
    names |= fields
    return (
        _text(names, "friendlyName", _MAX_NAME),
        _text(names, "description", _MAX_DESCRIPTION),
    )


def _check_auth(auth: Any) -> None:
    """Refuse credentials, so that the simulator does not seem to send them."""
    if auth is None:
        return
    value = auth.get("value") or {} if isinstance(auth, dict) else None
    if not isinstance(value, dict):
        raise ApiError(_INVALID, "auth must be an object.")
    credentials = [it for name, it in value.items() if name != "scheme"]
    if any(it is not None for it in (auth.get("authProfileId"), *credentials)):
        raise ApiError(_INVALID, "auth: the simulator does not authenticate to your endpoint.")


def _parse_signing(signature: Any, rules: WebhookRules) -> Signing | None:
    if signature is None:
        return None
    if not isinstance(signature, dict) or signature.get("algorithm") not in list(Algorithm):
        expected = ", ".join(Algorithm)
        raise ApiError(_INVALID, f"signature must have an algorithm: {expected}.")
    algorithm, key_id = Algorithm(signature["algorithm"]), signature.get("sharedKeyId")
    if key_id is None:
        if algorithm is not Algorithm.HMAC_SHA1:
            raise ApiError(_INVALID, "signature: the auth token signs with HMAC_SHA1 only.")
        return None
    if key_id not in rules.shared_keys:
        raise ApiError(_INVALID, "signature: the account has no SharedKey of this sharedKeyId.")
    return Signing(key_id=key_id, algorithm=algorithm)


def _parse_connection(connection: Any) -> ConnectionOverrides | None:
    if connection is None:
        return None
    if not isinstance(connection, dict):
        raise ApiError(_INVALID, "connection must be an object.")
    connect, read, total = (
        _number(connection, name, default, least, most) / 1000
        for name, default, least, most in _TIMEOUTS
    )
    retries = connection.get("retryPolicy") or {}
    if not isinstance(retries, dict):
        raise ApiError(_INVALID, "retryPolicy must be an object.")
    conditions = retries.get("retryOn") or []
    if not isinstance(conditions, list) or not set(conditions) <= _RETRY_POLICIES.keys():
        raise ApiError(_INVALID, f"retryOn must be a list of {', '.join(_RETRY_POLICIES)}.")
    return ConnectionOverrides(
        connect_timeout=connect,
        read_timeout=read,
        total_timeout=total,
        retries=_number(retries, "retryCount", 0, 0, _MAX_RETRIES),
        policy=frozenset().union(*(_RETRY_POLICIES[it] for it in conditions)),
    )


def _number(fields: Document, name: str, default: int, least: int, most: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ApiError(_INVALID, f"{name} must be a number from {least} to {most}.")
    return value


def _parse_match_type(value: Any) -> MatchType:
    if value not in list(MatchType):
        raise ApiError(_INVALID, f"matchType must be one of {', '.join(MatchType)}.")
    return MatchType(value)


def _parse_pattern(match_type: MatchType, fields: Document) -> str:
    """Return the URL or prefix of a rule: `value` has no slash at its end, `prefix` has one."""
    for name, kind in _PATTERN_FIELDS.items():
        if kind is not match_type and name in fields:
            raise ApiError(_INVALID, f"{name} is for {kind} only.")
        if kind is match_type:
            url = _text(fields, name, _MAX_URL)
            if not is_pattern(match_type, url):
                ending = "not end" if match_type is MatchType.EXACT_MATCH else "end"
                raise ApiError(_INVALID, f"{name} must be an http(s) URL and {ending} with /.")
            return url
    return ""


def is_pattern(match_type: MatchType, url: str) -> bool:
    """Whether a rule of this type can have this URL."""
    if url.endswith("/") is not (match_type is MatchType.PREFIX_MATCH):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def _parse_shares(value: Any, rules: WebhookRules) -> tuple[Share, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_SHARES:
        raise ApiError(_INVALID, f"settings must be a list of 1 to {_MAX_SHARES} settings.")
    shares = []
    for entry in value:
        if not isinstance(entry, dict) or entry.get("settingId") not in rules.settings:
            raise ApiError(_INVALID, "settings: the account has no Setting of this settingId.")
        percentage = _number(entry, "percentage", _ALL_TRAFFIC, 1, _ALL_TRAFFIC)
        shares.append(Share(setting_id=entry["settingId"], percentage=percentage))
    if sum(share.percentage for share in shares) != _ALL_TRAFFIC:
        raise ApiError(_INVALID, f"settings: the percentages must sum to {_ALL_TRAFFIC}.")
    return tuple(shares)


def _key_document(key: SharedKey) -> Document:
    return {
        "id": key.id,
        "friendlyName": key.friendly_name,
        "createdAt": _iso(key.created),
        "updatedAt": _iso(key.updated),
    }


def _setting_document(setting: Setting) -> Document:
    signature: Document = {"type": "ACCOUNT_AUTH_TOKEN", "algorithm": Algorithm.HMAC_SHA1}
    if signing := setting.signing:
        signature = {
            "type": "SHARED_KEY",
            "sharedKeyId": signing.key_id,
            "algorithm": signing.algorithm,
        }
    return {
        "id": setting.id,
        "type": "CUSTOMER",
        "friendlyName": setting.friendly_name,
        "description": setting.description,
        "signature": signature,
        **_connection_document(setting.connection),
        "createdAt": _iso(setting.created),
        "updatedAt": _iso(setting.updated),
    }


def _connection_document(connection: ConnectionOverrides | None) -> Document:
    if connection is None:
        return {}
    timeouts = (connection.connect_timeout, connection.read_timeout, connection.total_timeout)
    names = (name for name, *_ in _TIMEOUTS)
    retry_on = [name for name, policies in _RETRY_POLICIES.items() if policies <= connection.policy]
    return {
        "connection": {
            **{name: round(it * 1000) for name, it in zip(names, timeouts, strict=True)},
            "retryPolicy": {"retryCount": connection.retries, "retryOn": retry_on},
        }
    }


def _rule_document(rule: Rule) -> Document:
    pattern = {
        name: rule.pattern for name, kind in _PATTERN_FIELDS.items() if kind is rule.match_type
    }
    shares = [{"settingId": it.setting_id, "percentage": it.percentage} for it in rule.shares]
    return {
        "id": rule.id,
        "friendlyName": rule.friendly_name,
        "description": rule.description,
        "matchType": rule.match_type,
        **pattern,
        "settings": shares,
        "createdAt": _iso(rule.created),
        "updatedAt": _iso(rule.updated),
    }


def _documents[T](
    resources: Mapping[str, T], document: Callable[[T], Document]
) -> dict[str, Document]:
    return {id_: document(resource) for id_, resource in resources.items()}


def _page(key: str, documents: Mapping[str, Document], call: _Call) -> _Result:
    """Return a page of a list; the token of a page is the number of resources before it."""
    query = Parameters.parse(call.request.query)
    size = _parse_count(query.one("pageSize") or str(_DEFAULT_PAGE_SIZE), "pageSize")
    if not 1 <= size <= _MAX_PAGE_SIZE:
        raise ApiError(_INVALID, f"pageSize must be a number from 1 to {_MAX_PAGE_SIZE}.")
    start = _parse_count(query.one("pageToken") or "0", "pageToken")
    rows: Sequence[Document] = list(documents.values())
    following = start + size
    meta = {
        "key": key,
        "pageSize": size,
        "nextToken": str(following) if following < len(rows) else None,
        "previousToken": str(max(0, start - size)) if start else None,
    }
    return _Result(document={"meta": meta, key: rows[start:following]})


def _parse_count(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ApiError(_INVALID, f"{name} is invalid.")
    return int(text)


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _response(result: _Result, media_type: str) -> Response:
    body = b"" if result.document is None else json.dumps(result.document).encode()
    headers = {"Content-Type": f"application/{media_type}", **result.headers}
    return Response(status=result.status, headers=list(headers.items()), body=body)
