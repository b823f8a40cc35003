"""The only file of this folder that Airflow loads. Where Feedmill is installed, Airflow finds the plugin by itself."""

from importlib.metadata import entry_points

if not entry_points(group="airflow.plugins", name="feedmill"):
    from feedmill.airflow.plugin import FeedmillPlugin as FeedmillPlugin
