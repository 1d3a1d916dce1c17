"""A simulated Twilio: the Messages API, and status callbacks as Twilio sends them.

simulator        the simulator itself, pure and deterministic: callers pass in time, ids and network
server           runs it on a port, in real time
callback_client  sends its callbacks over the network

rest             routes of the REST API, and what each does
create_request   checks a request to create a message
parameters       reads forms and queries
listing          pages of messages
resource         a message, and the documents that show it, in JSON and XML
accounts         credentials, and the tokens that sign callbacks
errors           error responses

scenarios        what happens to a message, by its recipient's number
engine           runs the scenarios: which status is due when, which callback is sent when
callbacks        parameters, signature and retries of a callback
overrides        connection overrides in the fragment of a callback's URL
webhook_rules    which shared key signs a callback, and how it is sent
webhooks_api     /v1/Webhooks/: the API that configures these rules
webhook_documents
                 the fields of its documents
segments         how many segments a text takes

settings         what can be changed while it runs
admin_api        /_simulator/: messages with their callbacks, settings, credentials
page/            the page that shows them
command          `python -m sandbox twilio`: runs it alone

To add
- a scenario: a row in `scenarios.SCENARIOS` and in docs/getting-started.md
- a parameter of a new message: `create_request`, and a field of `resource.Message` if it is kept
- an error of the REST API: raise `ApiError` where Twilio checks; `errors` has its HTTP status
- a delivery error that means `failed`, not `undelivered`: `scenarios._FAILED_CODES`
"""
