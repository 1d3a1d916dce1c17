"""What every function needs of AWS and HTTP; knows nothing of messages."""
