"""The admin API of destination prefixes."""
