"""Everything that is Twilio's: API, signatures, callbacks, credentials, error codes."""
