"""A network behind HTTP: completions as OpenAI's clients send them, and the page to write on.

`app.application` is the main entry point. It needs the extra `serve` (starlette and uvicorn).
"""
