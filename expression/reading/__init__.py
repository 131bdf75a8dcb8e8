"""Files in, checked data out: sheets of cells, what their columns mean, what is refused."""
