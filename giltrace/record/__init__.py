"""Recording: sessions, starting the target, draining what it writes into a capture."""
