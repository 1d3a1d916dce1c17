"""The tables and the callback queue: items, conditions, indexes, lists."""
