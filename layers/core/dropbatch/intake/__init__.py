"""Intake of the inbox's objects: a drop becomes a job, a recipe is checked, a marker acts.

Never: a batch at OpenAI, or a change to what a user dropped.
"""
