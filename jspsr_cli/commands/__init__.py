"""One module a command: it parses, calls one library function, and reports."""
