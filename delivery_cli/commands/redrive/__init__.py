"""`redrive`: what the stack gave up gets another chance."""
