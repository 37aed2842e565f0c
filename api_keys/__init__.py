"""API keys: who may ask at a door, and what for."""
