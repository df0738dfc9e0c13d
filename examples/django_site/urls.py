"""The pages of the site."""

from django.urls import path
from views import book, hits, home, hot, report

urlpatterns = [
    path("", home),
    path("report", report),
    path("books/<int:number>", book),
    path("hot", hot),
    path("hits", hits),
]
