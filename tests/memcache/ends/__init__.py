"""How requests of an asyncio client end, and what comes next."""
