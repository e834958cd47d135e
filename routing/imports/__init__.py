"""Bring a carrier's rate sheet in: upload, preview, apply, undo. The only other writer of rules is routing.actions.

A sheet goes UPLOADED > PREVIEWED > APPLIED > UNDONE. Nothing touches a rule before it is applied, and then all of it
happens in one transaction. Sheets that were never applied are deleted after a week.
"""

from __future__ import annotations
