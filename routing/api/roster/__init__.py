"""All operators with their rules, for consumers that start cold."""
