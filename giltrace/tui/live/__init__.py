"""Looking at a recording while it is made."""
