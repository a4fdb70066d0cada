"""Take a network out of the program: into PyTorch, ONNX, or one web page that contains it.

Each format is a module with one function that takes a `Trained` and writes files, such as
`pytorch.py`. Nothing is left behind: start states, the document separator, the vocabulary and the
cell's options travel along; what a format cannot hold is an `ExportError`.
"""
