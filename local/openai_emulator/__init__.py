"""OpenAI's Files and Batches on 127.0.0.1. As Dropbatch uses them, an `openai` client sees no difference."""
