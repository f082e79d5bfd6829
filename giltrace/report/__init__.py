"""A trace explained: in words, as tables for the terminal, and as one JSON object."""
