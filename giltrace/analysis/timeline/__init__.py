"""What each thread was doing at each time, ready to be drawn at any scale."""
