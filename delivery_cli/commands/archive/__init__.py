"""`delivery archive`: writes the archive anew from the table."""
