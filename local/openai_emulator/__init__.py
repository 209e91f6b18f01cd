"""OpenAI's Files and Batches on 127.0.0.1: an `openai` client cannot tell it from the service where it is used here."""
