"""What people look at rather than read from JSON; `include("mandate.urls")` gives a project all of it."""
