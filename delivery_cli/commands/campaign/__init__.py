"""`send --csv`: a message for each row of a file, once, however often the command is repeated."""
