"""The move from the shared spreadsheet and the LastPass folder to the system of record."""

from __future__ import annotations
