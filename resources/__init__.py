"""Configuration in, an object of voice_core out."""
