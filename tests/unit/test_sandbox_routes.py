"""Finding the routes in a template that SAM has transformed."""

from typing import Any

import pytest

from sandbox.aws.routes import Route, find_routes
from sandbox.errors import SandboxError

type Json = Any


def an_integration(alias: str = "EchoFunctionAliaslive", **more: Json) -> Json:
    uri = (
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
        f"${{{alias}}}/invocations"
    )
    return {"type": "aws_proxy", "httpMethod": "POST", "uri": {"Fn::Sub": uri}, **more}


def a_template(paths: Json) -> Json:
    return {
        "Resources": {
            "Table": {"Type": "AWS::DynamoDB::Table"},
            "TheApi": {
                "Type": "AWS::ApiGatewayV2::Api",
                "Properties": {"Body": {"openapi": "3.0.1", "paths": paths}},
            },
        }
    }


def an_operation(**integration: Json) -> Json:
    return {"x-amazon-apigateway-integration": an_integration(**integration), "responses": {}}


def test_a_route_has_the_method_path_alias_and_timeout_of_the_template() -> None:
    template = a_template(
        {
            "/messages/{message_sid}": {
                "get": an_operation(payloadFormatVersion="2.0", timeoutInMillis=6000)
            }
        }
    )

    assert find_routes(template) == [
        Route(
            api="TheApi",
            key="GET /messages/{message_sid}",
            alias="EchoFunctionAliaslive",
            payload_format="2.0",
            timeout_ms=6000,
        )
    ]


def test_each_method_of_a_path_is_a_route() -> None:
    template = a_template({"/a": {"get": an_operation(), "post": an_operation(alias="Other")}})

    routes = [(route.key, route.alias) for route in find_routes(template)]

    assert routes == [("GET /a", "EchoFunctionAliaslive"), ("POST /a", "Other")]


@pytest.mark.parametrize(
    ("path", "key"), [("/{proxy+}", "ANY /{proxy+}"), ("$default", "$default")]
)
def test_routes_for_any_method_and_the_default_route_are_found(path: str, key: str) -> None:
    template = a_template({path: {"x-amazon-apigateway-any-method": an_operation()}})

    assert [route.key for route in find_routes(template)] == [key]


def test_fields_of_a_path_that_are_not_methods_are_ignored() -> None:
    template = a_template({"/a": {"parameters": [], "summary": "x", "delete": an_operation()}})

    assert [route.key for route in find_routes(template)] == ["DELETE /a"]


def test_an_api_without_a_body_has_no_routes() -> None:
    template = {"Resources": {"TheApi": {"Type": "AWS::ApiGatewayV2::Api"}}}

    assert find_routes(template) == []


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "https://example.com",
        {"Fn::Sub": "https://example.com"},
        {"Fn::Sub": "functions/${EchoFunction.Arn}/invocations"},
    ],
)
def test_a_route_without_an_alias_is_an_error_that_names_the_route(uri: Json) -> None:
    operation = {"x-amazon-apigateway-integration": {"type": "http_proxy", "uri": uri}}

    with pytest.raises(SandboxError, match="TheApi /a"):
        find_routes(a_template({"/a": {"get": operation}}))
