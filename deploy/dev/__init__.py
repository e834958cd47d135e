"""Run PostgreSQL, nats-server and OpenBao on loopback, for development and tests."""
