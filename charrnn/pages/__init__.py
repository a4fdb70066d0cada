"""What web pages are made of: one file each, which asks for no other.

`page.page` puts a page together from HTML, style sheets, a script and data. Whatever comes from a
text is escaped, and a page's own policy lets no request leave it and no script run but its own.
Pictures are SVG: `charts`, `lines`, `label_map`. `writing` is the page to write on with a network.
"""
