"""`erase`: one person's data goes, in the tables and at Twilio."""
