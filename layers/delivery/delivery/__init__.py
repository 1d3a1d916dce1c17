"""Delivery tracking for Twilio messages: the rules, and the adapters around them."""
