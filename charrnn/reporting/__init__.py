"""What a person learns about a run: advice while it trains (`advice`), and web pages afterwards, of
how surprising a text is (`surprise`), of units (`units_page`), and of the whole run (`story`).
"""
