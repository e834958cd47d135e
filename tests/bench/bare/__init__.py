"""A bare DRF view that reads the same row and the same secret: no identity, no audit, no metrics."""
