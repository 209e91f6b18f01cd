"""Where an invocation begins."""
