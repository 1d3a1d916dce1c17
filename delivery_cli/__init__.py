"""The operators' command line: `delivery`, or `python -m delivery_cli`.

It works on what the stack promises to the outside, its HTTP API, its queues and what CloudFormation
says of it, so that it can do no more than the operator's own permissions.
"""
