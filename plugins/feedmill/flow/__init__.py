"""The flow of one table, a module for each verb: wait, build, check, publish."""
