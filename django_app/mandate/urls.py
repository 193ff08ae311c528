"""Addresses of the app: `include("mandate.urls")` gives a project all of them."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
