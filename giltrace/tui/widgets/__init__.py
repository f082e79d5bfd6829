"""What is on the screens. A widget shows, and posts messages; screens decide."""
