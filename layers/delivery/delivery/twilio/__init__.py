"""Twilio: API client, credentials, webhook signatures, status callbacks, error codes."""
