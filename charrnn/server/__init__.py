"""A network behind HTTP: completions as OpenAI's clients send them, and the page to write on.

`app.application` is the main entry point. It needs the extra `serve` (starlette and uvicorn), and
so do `exchange.py`, which receives and sends, `guard.py`, which knows who may ask, and
`listening.py`.

The rest needs neither. `body.py`, `completion.py`, `prompts.py` and `values.py` read a request;
`refusal.py` is what is wrong with it; `orders.py` makes texts of it that are to be written.
`engine.py` is the thread that writes them, by the steps of `batch.py` and the states of
`states.py`; each is a `stream.py`, with what the network thought in `places.py`. `answer.py` is the
answer; `reading.py` scores texts and tells what comes next; `page.py` is the page.
"""
