"""The terminal UI: captures, and recordings that still grow, as a timeline."""
