"""What a person looks at afterwards, as web pages: the story of a run (`story`), how surprising a
text is (`surprise`), units (`units_page`); and what is wrong with a run (`advice`).
"""
