"""Entry points for Lambda: settings, clients, logs, heartbeats, and the messages of a queue.

Never: a rule of the project.
"""
