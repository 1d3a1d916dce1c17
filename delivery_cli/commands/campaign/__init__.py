"""`delivery send --csv`: queues a message for each row of a file, at most once per row."""
