"""Time the minimum start of a function with a table; with --calls, to the end of its first calls.

The first calls are what any receiver of signed callbacks needs: the secret, and one write.
"""

import sys
from time import perf_counter

started = perf_counter()

import boto3  # noqa: E402 -- its import is measured

dynamodb = boto3.client("dynamodb")
if "--calls" in sys.argv:
    secrets_manager = boto3.client("secretsmanager")
    secrets_manager.get_secret_value(SecretId="delivery/twilio")
    dynamodb.update_item(TableName="MessagesTable", Key={"message_sid": {"S": "SM"}})

sys.stdout.write(f"{(perf_counter() - started) * 1000}\n")
