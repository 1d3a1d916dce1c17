"""The webhooks configuration API (public beta): shared keys, settings and rules of an account.

Names and shapes are those of Twilio's Python SDK 9.13 (`client.webhooks.v1`) and of
https://www.twilio.com/docs/usage/webhooks/webhook-configuration. Different from Twilio: a change
applies at once, not after 30 to 60 seconds. A setting cannot authenticate Twilio with OAuth, Basic
or Digest. Only the URL and the settings of a rule can be changed. AuthProfiles, EdgeZones and Tests
do not exist.
"""

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from sandbox.http_server import Request, Response
from sandbox.twilio.accounts import Accounts
from sandbox.twilio.errors import ApiError
from sandbox.twilio.parameters import Parameters
from sandbox.twilio.resource import Document
from sandbox.twilio.webhook_documents import (
    INVALID,
    PATTERN_FIELDS,
    check_auth,
    format_time,
    key_document,
    parse_connection,
    parse_match_type,
    parse_pattern,
    parse_shares,
    parse_signing,
    rule_document,
    setting_document,
)
from sandbox.twilio.webhook_rules import Rule, Setting, WebhookRules, new_id, new_shared_key

PREFIX: Final = "/v1/Webhooks/"

_DEFAULT_PAGE_SIZE: Final = 50
_MAX_PAGE_SIZE: Final = 1000
_ALREADY_EXISTS: Final = 59103
_IN_USE: Final = 20409


@dataclass(frozen=True, slots=True)
class _Collection:
    """The resources of one kind; `key` is the property that holds them in a list."""

    key: str
    resources: Callable[[WebhookRules], dict[str, Any]]
    document: Callable[[Any], Document]


