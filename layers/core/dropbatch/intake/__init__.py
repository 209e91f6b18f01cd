"""Takes in what lands in the inbox: recipes, markers, drops. Nothing here talks to OpenAI."""
