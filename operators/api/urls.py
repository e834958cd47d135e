"""The addresses of operators, under /v1/admin/ and under /v1/internal/."""

from __future__ import annotations

from django.urls import path

from operators.api import views
from operators.api.internal import OperatorCredentials

urlpatterns = [
    path("operators", views.OperatorList.as_view(), name="operators"),
    path("operators/<uuid:operator_id>", views.OperatorDetail.as_view(), name="operator"),
    path("operators/<uuid:operator_id>/activate", views.OperatorActivate.as_view(), name="operator-activate"),
    path("operators/<uuid:operator_id>/suspend", views.OperatorSuspend.as_view(), name="operator-suspend"),
    path("operators/<uuid:operator_id>/deactivate", views.OperatorDeactivate.as_view(), name="operator-deactivate"),
    path("operators/<uuid:operator_id>/restore", views.OperatorRestore.as_view(), name="operator-restore"),
    path(
        "operators/<uuid:operator_id>/revert-credential",
        views.CredentialRevert.as_view(),
        name="operator-revert-credential",
    ),
    path("operators/<uuid:operator_id>/tps-limit", views.TpsLimit.as_view(), name="operator-tps-limit"),
    path("operators/<uuid:operator_id>/history", views.OperatorHistory.as_view(), name="operator-history"),
]
internal = [
    path("operators/<uuid:operator_id>/credentials", OperatorCredentials.as_view(), name="operator-credentials"),
]
