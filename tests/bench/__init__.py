"""Benchmarks: scripts that print figures. Nothing here gates; the machine is never quiet."""
