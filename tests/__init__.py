"""The tests: one folder for each package, and house/ and acceptance/ for what only the whole can show."""
