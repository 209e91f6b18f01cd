"""Connects everything for Lambda: settings, clients, logs, heartbeats, the messages of a queue.

Never: a rule of the project.
"""
