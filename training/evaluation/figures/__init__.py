"""The figures that documents quote: stored, laid out as pages, drawn."""