_COLLECTIONS: Final = {
    "SharedKeys": _Collection("sharedKeys", lambda rules: rules.shared_keys, key_document),
    "Settings": _Collection("settings", lambda rules: rules.settings, setting_document),
    "Rules": _Collection("rules", lambda rules: rules.rules, rule_document),
    "Operations": _Collection("operations", lambda rules: rules.operations, dict),
}


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
            raise ApiError(INVALID, "The body must be a JSON object.")
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
        self._changes: Mapping[str, Callable[[_Call], _Result]] = {
            "POST SharedKeys": self._create_key,
            "POST Settings": self._create_setting,
            "POST Rules": self._create_rule,
            "PATCH Rules/": self._change_rule,
            "DELETE SharedKeys/": lambda call: _delete(call, call.rules.shared_keys),
            "DELETE Settings/": lambda call: _delete(call, call.rules.settings),
            "DELETE Rules/": self._delete_rule,
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
        rules = self._accounts.webhook_rules(account.sid)
        name, slash, id_ = request.path.removeprefix(PREFIX).partition("/")
        collection = _COLLECTIONS.get(name)
        if collection is None or (slash and id_ not in collection.resources(rules)):
            raise ApiError(20404, f"The requested resource {request.path} was not found")
        call = _Call(request=request, rules=rules, id=id_, now=now)
        if request.method == "GET":
            return _read(call, collection)
        change = self._changes.get(f"{request.method} {name}{slash}")
        if change is None:
            raise ApiError(20004, f"Method {request.method} is not allowed on this resource")
        return change(call)

    def _create_key(self, call: _Call) -> _Result:
        key = new_shared_key(call.rules, self._ids, call.now)
        # Twilio shows the secret this once.
        document = key_document(key) | {"secret": key.secret}
        return _Result(status=HTTPStatus.CREATED, document=document)

    def _create_setting(self, call: _Call) -> _Result:
        fields = call.fields
        check_auth(fields.get("auth", {}))
        setting = Setting(
            id=new_id("setting", self._ids),
            signing=parse_signing(fields.get("signature"), call.rules),
            connection=parse_connection(fields.get("connection")),
            created=call.now,
        )
        call.rules.settings[setting.id] = setting
        return _Result(status=HTTPStatus.CREATED, document=setting_document(setting))

    def _create_rule(self, call: _Call) -> _Result:
        fields = call.fields
        match_type = parse_match_type(fields.get("matchType"))
        rule = Rule(
            id=new_id("rule", self._ids),
            match_type=match_type,
            pattern=parse_pattern(match_type, fields),
            shares=parse_shares(fields.get("settings"), call.rules),
            created=call.now,
            updated=call.now,
        )
        return self._store_rule(rule, call)

    def _change_rule(self, call: _Call) -> _Result:
        fields, rule = call.fields, call.rules.rules[call.id]
        if fields.get("matchType", rule.match_type) != rule.match_type:
            raise ApiError(INVALID, "matchType cannot be changed.")
        rule = replace(rule, updated=call.now)
        if PATTERN_FIELDS.keys() & fields.keys():
            rule = replace(rule, pattern=parse_pattern(rule.match_type, fields))
        if "settings" in fields:
            rule = replace(rule, shares=parse_shares(fields["settings"], call.rules))
        return self._store_rule(rule, call)

    def _store_rule(self, rule: Rule, call: _Call) -> _Result:
        for other in call.rules.rules.values():
            same = (other.match_type, other.pattern) == (rule.match_type, rule.pattern)
            if same and other.id != rule.id:
                raise ApiError(_ALREADY_EXISTS, f"{other.id} matches the same URLs.")
        call.rules.rules[rule.id] = rule
        return self._operation(rule.id, call, {"rule": rule_document(rule)})

    def _delete_rule(self, call: _Call) -> _Result:
        del call.rules.rules[call.id]
        return self._operation(call.id, call, {})

    def _operation(self, rule_id: str, call: _Call, changed: Document) -> _Result:
        """Answer a change of a rule, which Twilio applies asynchronously."""
        id_ = new_id("operation", self._ids)
        operation = {
            "id": id_,
            "statusUrl": f"{PREFIX}Operations/{id_}",
            "status": "COMPLETED",
            "resourceId": rule_id,
            "createdAt": format_time(call.now),
            "completedAt": format_time(call.now),
            "retentionPeriod": "P7D",
        }
        call.rules.operations[id_] = operation
        return _Result(
            status=HTTPStatus.ACCEPTED,
            document={"operation": operation, **changed},
            headers={"Operation-Id": id_, "Location": operation["statusUrl"]},
        )


def _read(call: _Call, collection: _Collection) -> _Result:
    resources = collection.resources(call.rules)
    if call.id:
        return _Result(document=collection.document(resources[call.id]))
    rows = list(map(collection.document, resources.values()))
    if setting_id := Parameters.parse(call.request.query).one("settingId"):
        # Of the collections, only rules have settings.
        rows = [it for it in rows if setting_id in {s["settingId"] for s in it.get("settings", ())}]
    return _page(collection.key, rows, call.request)


def _delete(call: _Call, resources: dict[str, Any]) -> _Result:
    """Delete a shared key that no setting names, or a setting that no rule names."""
    keys = {it.signing.key_id for it in call.rules.settings.values() if it.signing}
    settings = {share.setting_id for rule in call.rules.rules.values() for share in rule.shares}
    if call.id in keys | settings:
        raise ApiError(
            _IN_USE, f"{call.id} is used: first change or delete the Setting or Rule that names it."
        )
    del resources[call.id]
    return _Result(status=HTTPStatus.NO_CONTENT)


def _page(key: str, rows: list[Document], request: Request) -> _Result:
    """Return a page of a list; the token of a page is the number of resources before it."""
    query = Parameters.parse(request.query)
    size = _parse_count(query.one("pageSize") or str(_DEFAULT_PAGE_SIZE), "pageSize")
    if not 1 <= size <= _MAX_PAGE_SIZE:
        raise ApiError(INVALID, f"pageSize must be a number from 1 to {_MAX_PAGE_SIZE}.")
    start = _parse_count(query.one("pageToken") or "0", "pageToken")
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
        raise ApiError(INVALID, f"{name} is invalid.")
    return int(text)


def _response(result: _Result, media_type: str) -> Response:
    body = b"" if result.document is None else json.dumps(result.document).encode()
    headers = {"Content-Type": f"application/{media_type}", **result.headers}
    return Response(status=result.status, headers=list(headers.items()), body=body)
