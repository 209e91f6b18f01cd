"""The ports on this machine: objects in a folder, the table and the queues in memory."""
