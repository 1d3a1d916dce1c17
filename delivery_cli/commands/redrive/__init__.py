"""`delivery redrive`: moves messages from dead-letter queues back to their queues."""
