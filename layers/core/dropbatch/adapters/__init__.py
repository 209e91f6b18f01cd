"""Adapters of AWS and OpenAI to the ports. Nothing else in the package imports boto3, botocore or openai.

Never: a rule of the project.
"""
