"""Formats, masks and normalizes what people read and type."""
