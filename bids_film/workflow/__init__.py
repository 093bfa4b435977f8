"""The rooms put together, one module per analysis level; the only room that knows nipype."""
