"""What a person looks at afterwards, as web pages: how surprising a text is (`surprise`)."""
