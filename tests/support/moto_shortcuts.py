"""Shortcuts through moto and botocore, which took three quarters of the tests' time.

The answers stay the same. A call of DynamoDB, SQS or Secrets Manager is validated and serialized by
botocore, and then goes to moto without the signature, the HTTP request and the routing between the
two. What moto and botocore compute again at each call or for each session is cached: each cached
value depends on nothing but its key.
"""

import copyreg
import json
import pickle
from collections.abc import Callable, Hashable
from copy import copy
from functools import cache
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.handlers import BUILTIN_HANDLERS
from botocore.parsers import JSONParser
from moto.core import models
from moto.dynamodb.models.dynamo_type import LimitedSizeDict
from moto.dynamodb.responses import DynamoHandler
from moto.secretsmanager.responses import SecretsManagerResponse
from moto.sqs.responses import SQSResponse

_PARSING = "moto.dynamodb.parsing"
_WITHOUT_HTTP = {
    "dynamodb": DynamoHandler,
    "secrets-manager": SecretsManagerResponse,
    "sqs": SQSResponse,
}
"""Moto's handlers of requests by botocore's name of the service; all speak JSON."""


def install_shortcuts() -> None:
    """Use the shortcuts from now on, in this process, for clients that are created later."""
    BUILTIN_HANDLERS.extend((f"before-call.{it}", answer_without_http) for it in _WITHOUT_HTTP)
    # Otherwise every session of boto3 would read the description of each service again, translate
    # the names of its events again, and examine 300 handlers again.
    _replace("botocore.session", "create_loader", cache)
    _replace("botocore.hooks.EventAliaser", "_alias_event_name", _by_argument)
    _replace("botocore.session.Session", "_register_builtin_handlers", _copied_from_first)
    _replace("moto.core.serialize.BaseJSONSerializer", "_serialize_type_structure", _values_as_is)
    # Without this, moto compares every call of `requests` with all AWS endpoints; no test needs it.
    models.RESPONSES_METHODS.clear()
    _replace("moto.core.responses", "method_names_from_class", cache)
    _replace("moto.core.serialize.XFormedAttributePicker", "get_possible_keys", _by_kind_of_member)
    # Each transaction copies its whole tables, for a rollback, and measures each item on the way.
    copyreg.pickle(LimitedSizeDict, lambda it: (_unmeasured, (dict(it),)))
    _replace("moto.dynamodb.models", "copy", lambda _: SimpleNamespace(deepcopy=_copied))
    # The expression of an update is parsed twice, copied twice, and gone through twenty times.
    _replace(f"{_PARSING}.expressions.UpdateExpressionParser", "make", cache)
    _replace(f"{_PARSING}.validators", "deepcopy", lambda _: _copied_expression)
    _replace(f"{_PARSING}.ast_nodes.DepthFirstTraverser", "traverse", lambda _: _traverse)
    # Moto compiles six patterns for each word of a condition.
    _replace("moto.dynamodb.comparisons.ConditionExpressionParser", "_lex_one_node", _by_argument)
    # These two check each part again after they checked the whole.
    for validator in ("ActionCountValidator", "OverlappingPathsValidator"):
        name = f"{_PARSING}.validators.{validator}"
        _replace(name, "traverse", lambda _: lambda itself, expression: itself.process(expression))


def answer_without_http(model: Any, params: dict[str, Any], **_: Any) -> Any:
    """Answer a call, as a handler of botocore's event before it makes the request.

    Botocore's retries do not see the answer: a test of them unregisters this handler.
    """
    if not models.botocore_stubber.enabled or not params["url"].endswith(".amazonaws.com/"):
        return None
    moto: Any = _WITHOUT_HTTP[model.service_model.service_id.hyphenize()]()
    moto.region, moto.current_account = "us-east-1", models.DEFAULT_ACCOUNT_ID
    moto.headers, moto.querystring, moto.response_headers = params["headers"], {}, {}
    moto.uri, moto.path, moto.uri_match = params["url"], params["url_path"], {}
    moto.body, moto.params = params["body"], json.loads(params["body"])
    status, headers, body = moto.call_action()
    response = {"status_code": int(status), "headers": headers, "body": body.encode()}
    parsed = JSONParser().parse(response, model.output_shape)
    if "Error" in parsed:
        error = model.service_model.shape_for_error_code(parsed["Error"]["Code"])
        parsed |= JSONParser().parse(response, error)
    return AWSResponse(params["url"], int(status), headers, None), parsed


def _values_as_is(serialize: Any) -> Any:
    def serialize_structure(itself: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue":  # JSON has them as moto does: no table has binary values
            serialized[key] = value
        else:
            serialize(itself, serialized, value, shape, key)

    return serialize_structure


def _by_argument(method: Any) -> Any:
    kept: dict[Hashable, Any] = {}

    def kept_result(itself: Any, argument: Hashable) -> Any:
        if argument not in kept:
            kept[argument] = method(itself, argument)
        return kept[argument]

    return kept_result


def _copied_from_first(register: Any) -> Any:
    first: list[Any] = []

    def register_builtin_handlers(session: Any, events: Any) -> None:
        if not first:
            register(session, events)
            first.append(copy(events._emitter))  # noqa: SLF001 -- botocore has no other way
        events._emitter = copy(first[0])  # noqa: SLF001 -- the same

    return register_builtin_handlers


def _replace(owner_name: str, name: str, new: Callable[[Any], Any]) -> None:
    owner = resolve_name(owner_name)
    setattr(owner, name, new(getattr(owner, name)))


def _by_kind_of_member(find_keys: Any) -> Any:
    kept: dict[Hashable, list[str]] = {}

    def possible_keys(picker: Any, context: Any) -> list[str]:
        kind = context.shape, context.key, type(context.obj)
        if kind not in kept:
            kept[kind] = list(find_keys(picker, context))
        return kept[kind]

    return possible_keys


_NODE: type = resolve_name(f"{_PARSING}.ast_nodes.Node")
_is_subclass: Callable[..., bool] = cache(issubclass)
_pickled: Callable[..., bytes] = cache(pickle.dumps)


def _traverse(traverser: Any, root: Any) -> Any:
    """Go through an expression as moto does, but compare only the classes of its nodes."""
    processed = traverser.nodes_to_be_processed()

    def visit(node: Any, own_index: int) -> Any:
        parent = node.parent
        for index, child in enumerate(node.children or ()):
            traverser.pre_processing_of_child(node, index)
            if _is_subclass(type(child), _NODE):
                visit(child, index)
        if _is_subclass(type(node), processed):
            node = traverser.process(node)
            node.parent = parent
            if parent:
                parent.children[own_index] = node
        return node

    return visit(root, -1)


def _copied_expression(tree: object) -> object:
    """Copy an expression, which stays as it was parsed, or a value."""
    pickled = _pickled(tree) if isinstance(tree, _NODE) else pickle.dumps(tree)
    return pickle.loads(pickled)  # noqa: S301 -- it was made in this process


def _copied(tree: object) -> object:
    return pickle.loads(pickle.dumps(tree))  # noqa: S301 -- it was made in this process


def _unmeasured(content: dict[str, Any]) -> LimitedSizeDict:
    new = LimitedSizeDict()
    dict.update(new, content)  # the method of LimitedSizeDict checks the size
    return new
