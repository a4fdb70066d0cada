"""Results as web pages: one file each, which asks for no other.

`page.page` puts a page together; `surprise.py` shows how surprising each character of a text is.
Whatever comes from a text is escaped, and a page's own policy lets no request leave it and no
script run but its own.
"""
