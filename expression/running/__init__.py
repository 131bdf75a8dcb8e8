"""Around an analysis: its options, how a script ends, the files it writes, the look of figures."""
