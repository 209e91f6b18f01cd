"""The embedded stack: everything a laptop needs to run the project without an account anywhere."""
