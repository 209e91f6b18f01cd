"""Benchmarks of the product: its speed, memory and calls, each with a bound. `make bench` runs them.

Studies of capacity and cost are in `tools.capacity`.
"""
