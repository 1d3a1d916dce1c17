"""`delivery erase`: erases one person's data in the tables and at Twilio."""
