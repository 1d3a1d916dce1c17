"""The rules: what a status, a message, a notice and a send request are. Pure."""
