"""The ports, fulfilled by AWS and OpenAI. Nothing else in the package imports boto3 or openai."""
