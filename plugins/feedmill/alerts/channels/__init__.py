"""Channels: how a message reaches a team. Each is one receiver's client, made from an Airflow connection."""
