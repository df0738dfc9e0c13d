"""Other libraries' faces over ours: change the import lines, keep the code."""
