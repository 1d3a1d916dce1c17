"""The least that a function with a table can start with, with --calls up to its first calls.

Those are what no receiver of signed callbacks can do without: Twilio's secret, and one write.
"""

import sys
from time import perf_counter

started = perf_counter()

import boto3  # noqa: E402 -- what is measured

dynamodb = boto3.client("dynamodb")
ready = perf_counter()

if "--calls" in sys.argv:
    secrets_manager = boto3.client("secretsmanager")
    secrets_manager.get_secret_value(SecretId="delivery/twilio")
    dynamodb.update_item(TableName="MessagesTable", Key={"message_sid": {"S": "SM"}})
called = perf_counter()

sys.stdout.write(
    f'{{"ready": {(ready - started) * 1000}, "called": {(called - started) * 1000}}}\n'
)
