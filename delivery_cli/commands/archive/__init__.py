"""`delivery archive`: writes the archive again from the table."""
