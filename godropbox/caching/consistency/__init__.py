"""The protocol of the consistent cache: its steps, their driver, and the servers."""
