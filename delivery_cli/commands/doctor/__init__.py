"""`doctor`: is a deployed stack able to do what it promises, and if not, what is to be done."""
