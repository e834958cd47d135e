"""Read a carrier's rate sheet: CSV or XLSX in, typed price lines and rejected lines out. Knows no database."""

from __future__ import annotations
