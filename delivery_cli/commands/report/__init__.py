"""`delivery report`: rates, times to delivery and spend, from the archive."""
