"""What can be set, each key declared once: type, default, limits and a line of meaning."""
