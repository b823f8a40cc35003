"""Alerts: incidents computed from state, the outbox that keeps them, and the channels that tell people."""
