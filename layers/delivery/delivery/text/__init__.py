"""Formatting, masking and normalizing of what people read and type."""
