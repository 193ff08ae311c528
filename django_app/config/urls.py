"""Addresses of the project."""

from django.contrib import admin
from django.urls import include, path

from practice import api, pages

urlpatterns = [
    path("admin/", admin.site.urls),
    path("practice/chains/", pages.chains_page, name="practice-chains-page"),
    path("practice/chains/<int:chain_id>/", pages.chain_page, name="practice-chain-page"),
    path("api/practice/chains/", api.Chains.as_view(), name="practice-chains"),
    path("api/practice/chains/<int:chain_id>/", api.Chain.as_view(), name="practice-chain"),
    path("", include("mandate.urls")),
]
