"""What other apps may hear about operators; sent by the actions, inside their transaction.

Each signal carries `operator` and `actor`; `operator_changed` also carries `changed_fields`, by wire name.
"""

from __future__ import annotations

from django.dispatch import Signal

operator_created = Signal()
operator_changed = Signal()
operator_deleted = Signal()
