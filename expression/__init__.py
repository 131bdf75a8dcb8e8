"""What the four scripts share, one room a file; `data` is the loading helper."""
