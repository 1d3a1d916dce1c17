"""The description of MessagesApi and of what the stack publishes, generated from the code.

`python -m api_description` (or `make openapi`) writes `openapi.yaml` and docs/schemas/. The schemas
come from the tables that validate requests and from the classes that answers are made of; the
examples of answers are made by the functions' own code. Each module has the texts that explain its
fields: a field without a text, or a text without a field, is an error.
"""
