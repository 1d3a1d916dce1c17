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
from typing import Final

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
    parse_description,
    parse_match_type,
    parse_name,
    parse_pattern,
    parse_shares,
    parse_signing,
    rule_document,
    setting_document,
)
from sandbox.twilio.webhook_rules import (
    Rule,
    Setting,
    SharedKey,
    WebhookRules,
    new_id,
    new_shared_key,
)

PREFIX: Final = "/v1/Webhooks/"

_DEFAULT_PAGE_SIZE: Final = 50
_MAX_PAGE_SIZE: Final = 1000
_ALREADY_EXISTS: Final = 59103
_IN_USE: Final = 20409


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
        self._operations: dict[str, Document] = {}
        self._routes: Mapping[str, Mapping[str, Callable[[_Call], _Result]]] = {
            "SharedKeys": {"GET": self._list_keys, "POST": self._create_key},
            "SharedKeys/": {
                "GET": lambda call: _Result(document=key_document(_key(call))),
                "PATCH": self._rename_key,
                "DELETE": self._delete_key,
            },
            "Settings": {"GET": self._list_settings, "POST": self._create_setting},
            "Settings/": {
                "GET": lambda call: _Result(document=setting_document(_setting(call))),
                "PATCH": self._rename_setting,
                "DELETE": self._delete_setting,
            },
            "Rules": {"GET": self._list_rules, "POST": self._create_rule},
            "Rules/": {
                "GET": lambda call: _Result(document=rule_document(_rule(call))),
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
        return _page("sharedKeys", _documents(call.rules.shared_keys, key_document), call)

    def _create_key(self, call: _Call) -> _Result:
        name = parse_name(call.fields)
        key = new_shared_key(call.rules, self._ids, call.now, friendly_name=name)
        # Twilio shows the secret this once.
        document = key_document(key) | {"secret": key.secret}
        return _Result(status=HTTPStatus.CREATED, document=document)

    def _rename_key(self, call: _Call) -> _Result:
        name = parse_name(call.fields)
        key = replace(_key(call), friendly_name=name, updated=call.now)
        call.rules.shared_keys[key.id] = key
        return _Result(document=key_document(key))

    def _delete_key(self, call: _Call) -> _Result:
        key = _key(call)
        settings = call.rules.settings.values()
        if any(it.signing is not None and it.signing.key_id == key.id for it in settings):
            raise ApiError(_IN_USE, f"{key.id} is used by a Setting.")
        del call.rules.shared_keys[key.id]
        return _Result(status=HTTPStatus.NO_CONTENT)

    def _list_settings(self, call: _Call) -> _Result:
        return _page("settings", _documents(call.rules.settings, setting_document), call)

    def _create_setting(self, call: _Call) -> _Result:
        fields = call.fields
        check_auth(fields.get("auth"))
        setting = Setting(
            id=new_id("setting", self._ids),
            friendly_name=parse_name(fields),
            description=parse_description(fields),
            signing=parse_signing(fields.get("signature"), call.rules),
            connection=parse_connection(fields.get("connection")),
            created=call.now,
            updated=call.now,
        )
        call.rules.settings[setting.id] = setting
        return _Result(status=HTTPStatus.CREATED, document=setting_document(setting))

    def _rename_setting(self, call: _Call) -> _Result:
        """Change the names; everything else of a setting is immutable."""
        fields = call.fields
        if unknown := fields.keys() - {"friendlyName", "description"}:
            raise ApiError(INVALID, f"{', '.join(sorted(unknown))} cannot be changed.")
        setting = _setting(call)
        setting = replace(
            setting,
            friendly_name=parse_name(fields, setting.friendly_name),
            description=parse_description(fields, setting.description),
            updated=call.now,
        )
        call.rules.settings[setting.id] = setting
        return _Result(document=setting_document(setting))

    def _delete_setting(self, call: _Call) -> _Result:
        setting = _setting(call)
        shares = (share for rule in call.rules.rules.values() for share in rule.shares)
        if any(share.setting_id == setting.id for share in shares):
            raise ApiError(_IN_USE, f"{setting.id} is used by a Rule.")
        del call.rules.settings[setting.id]
        return _Result(status=HTTPStatus.NO_CONTENT)

    def _list_rules(self, call: _Call) -> _Result:
        documents = _documents(call.rules.rules, rule_document)
        if setting_id := Parameters.parse(call.request.query).one("settingId"):
            documents = {
                id_: document
                for id_, document in documents.items()
                if setting_id in {it["settingId"] for it in document["settings"]}
            }
        return _page("rules", documents, call)

    def _create_rule(self, call: _Call) -> _Result:
        fields = call.fields
        match_type = parse_match_type(fields.get("matchType"))
        rule = Rule(
            id=new_id("rule", self._ids),
            match_type=match_type,
            pattern=parse_pattern(match_type, fields),
            shares=parse_shares(fields.get("settings"), call.rules),
            friendly_name=parse_name(fields),
            description=parse_description(fields),
            created=call.now,
            updated=call.now,
        )
        return self._store_rule(rule, call)

    def _change_rule(self, call: _Call) -> _Result:
        fields, rule = call.fields, _rule(call)
        if fields.get("matchType", rule.match_type) != rule.match_type:
            raise ApiError(INVALID, "matchType cannot be changed.")
        rule = replace(
            rule,
            friendly_name=parse_name(fields, rule.friendly_name),
            description=parse_description(fields, rule.description),
            updated=call.now,
        )
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
            "createdAt": format_time(call.now),
            "completedAt": format_time(call.now),
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


def _documents[T](
    resources: Mapping[str, T], document: Callable[[T], Document]
) -> dict[str, Document]:
    return {id_: document(resource) for id_, resource in resources.items()}


def _page(key: str, documents: Mapping[str, Document], call: _Call) -> _Result:
    """Return a page of a list; the token of a page is the number of resources before it."""
    query = Parameters.parse(call.request.query)
    size = _parse_count(query.one("pageSize") or str(_DEFAULT_PAGE_SIZE), "pageSize")
    if not 1 <= size <= _MAX_PAGE_SIZE:
        raise ApiError(INVALID, f"pageSize must be a number from 1 to {_MAX_PAGE_SIZE}.")
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
        raise ApiError(INVALID, f"{name} is invalid.")
    return int(text)


def _response(result: _Result, media_type: str) -> Response:
    body = b"" if result.document is None else json.dumps(result.document).encode()
    headers = {"Content-Type": f"application/{media_type}", **result.headers}
    return Response(status=result.status, headers=list(headers.items()), body=body)
