"""What a model can be told of a scan: fields, their values, and the vector that a network reads."""
