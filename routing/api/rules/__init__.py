"""The admin API of routing rules."""
