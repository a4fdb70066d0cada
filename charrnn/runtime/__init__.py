"""What the rest of the program needs of the operating system: threads, the cache folder, files."""
