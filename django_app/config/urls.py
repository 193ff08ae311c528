"""Addresses of the project."""

from django.contrib import admin
from django.urls import include, path

from practice import api

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/practice/chains/", api.Chains.as_view(), name="practice-chains"),
    path("api/practice/chains/<int:chain_id>/", api.Chain.as_view(), name="practice-chain"),
    path("", include("mandate.urls")),
]
