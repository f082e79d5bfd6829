"""What the timeline shows, and where one is in it; no module imports textual."""
