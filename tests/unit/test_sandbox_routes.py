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
    return {"payloadFormatVersion": "2.0", "uri": {"Fn::Sub": uri}, **more}


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
                "get": an_operation(timeoutInMillis=6000),
                "post": an_operation(alias="OtherAliaslive"),
            }
        }
    )
    expected = (("GET", "EchoFunction", 6000), ("POST", "Other", 30_000))
    template["Resources"]["Empty"] = {"Type": "AWS::ApiGatewayV2::Api"}

    assert find_routes(template) == [
        Route(
            api="TheApi",
            key=f"{method} /messages/{{message_sid}}",
            alias=f"{function}Aliaslive",
            payload_format="2.0",
            timeout_ms=timeout_ms,
        )
        for method, function, timeout_ms in expected
    ]


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com",
        {"Fn::Sub": "functions/${EchoFunction.Arn}/invocations"},
    ],
)
def test_a_route_without_an_alias_is_an_error_that_names_the_route(uri: Json) -> None:
    operation = {"x-amazon-apigateway-integration": {"type": "http_proxy", "uri": uri}}

    with pytest.raises(SandboxError, match="TheApi /a"):
        find_routes(a_template({"/a": {"get": operation}}))
