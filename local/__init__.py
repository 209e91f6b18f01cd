"""The embedded stack: all that a laptop needs to run the project without an account."""
