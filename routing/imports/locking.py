"""Who may write an operator's rules while a sheet of a hundred thousand lines is under way."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import connection

from operators.errors import OperatorNotFound
from operators.models import Operator
from routing.errors import RateSheetNotFound
from routing.models import RateSheet

# The first key of the advisory locks; the second is the operator.
IMPORTS: Final = 7_264_001


def hold_rules(operator_id: UUID) -> int:
    """Keep everybody else from changing this operator until the transaction ends, and return its version.

    Another import waits at the advisory lock. Every other writer begins with `lock_operator`, whose FOR UPDATE waits
    for our FOR KEY SHARE. Health's FOR NO KEY UPDATE does not: reports of all operators are reduced together, and
    must not stand still while the rules of one are written. `lock_operator` itself comes last, just before the commit;
    PostgreSQL lets the holder of the weaker lock pass by those who wait.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [IMPORTS, str(operator_id)])
        cursor.execute(
            f"SELECT version FROM {Operator._meta.db_table} WHERE id = %s AND deleted_at IS NULL FOR KEY SHARE",  # noqa: S608
            [operator_id],
        )
        row = cursor.fetchone()
    if row is None:
        raise OperatorNotFound
    version: int = row[0]
    return version


def lock_sheet(sheet_id: UUID) -> RateSheet:
    """Lock and read one sheet until the transaction ends; raises RateSheetNotFound."""
    sheet = RateSheet.objects.select_for_update(of=("self",)).filter(pk=sheet_id).first()
    if sheet is None:
        raise RateSheetNotFound
    return sheet
