"""Fetching what `enhance` needs from public archives: only the bytes that are needed, each once."""
