"""The command line: one file a command; `main` holds the group and the one place where an error becomes text."""
