"""OpenAI's Batch API: its facts, each written down once."""
