"""Fulfils the ports with AWS and OpenAI. Nothing else in the package imports boto3, botocore or openai.

Never: a rule of the project.
"""
