"""Pure functions from a trace to a result: no I/O, no clock, no state."""
