"""What Lambda calls, and what connects it: no rule of the project stands here."""
