"""What staff ask about all rules at once: prices as of a date, destinations that nobody or one operator carries."""
