"""What a kernel shows and asks: IPython."""
