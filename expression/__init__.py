"""What the four scripts share: reading, analysis, figures, and what surrounds an analysis."""
