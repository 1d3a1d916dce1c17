"""What every function needs of AWS, HTTP and logging; it knows nothing of messages."""
