"""What the poller does once a minute. It reads no row and no result."""
