"""Long runs that look for what short ones do not find: ``python -m tests.stress --seconds 600``."""
