"""Chaos: many messages while everything fails, and then what the table says against the truth.

plan        what is asked for, and what goes wrong meanwhile
asking      the clients: they repeat what was not answered, as careful clients do
seeing      what Twilio, the tables and the people who are told know in the end
comparing   the differences between these
command     `python -m sandbox chaos`
"""
