"""What other apps may hear about operators; sent by the actions, inside their transaction.

Each signal carries `operator` and `actor`; `operator_changed` also carries `changed_fields`, by wire name.

`operator_migrated` is sent by the legacy migration, after the creation and outside its transaction, with the `routes`
of the sheet's row. A dry run sends it with no operator. It may come again for the same row; receivers return a list of
warnings for the report.
"""

from __future__ import annotations

from django.dispatch import Signal

operator_created = Signal()
operator_changed = Signal()
operator_deleted = Signal()
operator_migrated = Signal()
