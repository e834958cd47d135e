# The official image has no pg_partman; its own package source has it.
FROM postgres:15-bookworm
# Not pinned: the source keeps only the newest build, and any 4.x or 5.x does.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-15-partman \
    && rm -rf /var/lib/apt/lists/*
